//! `kaigi serve`: configuration, start and end.

use kaigi::serve::fields::{FIELDS, Field, Kind};
#[cfg(target_os = "linux")]
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tests::program::{Run, bare, kaigi, on};
use tests::service_program::Serving;
use toml::{Table, Value};

/// How long something that is waited for may take, on a machine that does much else.
const PATIENCE: Duration = Duration::from_mins(1);

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// Asks whether it is well, on a connection of its own.
fn is_healthy(address: &str) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else {
        return false;
    };
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = String::new();
    let asked = stream.write_all(HEALTH.as_bytes());
    asked
        .and_then(|()| stream.read_to_string(&mut answer))
        .is_ok()
        && answer.starts_with("HTTP/1.1 204")
}

/// Sends the head of a command, and waits until its body is waited for: from then on it is under way.
fn asking(address: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = "POST /v1/calls/c1/commands HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                content-length: 100\r\nexpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream
}

/// A process that has the store in that folder, and is no service; it ends when it is dropped.
struct Holder(Child);

impl Holder {
    fn of(folder: &Path) -> Self {
        let mut child = on(folder, ["run"]).start();
        let command = "{\"call\":\"c1\",\"type\":\"connect_call\",\"agent\":\"agent:ana\"}\n";
        child
            .stdin
            .as_mut()
            .unwrap()
            .write_all(command.as_bytes())
            .unwrap();
        // An answer comes from whoever has the store.
        let mut answer = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut answer)
            .unwrap();
        assert!(answer.contains("\"accepted\":true"), "{answer}");
        Self(child)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn it_serves_until_it_is_told_to_stop_and_ends_well() {
    for signal in ["TERM", "INT"] {
        let folder = folder();
        let serving = Serving::on(folder.path());
        let ready = serving.wait_until_told("listening on");
        let store = format!("(store sled:{}, without keys)", folder.path().display());
        assert!(ready.contains(&store), "{ready}");
        assert!(is_healthy(serving.address()));
        serving.signal(signal);
        let ended = serving.ended().ended_with(0);
        assert!(
            ended.err.contains("everything under way was answered"),
            "{ended:#?}"
        );
        assert!(
            ended.err.contains("\"route\":\"/healthz\""),
            "the log has it: {ended:#?}"
        );
        assert_eq!(ended.out, "");
        let _ = on(folder.path(), ["store", "check"]).run().ended_with(0);
    }
}

#[test]
fn without_a_log_only_the_beginning_and_the_end_are_told() {
    let folder = folder();
    let serving = Serving::with(folder.path(), ["--without-keys", "--log", "none"]);
    assert!(is_healthy(serving.address()));
    let ended = serving.stop().ended_with(0);
    assert!(!ended.err.contains("healthz"), "{ended:#?}");
}

#[test]
fn what_gets_to_no_route_is_in_the_log_too() {
    let folder = folder();
    let serving = Serving::with(folder.path(), ["--without-keys", "--max-connections", "1"]);
    let asking = asking(serving.address());
    assert!(!is_healthy(serving.address()));
    let line = serving.wait_until_told("too_many_connections");
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        (&line["status"], &line["route"]),
        (&503.into(), &"-".into()),
        "{line}"
    );
    drop(asking);
    let _ = serving.stop().ended_with(0);
}

#[test]
fn the_end_waits_for_what_is_under_way_and_a_second_signal_does_not() {
    let folder = folder();
    let serving = Serving::on(folder.path());
    let _asking = asking(serving.address());
    serving.signal("TERM");
    serving.wait_until_told("a second signal ends it at once");
    serving.signal("TERM");
    let ended = serving.ended().ended_with(1);
    assert!(
        ended.err.contains("what was acknowledged is durable"),
        "{ended:#?}"
    );
    let _ = on(folder.path(), ["store", "info"]).run().ended_with(0);
}

#[test]
fn what_outlasts_the_grace_is_cut_off_and_told() {
    let folder = folder();
    let serving = Serving::with(folder.path(), ["--without-keys", "--grace", "200ms"]);
    let _asking = asking(serving.address());
    let ended = serving.stop().ended_with(0);
    assert!(ended.err.contains("1 connection was cut off"), "{ended:#?}");
}

#[test]
fn a_port_that_is_taken_is_told_before_the_store_is_touched() {
    let folder = folder();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let store = folder.path().join("store");
    let ran = on(&store, ["serve", "--without-keys", "--listen", &address])
        .run()
        .ended_with(1);
    let told = format!("cannot listen on {address}");
    assert!(
        ran.err.contains("another process listens there") && ran.err.contains(&told),
        "{ran:#?}"
    );
    assert!(!store.exists());
}

#[test]
fn a_store_that_is_not_there_is_neither_served_nor_made() {
    let folder = folder();
    let empty = folder.path().join("mount-point");
    fs::create_dir(&empty).unwrap();
    let missing = folder.path().join("missing");
    for store in [&missing, &empty] {
        // Without its disk a store has no keys, either.
        for keys in [&[][..], &["--without-keys"]] {
            let serve = ["serve", "--listen", "127.0.0.1:0"];
            let refused = on(store, serve.iter().chain(keys)).run().ended_with(4);
            for told in ["is mounted", "kaigi store create", "serve --create"] {
                assert!(refused.err.contains(told), "{refused:#?}");
            }
        }
    }
    assert!(!missing.exists());
    assert_eq!(fs::read_dir(&empty).unwrap().count(), 0);
}

#[test]
fn a_store_is_created_once_and_served_then() {
    let folder = folder();
    let store = folder.path().join("store");
    let created = on(&store, ["store", "create"]).run().ended_with(0).json();
    let again = on(&store, ["store", "create"]).run().ended_with(2);
    assert!(again.err.contains("there is a store"), "{again:#?}");
    let info = on(&store, ["store", "info"]).run().ended_with(0).json();
    assert_eq!((&info["id"], &info["events"]), (&created["id"], &0.into()));
    let serve = ["serve", "--without-keys", "--listen", "127.0.0.1:0"];
    // As started by hand, without what the tests say for new stores.
    let serving = Serving::of(on(&store, serve).start());
    assert!(is_healthy(serving.address()));
    let _ = serving.stop().ended_with(0);
    let memory = bare(["--store", "memory:", "store", "create"]);
    let _ = memory.run().ended_with(2);
}

#[test]
fn a_command_line_that_cannot_be_carried_out_says_what_to_do() {
    let folder = folder();
    let file = |name: &str| folder.path().join(name).display().to_string();
    fs::write(file("keys.json"), "{}").unwrap();
    let store = folder.path().join("store");
    let (here, keys) = ("127.0.0.1:0", file("keys.json"));
    for (args, told) in [
        (
            vec!["--without-keys", "--listen", "0.0.0.0:0"],
            "listens on this machine alone and not on 0.0.0.0:0",
        ),
        (
            vec!["--without-keys", "--listen", "[::]:0"],
            "`kaigi keys create`",
        ),
        (
            vec!["--without-keys", "--listen", "7400"],
            "as in 127.0.0.1:7400",
        ),
        (
            vec!["--create", "--listen", here],
            "`kaigi keys create` makes the first",
        ),
        (
            vec!["--listen", here, "--keys", "nowhere.json"],
            "there are no keys in nowhere.json",
        ),
        (vec!["--listen", here, "--store", "memory:"], "--keys FILE"),
        (
            vec!["--without-keys", "--tls-certificate", &keys],
            "needs --tls-key",
        ),
        (
            vec!["--without-keys", "--tls-key", &keys],
            "needs --tls-certificate",
        ),
        (
            vec![
                "--without-keys",
                "--tls-key",
                &keys,
                "--tls-certificate",
                &keys,
            ],
            "holds no certificate in PEM",
        ),
        (
            vec!["--without-keys", "--log", "loud"],
            "must be json or none",
        ),
        (
            vec!["--max-connections", "0"],
            "`max_connections` must be more than 0",
        ),
        (vec!["--max-connections", "many"], "must be a whole number"),
        (vec!["--grace", "soon"], "such as 60s"),
    ] {
        let ran = on(&store, ["serve"].into_iter().chain(args.clone()))
            .run()
            .ended_with(2);
        assert!(ran.err.contains(told), "{args:?}: {ran:#?}");
    }
    assert!(!store.exists(), "nothing was begun");
}

/// A value that a setting can have, another one for each way of choosing it.
fn sample(field: &Field, way: u32) -> String {
    match field.kind {
        _ if field.name == "store" => format!("sled:./calls-{way}"),
        Kind::Text(_) => format!("text-{way}"),
        Kind::Number | Kind::Duration => (100 + way).to_string(),
        Kind::Texts(_) => format!("https://{way}.example"),
        // There is only one other value.
        Kind::Switch => (way == 2).to_string(),
    }
}

/// The same in a file.
fn in_file(field: &Field, way: u32) -> Value {
    let text = sample(field, way);
    match field.kind {
        Kind::Text(_) => text.into(),
        Kind::Number | Kind::Duration => Value::Integer(text.parse().unwrap()),
        Kind::Texts(_) => vec![text].into(),
        Kind::Switch => Value::Boolean(text == "true"),
    }
}

/// What is in force, and the line that says so, for every setting.
fn printed(run: Run) -> (Table, String) {
    let ran = run.run().ended_with(0);
    (toml::from_str(&ran.out).unwrap(), ran.out)
}

fn came_from(text: &str, field: &Field, source: &str) -> bool {
    let begin = format!("{} = ", field.name);
    let mut lines = text.lines().filter(|line| line.starts_with(&begin));
    let said = format!(" # {source}: {}", field.about);
    lines.next().is_some_and(|line| line.ends_with(&said))
}

#[test]
fn a_flag_beats_the_environment_which_beats_the_file_which_beats_the_default() {
    let folder = folder();
    let file = folder.path().join("kaigi.toml");
    let of_file: Table = FIELDS
        .iter()
        .map(|field| (field.name.to_owned(), in_file(field, 1)))
        .collect();
    fs::write(&file, of_file.to_string()).unwrap();
    let flags: Vec<String> = FIELDS
        .iter()
        .map(|field| format!("--{}={}", field.flag, sample(field, 3)))
        .collect();
    let run = |is_file: bool, is_env: bool, is_flag: bool| {
        let flags = flags.iter().filter(|_| is_flag).map(String::as_str);
        let mut run = bare(["serve", "--print-config"].into_iter().chain(flags));
        if is_file {
            run = run.env("KAIGI_CONFIG", &file);
        }
        for field in FIELDS.iter().filter(|_| is_env) {
            run = run.env(&field.env, sample(field, 2));
        }
        printed(run)
    };
    for (source, way, (settings, text)) in [
        ("file", 1, run(true, false, false)),
        ("environment", 2, run(false, true, false)),
        ("environment", 2, run(true, true, false)),
        ("flag", 3, run(false, false, true)),
        ("flag", 3, run(true, false, true)),
        ("flag", 3, run(true, true, true)),
    ] {
        for field in FIELDS.iter() {
            let name = field.name;
            assert_eq!(
                settings.get(name),
                Some(&in_file(field, way)),
                "{name}: {text}"
            );
            assert!(
                came_from(&text, field, source),
                "{name} comes from the {source}: {text}"
            );
        }
    }
    let (defaults, text) = run(false, false, false);
    for (name, value) in Table::try_from(server::Settings::default()).unwrap() {
        assert_eq!(defaults.get(&name), Some(&value), "{name}");
        assert!(
            came_from(&text, Field::named(&name).unwrap(), "default"),
            "{name}: {text}"
        );
    }
}

#[test]
fn what_is_printed_is_a_file_that_says_the_same() {
    let folder = folder();
    let file = folder.path().join("kaigi.toml");
    let chosen = [
        "--max-ahead",
        "2m",
        "--allowed-origins",
        "https://a.example, https://b.example",
        "--tls-key",
        "a\"b",
    ];
    let (settings, text) = printed(on(
        folder.path(),
        ["serve", "--print-config"].into_iter().chain(chosen),
    ));
    assert_eq!(settings["max_ahead_ms"], Value::Integer(120_000));
    fs::write(&file, text).unwrap();
    let (again, text) = printed(bare([
        "serve",
        "--print-config",
        "--config",
        file.to_str().unwrap(),
    ]));
    assert_eq!(again, settings);
    let settings = text.lines().filter(|line| !line.starts_with('#'));
    assert!(settings.clone().count() > 10);
    assert!(
        settings.clone().all(|line| line.contains(" # file: ")),
        "{text}"
    );
}

#[test]
fn no_password_is_printed_wherever_it_stands() {
    let folder = folder();
    let file = folder.path().join("kaigi.toml");
    let url = "esdb://admin:geheim@localhost:2113";
    let (_, text) = printed(bare(["serve", "--print-config"]).env("KAIGI_STORE", url));
    assert!(
        text.contains("# store = \"esdb://admin:***@localhost:2113\" # environment"),
        "{text}"
    );
    assert!(!text.contains("geheim"), "{text}");
    for broken in [
        format!("listen = \"a\"\nstore = \"{url}"),
        format!("listen = \"a\"\nstore = {url}"),
        format!(
            "listen = \"a\"\nstore = \"{}\"",
            url.replace("esdb", "esbd")
        ),
    ] {
        fs::write(&file, broken).unwrap();
        let ran = bare(["serve", "--print-config"])
            .env("KAIGI_CONFIG", &file)
            .run()
            .ended_with(2);
        assert!(!ran.err.contains("geheim"), "{ran:#?}");
        assert!(
            ran.err.contains("line 2") || ran.err.contains("`store`"),
            "{ran:#?}"
        );
    }
}

#[test]
fn a_file_that_cannot_be_followed_says_where_and_why() {
    let folder = folder();
    let file = folder.path().join("kaigi.toml");
    for (text, told) in [
        (
            "lisen = \"127.0.0.1:1\"",
            "`lisen` is no setting; known are listen, store, create, keys",
        ),
        (
            "max_connections = \"many\"",
            "`max_connections` must be a whole number",
        ),
        (
            "max_connections = -1",
            "`max_connections` must be a whole number",
        ),
        (
            "max_connections = 0",
            "`max_connections` must be more than 0",
        ),
        ("grace_ms = \"soon\"", "`grace_ms` must be milliseconds"),
        ("listen = 7400", "`listen` must be a text"),
        (
            "allowed_origins = \"https://a.example\"",
            "`allowed_origins` must be a list of texts",
        ),
        ("store = \"nowhere\"", "known are sled:PATH"),
        ("grace_ms = 1\ngrace_ms = 2", "line 2 is no TOML"),
    ] {
        fs::write(&file, text).unwrap();
        let ran = bare(["serve", "--print-config"])
            .env("KAIGI_CONFIG", &file)
            .run()
            .ended_with(2);
        assert!(ran.err.contains(told), "{text}: {ran:#?}");
    }
    let ran = bare(["serve", "--config", "nowhere.toml"])
        .run()
        .ended_with(2);
    assert!(ran.err.contains("nowhere.toml: cannot be read"), "{ran:#?}");
}

#[test]
fn whoever_finds_the_store_in_use_is_told_where_its_service_is() {
    let folder = folder();
    let serving = Serving::on(folder.path());
    let elsewhere = self::folder();
    let into = elsewhere.path().join("into").display().to_string();
    for verb in [
        &["calls"][..],
        &["run"],
        &["events"],
        &["store", "info"],
        &["store", "check"],
        &["store", "repair", &into],
        &["store", "archive", "--before", "2026-01-01", "--to", &into],
        &["serve", "--without-keys", "--listen", "127.0.0.1:0"],
    ] {
        let ran = on(folder.path(), verb).run().ended_with(75);
        let told = format!("kaigi serve has it; use --server {}", serving.url);
        assert!(ran.err.contains(&told), "{verb:?}: {ran:#?}");
    }
    let address = fs::read_to_string(folder.path().join("service.json")).unwrap();
    let address: serde_json::Value = serde_json::from_str(&address).unwrap();
    assert_eq!(
        (&address["url"], &address["pid"]),
        (&serving.url.as_str().into(), &serving.pid().into())
    );
    assert!(address["started_at"].is_string(), "{address}");
    let _ = serving.stop().ended_with(0);
    assert!(!folder.path().join("service.json").exists());
    let _ = on(folder.path(), ["calls"]).run().ended_with(0);
}

#[test]
fn where_a_service_was_that_died_misleads_nobody() {
    let folder = folder();
    let serving = Serving::on(folder.path());
    let (address, told) = (
        serving.address().to_owned(),
        folder.path().join("service.json"),
    );
    let _ = serving.kill();
    assert!(told.exists(), "it had no time to take it away");
    let left = fs::read_to_string(&told).unwrap();
    // Somebody else answers at that address now, and has nothing to do with the store.
    let _other = TcpListener::bind(&address).unwrap();
    let holder = Holder::of(folder.path());
    let busy = || on(folder.path(), ["calls"]).run().ended_with(75).err;
    assert!(!busy().contains("--server"));
    // Nor is it believed where nobody answers.
    fs::write(&told, left.replace(&address, "127.0.0.1:1")).unwrap();
    assert!(!busy().contains("--server"));
    fs::write(&told, "what is this?").unwrap();
    assert!(!busy().contains("--server"));
    drop(holder);
    let _ = on(folder.path(), ["calls"]).run().ended_with(0);
    assert!(!told.exists());
}

#[test]
fn what_the_service_keeps_beside_the_store_disturbs_nothing() {
    let folder = folder();
    let store = folder.path().join("store");
    let elsewhere = |name: &str| folder.path().join(name).display().to_string();
    drop(Holder::of(&store));
    for name in ["service.json", "keys.json"] {
        fs::write(store.join(name), "{}").unwrap();
    }
    for verb in [
        vec!["store", "check"],
        vec!["store", "repair", &elsewhere("repaired")],
        vec!["store", "backup", &elsewhere("backup")],
        vec![
            "store",
            "archive",
            "--before",
            "2999-01-01",
            "--to",
            &elsewhere("archive"),
        ],
        vec!["store", "digest"],
        vec!["calls"],
    ] {
        fs::write(store.join("service.json"), "{}").unwrap();
        let _ = on(&store, verb).run().ended_with(0);
    }
    assert!(store.join("keys.json").exists());
}

#[test]
fn with_a_certificate_it_is_reached_over_https() {
    let folder = folder();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let [chain, key] = ["chain.pem", "key.pem"].map(|name| folder.path().join(name));
    fs::write(&chain, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let run = on(
        &folder.path().join("store"),
        ["serve", "--listen", "127.0.0.1:0", "--without-keys"],
    );
    let serving = Serving::start(
        run.env("KAIGI_TLS_CERTIFICATE", &chain)
            .env("KAIGI_TLS_KEY", &key),
    );
    assert!(serving.url.starts_with("https://"), "{}", serving.url);
    assert!(
        !is_healthy(serving.address()),
        "it does not speak plain HTTP"
    );
    let busy = on(&folder.path().join("store"), ["calls"])
        .run()
        .ended_with(75);
    assert!(
        busy.err.contains(&format!("use --server {}", serving.url)),
        "{busy:#?}"
    );
    fs::write(&key, rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap();
    serving.wait_until_told("kaigi: the certificate before stays in use");
    let _ = serving.stop().ended_with(0);
}

#[cfg(target_os = "linux")]
#[test]
fn systemd_is_told_when_it_is_ready_and_when_it_stops() {
    use std::os::unix::net::UnixDatagram;

    let folder = folder();
    let path = folder.path().join("notify");
    let systemd = UnixDatagram::bind(&path).unwrap();
    systemd.set_read_timeout(Some(PATIENCE)).unwrap();
    let told = || {
        let mut text = [0; 64];
        let length = systemd.recv(&mut text).unwrap();
        String::from_utf8(text[..length].to_vec()).unwrap()
    };
    let run = on(
        &folder.path().join("store"),
        ["serve", "--listen", "127.0.0.1:0", "--without-keys"],
    );
    let serving = Serving::start(run.env("NOTIFY_SOCKET", &path));
    assert_eq!(told(), "READY=1");
    let _ = serving.stop().ended_with(0);
    assert_eq!(told(), "STOPPING=1");
}

#[cfg(target_os = "linux")]
#[test]
fn a_lack_of_descriptors_is_waited_out() {
    let folder = folder();
    let mut limited = Command::new("sh");
    limited.args([
        "-c",
        "ulimit -n 64; exec \"$0\" serve --create --listen 127.0.0.1:0 --without-keys --log none",
    ]);
    limited
        .arg(kaigi())
        .env("KAIGI_STORE", format!("sled:{}", folder.path().display()));
    let child = limited
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let serving = Serving::of(child.unwrap());
    serving
        .wait_until_told("the system allows 64 open files, so 16 connections are served at once");
    let before = allow_files(serving.pid(), lowest_free_descriptor(serving.pid()));
    let waiting = TcpStream::connect(serving.address()).unwrap();
    serving.wait_until_told("no connection can be accepted for now");
    drop(waiting);
    allow_files(serving.pid(), before);
    let begun = Instant::now();
    while !is_healthy(serving.address()) {
        assert!(
            begun.elapsed() < PATIENCE,
            "it never recovered: {}",
            serving.told()
        );
    }
    let _ = serving.stop().ended_with(0);
}

/// The number that the process would give the next file that it opens.
#[cfg(target_os = "linux")]
fn lowest_free_descriptor(pid: u32) -> u64 {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let open = open.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let open: BTreeSet<u64> = open.map(|number| number.parse().unwrap()).collect();
    (0..=64).find(|number| !open.contains(number)).unwrap()
}

/// Lets a running process have as many open files as that, and returns how many it could have before.
#[cfg(target_os = "linux")]
fn allow_files(pid: u32, files: u64) -> u64 {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};

    let pid = Pid::from_raw(pid.try_into().unwrap());
    let limit = Rlimit {
        current: Some(files),
        maximum: Some(64),
    };
    let before = prlimit(pid, Resource::Nofile, limit).unwrap();
    before.current.unwrap()
}

#[test]
fn the_example_of_a_file_is_what_is_in_force_unless_somebody_chooses() {
    let run = bare(["serve", "--print-config"]).env("XDG_DATA_HOME", "/var/lib");
    let (_, text) = printed(run);
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contrib/kaigi.toml");
    let example = fs::read_to_string(example).unwrap();
    assert_eq!(
        example, text,
        "the example is the output of `XDG_DATA_HOME=/var/lib kaigi serve --print-config`"
    );
}
