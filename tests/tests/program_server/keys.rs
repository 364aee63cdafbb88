//! `kaigi keys`.

use engine::keys::{KeyFile, Keys};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Child, Output};
use tests::program::{Ran, Run, bare, on};
use tests::service::random_part;

fn keys(store: &Path, args: &[&str]) -> Ran {
    let args = ["keys"].iter().chain(args);
    on(store, args).run()
}

fn created(store: &Path, args: &[&str]) -> Value {
    let args: Vec<_> = ["create"].iter().chain(args).copied().collect();
    keys(store, &args).ended_with(0).json()
}

#[test]
fn a_key_is_told_once_and_kept_as_a_hash_beside_the_events() {
    let folder = tempfile::tempdir().unwrap();
    let made = created(
        folder.path(),
        &["--name", "acd-1", "--role", "telephony", "--role", "reader"],
    );
    let text = made["key"].as_str().unwrap();
    assert_eq!(made["roles"], json!(["telephony", "reader"]));
    let file = folder.path().join("keys.json");
    let kept = std::fs::read_to_string(&file).unwrap();
    assert!(!kept.contains(text) && !kept.contains(random_part(text)));
    let kept: Value = serde_json::from_str(&kept).unwrap();
    assert_eq!(kept["format"], 1);
    assert_eq!(kept["keys"][0]["sha256"].as_str().unwrap().len(), 64);
    let found = Keys::open(&file).unwrap().find(text).unwrap();
    assert_eq!(made["id"], found.id.as_str());
    assert_eq!(found.name, "acd-1");
}

#[test]
fn people_are_shown_the_key_with_what_to_do_with_it_and_lists_without_it() {
    let folder = tempfile::tempdir().unwrap();
    let made = keys(
        folder.path(),
        &[
            "create",
            "--name",
            "ana",
            "--role",
            "desk",
            "--agent",
            "agent:ana",
            "--output",
            "table",
        ],
    );
    let made = made.ended_with(0);
    let text = made
        .out
        .lines()
        .find_map(|line| line.trim().strip_prefix("kaigi_"));
    let text = text.unwrap_or_else(|| panic!("{made:#?}"));
    assert!(made.out.contains("once"), "{made:#?}");
    let list = keys(folder.path(), &["list", "--output", "table"])
        .ended_with(0)
        .out;
    for shown in ["ID", "BOUND TO", "ana", "desk", "agent:ana"] {
        assert!(list.contains(shown), "{list}");
    }
    let file = std::fs::read_to_string(folder.path().join("keys.json")).unwrap();
    let file: Value = serde_json::from_str(&file).unwrap();
    let hash = file["keys"][0]["sha256"].as_str().unwrap();
    assert!(!list.contains(hash) && !list.contains(text), "{list}");
}

#[test]
fn a_revoked_key_stays_in_the_list_and_is_revoked_once() {
    let folder = tempfile::tempdir().unwrap();
    let id = created(folder.path(), &["--name", "x", "--role", "reader"])["id"].clone();
    let id = id.as_str().unwrap();
    let first = keys(folder.path(), &["revoke", id]).ended_with(0).json();
    assert!(first["revoked_at"].is_string());
    let again = keys(folder.path(), &["revoke", id]).ended_with(0).json();
    assert_eq!(again, first);
    let list = keys(folder.path(), &["list"]).ended_with(0).json();
    assert_eq!(list["keys"], json!([first]));
    let lines = keys(folder.path(), &["list", "--output", "ndjson"])
        .ended_with(0)
        .lines();
    assert_eq!(lines, [first]);
}

#[test]
fn a_key_expires_after_a_time_or_at_one() {
    let folder = tempfile::tempdir().unwrap();
    let expiring = |when| {
        created(
            folder.path(),
            &["--name", when, "--role", "reader", "--expires", when],
        )
    };
    assert_eq!(
        expiring("2027-01-01T00:00:00Z")["expires_at"],
        "2027-01-01T00:00:00.000Z"
    );
    let made = expiring("90d");
    let time = |name: &str| {
        made[name]
            .as_str()
            .unwrap()
            .parse::<domain::Timestamp>()
            .unwrap()
    };
    let lasts_ms = time("expires_at").millis_since(time("created_at"));
    let days_ms = 90 * 86_400_000;
    assert!(
        (days_ms - 60_000..=days_ms).contains(&lasts_ms),
        "{lasts_ms}"
    );
    let bad = keys(
        folder.path(),
        &[
            "create",
            "--name",
            "x",
            "--role",
            "reader",
            "--expires",
            "soon",
        ],
    );
    let _ = bad.ended_with(2);
}

#[test]
fn what_cannot_be_a_key_makes_none() {
    let folder = tempfile::tempdir().unwrap();
    for args in [
        &["--name", "x"] as &[_],
        &["--name", " ", "--role", "reader"],
        &["--name", "x", "--role", "root"],
        &["--name", "x", "--role", "reader", "--role", "reader"],
        &["--name", "x", "--role", "desk"],
        &["--name", "x", "--role", "reader", "--agent", "agent:ana"],
        &["--name", "x", "--role", "desk", "--agent", "customer:1"],
        &[
            "--name",
            "x",
            "--role",
            "supervisor",
            "--agent",
            "agent:sam",
        ],
        &["--name", "x", "--role", "reader", "--output", "csv"],
    ] {
        let args: Vec<_> = ["create"].iter().chain(args).copied().collect();
        let _ = keys(folder.path(), &args).ended_with(2);
    }
    assert!(!folder.path().join("keys.json").exists());
}

#[test]
fn no_two_keys_in_force_have_one_name() {
    let folder = tempfile::tempdir().unwrap();
    let create = ["create", "--name", "acd", "--role", "reader"];
    let first = created(folder.path(), &create[1..]);
    let id = first["id"].as_str().unwrap();
    let ran = keys(folder.path(), &create).ended_with(5);
    assert!(ran.err.contains("acd") && ran.err.contains(id), "{ran:#?}");
    let _ = keys(folder.path(), &["revoke", id]).ended_with(0);
    created(folder.path(), &create[1..]);
}

#[test]
fn what_is_not_there_is_not_found() {
    let folder = tempfile::tempdir().unwrap();
    for args in [&["list"] as &[_], &["revoke", "none"]] {
        let ran = keys(folder.path(), args).ended_with(4);
        assert!(ran.err.contains("kaigi keys create"), "{ran:#?}");
    }
    created(folder.path(), &["--name", "x", "--role", "reader"]);
    let ran = keys(folder.path(), &["revoke", "none"]).ended_with(4);
    assert!(ran.err.contains("kaigi keys list"), "{ran:#?}");
}

#[test]
fn a_file_that_is_none_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.json");
    std::fs::write(&file, "mine").unwrap();
    let ran = keys(
        folder.path(),
        &["create", "--name", "x", "--role", "reader"],
    )
    .ended_with(1);
    assert!(ran.err.contains("no key file"), "{ran:#?}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
}

#[test]
fn the_file_may_be_named_and_must_be_where_the_store_has_no_folder() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("etc").join("keys.json");
    let named = file.to_str().unwrap();
    for store in ["memory:", "esdb://localhost:2113?tls=false"] {
        let create = |name| ["keys", "create", "--name", name, "--role", "reader"];
        let [first, second] = ["first", "second"].map(|name| format!("{name} {store}"));
        let create = [create(&first), create(&second)];
        let at = |run: Run| run.env("KAIGI_STORE", store);
        let ran = at(bare(create[0])).run().ended_with(2);
        assert!(ran.err.contains("--keys"), "{ran:#?}");
        let _ = at(bare(create[0]))
            .env("KAIGI_KEYS", named)
            .run()
            .ended_with(0);
        let _ = at(bare(create[1].iter().chain(&["--keys", named])))
            .run()
            .ended_with(0);
    }
    assert_eq!(KeyFile::at(&file).keys().unwrap().len(), 4);
}

#[test]
fn keys_may_be_made_before_the_store_and_while_it_is_open() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("calls");
    created(&store, &["--name", "x", "--role", "reader"]);
    let command = r#"{"call":"c1","type":"connect_call","agent":"agent:ana"}"#;
    let _ = on(&store, ["run", "--strict"])
        .input(command)
        .run()
        .ended_with(0);
    let mut following = on(&store, ["events", "--follow"]).start();
    wait_for_a_line(&mut following);
    created(&store, &["--name", "y", "--role", "reader"]);
    following.kill().unwrap();
    following.wait().unwrap();
    let listed = keys(&store, &["list"]).ended_with(0).json();
    assert_eq!(listed["keys"].as_array().unwrap().len(), 2);
    let _ = on(&store, ["store", "check"]).run().ended_with(0);
}

fn wait_for_a_line(child: &mut Child) {
    use std::io::{BufRead, BufReader};
    let mut line = String::new();
    let out = child.stdout.as_mut().expect("standard output is piped");
    BufReader::new(out).read_line(&mut line).unwrap();
    assert!(!line.is_empty());
}

#[test]
fn programs_that_make_keys_at_once_lose_none() {
    let folder = tempfile::tempdir().unwrap();
    let makers = (0..8).map(|maker| {
        let name = format!("maker-{maker}");
        on(
            folder.path(),
            ["keys", "create", "--role", "reader", "--name", &name],
        )
        .start()
    });
    let makers: Vec<_> = makers.collect();
    let ended = |maker: Child| -> Output { maker.wait_with_output().unwrap() };
    for maker in makers {
        let _ = Ran::from(ended(maker)).ended_with(0);
    }
    let listed = keys(folder.path(), &["list"]).ended_with(0).json();
    let names = listed["keys"].as_array().unwrap().iter();
    let names: std::collections::BTreeSet<_> = names.map(|key| key["name"].to_string()).collect();
    assert_eq!(names.len(), 8);
}

#[cfg(unix)]
#[test]
fn only_its_owner_reads_the_file_and_else_it_is_said() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let made = keys(
        folder.path(),
        &["create", "--name", "x", "--role", "reader"],
    )
    .ended_with(0);
    assert_eq!(made.err, "");
    let file = folder.path().join("keys.json");
    let rights = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(rights & 0o777, 0o600);
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
    let ran = keys(folder.path(), &["list"]).ended_with(0);
    assert!(ran.err.contains("chmod 600"), "{ran:#?}");
}
