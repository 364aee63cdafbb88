//! Clients that others wrote, in other languages: installed once, and used by any test that would like to hear what
//! strangers think.

use crate::skip::skip;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// What others wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// `EventStoreDB`'s in Python.
    KurrentInPython,
    /// `EventStoreDB`'s for Node.js.
    KurrentInNode,
    /// What makes a Python client of an `OpenAPI` document, and what says whether it is one.
    OpenApiInPython,
}

/// Where a client is at home, and what installs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Language {
    Python,
    Node,
}

/// An installed client.
#[derive(Debug)]
pub struct Installed {
    language: Language,
    folder: PathBuf,
}

impl Client {
    fn language(self) -> Language {
        match self {
            Client::KurrentInPython | Client::OpenApiInPython => Language::Python,
            Client::KurrentInNode => Language::Node,
        }
    }

    fn folder(self) -> &'static str {
        match self {
            Client::KurrentInPython => "client-python",
            Client::KurrentInNode => "client-node",
            Client::OpenApiInPython => "client-openapi",
        }
    }

    fn packages(self) -> &'static [&'static str] {
        match self {
            Client::KurrentInPython => &["kurrentdbclient==1.3.5"],
            Client::KurrentInNode => &["@kurrent/kurrentdb-client@1.3.1"],
            Client::OpenApiInPython => &[
                "openapi-python-client==0.29.1",
                "openapi-spec-validator==0.9.0",
            ],
        }
    }
}

/// The client, installed below `folder` (a test's `CARGO_TARGET_TMPDIR`) unless it is there already.
/// Where that cannot be done, the check is noted as left out, and there is none.
pub fn client(client: Client, folder: &Path, check: &str) -> Option<Installed> {
    match Installed::new(client, folder) {
        Ok(installed) => Some(installed),
        Err(reason) => {
            eprintln!("{check} is left out: {reason}");
            skip(check, &reason);
            None
        }
    }
}

impl Installed {
    /// Runs a script of `tests/clients` to its end.
    pub fn run(&self, script: &str, arguments: &[&str]) -> Output {
        let output = self.command(script, arguments).output();
        output.expect("what was installed can be run")
    }

    /// The same with something to read on its standard input.
    pub fn run_on(&self, script: &str, arguments: &[&str], input: &str) -> Output {
        let mut command = self.command(script, arguments);
        let piped = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = piped.expect("what was installed can be run");
        let mut stdin = child.stdin.take().expect("standard input is piped");
        // A script that fails early leaves some of it unread.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        child.wait_with_output().expect("it ends")
    }

    fn command(&self, script: &str, arguments: &[&str]) -> Command {
        let script = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("clients")
            .join(script);
        let mut command = match self.language {
            Language::Python => Command::new(python_in(&self.folder)),
            Language::Node => Command::new("node"),
        };
        command.arg(script).args(arguments);
        command.env("CLIENTS_FOLDER", &self.folder);
        command
    }

    fn new(client: Client, below: &Path) -> Result<Self, String> {
        let (name, language) = (client.folder(), client.language());
        let folder = below.join(name);
        fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        // Tests run side by side, in processes of their own, too: one installs, and the others wait for it.
        let lock =
            File::create(below.join(format!("{name}.lock"))).map_err(|error| error.to_string())?;
        lock.lock().map_err(|error| error.to_string())?;
        let (done, wanted) = (folder.join("installed"), client.packages().join(" "));
        if fs::read_to_string(&done).is_ok_and(|installed| installed == wanted) {
            return Ok(Self { language, folder });
        }
        match language {
            Language::Python => install_python(&folder, client.packages())?,
            Language::Node => install_node(&folder, client.packages())?,
        }
        fs::write(&done, wanted).map_err(|error| error.to_string())?;
        Ok(Self { language, folder })
    }
}

fn install_python(folder: &Path, packages: &[&str]) -> Result<(), String> {
    succeed(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
    let mut pip = Command::new(python_in(folder));
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]);
    succeed(pip.args(["--retries", "1"]).args(packages))
}

fn install_node(folder: &Path, packages: &[&str]) -> Result<(), String> {
    succeed(Command::new("node").arg("--version"))?;
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-audit", "--no-fund", "--loglevel=error"]);
    succeed(
        npm.args(["--fetch-retries=1", "--prefix"])
            .arg(folder)
            .args(packages),
    )
}

fn python_in(folder: &Path) -> PathBuf {
    let programs = if cfg!(windows) { "Scripts" } else { "bin" };
    folder.join(programs).join("python")
}

/// Runs a command, or says why it could not be run or what it complained about first.
fn succeed(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let complaints = String::from_utf8_lossy(&output.stderr);
    let first = complaints.lines().find(|line| !line.trim().is_empty());
    let reason = first.unwrap_or("it did not say why").trim();
    Err(format!("{program} failed: {reason}"))
}
