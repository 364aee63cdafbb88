//! The real program as a service under attack, and the plain HTTP that attackers use.

use crate::program::{Run, on};
use crate::service_program::Serving;
use anyhow::{Context as _, bail, ensure};
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// How long an answer may be silent.
const SILENCE: Duration = Duration::from_mins(2);

/// A running service on a store of its own.
pub(super) struct Target {
    /// The program.
    pub(super) serving: Serving,
    keys: PathBuf,
    folder: TempDir,
}

/// A connection that asks one thing after the other.
pub(super) struct Connection {
    stream: BufReader<TcpStream>,
    head: String,
}

/// Where the store and the keys are, before the service runs.
pub(super) struct Prepared {
    folder: TempDir,
}

impl Prepared {
    /// An empty store.
    pub(super) fn new() -> anyhow::Result<Self> {
        let folder = TempDir::new()?;
        fs::create_dir_all(folder.path().join("store"))?;
        Ok(Self { folder })
    }

    /// A run of the program on the store.
    pub(super) fn run<const N: usize>(&self, args: [&str; N]) -> Run {
        on(&self.folder.path().join("store"), args)
    }

    /// Starts the service.
    pub(super) fn serve(self) -> anyhow::Result<Target> {
        let keys = self.folder.path().join("keys.json");
        create_key(
            &self.folder.path().join("store"),
            &keys,
            "first",
            &["operator"],
        )?;
        let path = keys.to_str().context("the folder has a plain name")?;
        let store = self.folder.path().join("store");
        // The limit of requests a second would hide what the other defences do.
        let args = ["--keys", path, "--log", "none", "--rate-per-key", "0"];
        let serving = Serving::with(&store, args);
        let target = Target {
            serving,
            keys,
            folder: self.folder,
        };
        target.wait_until_ready()?;
        Ok(target)
    }
}

impl Target {
    /// The text of a new key with those roles.
    pub(super) fn key(&self, name: &str, roles: &[&str]) -> anyhow::Result<String> {
        let key = create_key(&self.folder.path().join("store"), &self.keys, name, roles)?;
        // The service reads the file again within two seconds.
        for _ in 0..100 {
            if Connection::open(self.serving.address(), &key)?
                .get("/v1/active-calls?limit=1")?
                .0
                != 401
            {
                return Ok(key);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        bail!("the service does not know the new key");
    }

    /// A connection with that key.
    pub(super) fn connect(&self, key: &str) -> anyhow::Result<Connection> {
        Connection::open(self.serving.address(), key)
    }

    /// The resident memory of the service, in bytes.
    pub(super) fn resident(&self) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.serving.pid()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next());
        let kib: u64 = kib
            .context("the system shows the memory of a process")?
            .parse()?;
        Ok(kib * 1024)
    }

    fn wait_until_ready(&self) -> anyhow::Result<()> {
        for _ in 0..1200 {
            if self.connect("")?.get("/readyz")?.0 == 200 {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        bail!("the service did not become ready");
    }
}

fn create_key(store: &Path, keys: &Path, name: &str, roles: &[&str]) -> anyhow::Result<String> {
    let keys = keys.to_str().context("the folder has a plain name")?;
    let mut args = vec![
        "keys", "create", "--name", name, "--keys", keys, "--output", "json",
    ];
    args.extend(roles.iter().flat_map(|role| ["--role", role]));
    let ran = on(store, args).run();
    ensure!(ran.code == Some(0), "no key was made: {}", ran.err);
    let text = ran.json()["key"].as_str().map(str::to_owned);
    text.context("the text of the key is shown")
}

impl Connection {
    /// To that address, with that key.
    pub(super) fn open(address: &str, key: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SILENCE))?;
        let authorization = if key.is_empty() {
            String::new()
        } else {
            format!("Authorization: Bearer {key}\r\n")
        };
        Ok(Self {
            stream: BufReader::with_capacity(64 * 1024, stream),
            head: format!("Host: {address}\r\n{authorization}"),
        })
    }

    /// Asks, and reads nothing.
    pub(super) fn ask(&mut self, path: &str, accept: &str) -> anyhow::Result<()> {
        let request = format!(
            "GET {path} HTTP/1.1\r\n{}Accept: {accept}\r\n\r\n",
            self.head
        );
        self.stream.get_mut().write_all(request.as_bytes())?;
        Ok(())
    }

    /// Asks and reads the whole answer: its status, and how many bytes its body has.
    pub(super) fn get(&mut self, path: &str) -> anyhow::Result<(u16, usize)> {
        self.ask(path, "*/*")?;
        self.answer()
    }

    /// Posts a command and reads the whole answer.
    pub(super) fn post(&mut self, path: &str, body: &str) -> anyhow::Result<(u16, usize)> {
        let request = format!(
            "POST {path} HTTP/1.1\r\n{}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.head,
            body.len()
        );
        self.stream.get_mut().write_all(request.as_bytes())?;
        self.answer()
    }

    /// Reads an answer: its status, and how many bytes its body has.
    pub(super) fn answer(&mut self) -> anyhow::Result<(u16, usize)> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status = line
            .split(' ')
            .nth(1)
            .context("no answer of HTTP")?
            .parse()?;
        let mut length = Some(0);
        loop {
            line.clear();
            self.stream.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                break;
            };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = Some(value.parse()?),
                "transfer-encoding" => length = None,
                _ => {}
            }
        }
        let bytes = match length {
            Some(length) => self.discard(length)?,
            None => self.discard_chunks()?,
        };
        Ok((status, bytes))
    }

    fn discard_chunks(&mut self) -> anyhow::Result<usize> {
        let mut all = 0;
        loop {
            let mut size = String::new();
            self.stream.read_line(&mut size)?;
            let size = usize::from_str_radix(size.trim(), 16).context("the answer was cut off")?;
            self.discard(size + 2)?;
            all += size;
            if size == 0 {
                return Ok(all);
            }
        }
    }

    fn discard(&mut self, bytes: usize) -> anyhow::Result<usize> {
        let mut part = self.stream.by_ref().take(bytes as u64);
        let read = std::io::copy(&mut part, &mut std::io::sink())?;
        ensure!(read == bytes as u64, "the answer was cut off");
        Ok(bytes)
    }
}
