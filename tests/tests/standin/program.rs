//! The stand-in as a program.

use super::{append, client, events, kinds, read};
use eventstore::StreamState::NoStream;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

/// A running program and the connection string that it printed.
struct Program {
    child: Child,
    url: String,
}

impl Program {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_esdb-standin"));
        command
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut url = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut url).unwrap();
        let url = url.trim_end().to_owned();
        Self { child, url }
    }

    /// Ends it and hands over what it said on standard error.
    fn end(mut self) -> String {
        self.child.kill().unwrap();
        let mut said = String::new();
        let stderr = self.child.stderr.take();
        stderr.unwrap().read_to_string(&mut said).unwrap();
        said
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn the_program_prints_where_it_is_and_says_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let tls = folder.path().to_str().unwrap();
    let program = Program::start(&[
        "--port",
        "0",
        "--nodes",
        "3",
        "--user",
        "ops:secret",
        "--tls",
        tls,
    ]);
    assert!(
        program.url.starts_with("esdb://ops:secret@127.0.0.1:"),
        "{}",
        program.url
    );
    assert!(folder.path().join("ca.pem").exists());
    let leader = client(&format!("{}&nodePreference=leader", program.url));
    append(&leader, "call-1", NoStream, events(["a"]))
        .await
        .unwrap();
    assert_eq!(kinds(&read(&leader, "call-1").await.unwrap()), ["a"]);
    let said = program.end();
    assert!(
        said.contains("for tests only") && said.contains("keeps nothing"),
        "{said}"
    );
}

#[tokio::test]
async fn the_program_fails_on_demand() {
    let program = Program::start(&["--port", "0", "--lose-answers", "1", "--failure", "break"]);
    let both = events(["a", "b"]);
    append(&client(&program.url), "call-1", NoStream, both.clone())
        .await
        .unwrap_err();
    append(&client(&program.url), "call-1", NoStream, both)
        .await
        .unwrap();
    assert_eq!(
        kinds(&read(&client(&program.url), "call-1").await.unwrap()),
        ["a", "b"]
    );
}

#[test]
fn the_program_kills_and_revives_leaders() {
    let mut program =
        Program::start(&["--port", "0", "--nodes", "3", "--kill-leader-every", "0.1"]);
    let mut said = BufReader::new(program.child.stderr.take().unwrap()).lines();
    let mut wait_for = |line: &str| assert!(said.any(|said| said.unwrap() == line), "{line}");
    wait_for("node 0 dies");
    wait_for("node 0 is back, and node 1 leads");
    wait_for("node 1 dies");
    wait_for("node 1 is back, and node 0 leads");
}
