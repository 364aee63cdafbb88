//! The same scenario through clients that others wrote, who know real servers.

use std::path::Path;
use tests::clients::{Client, client};
use tests::standin::{Config, StandIn, User};

/// The scenario against one open node, and against an encrypted cluster with passwords.
fn agrees(which: Client, script: &str, check: &str) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let Some(client) = client(which, folder, check) else {
        return;
    };
    let open = StandIn::start();
    let closed = StandIn::start_with(Config {
        nodes: 3,
        tls: true,
        users: vec![User::new("ops", "secret")],
        ..Config::default()
    });
    closed.elect(1);
    for url in [open.url(), closed.url_as("ops", "secret")] {
        let ran = client.run(script, &[&url]);
        let said = String::from_utf8_lossy(&ran.stdout);
        let complained = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{url}\n{said}{complained}");
        assert_eq!(said.trim(), "the scenario ended well", "{complained}");
    }
    let seen = closed.seen();
    assert!(
        seen.reads > 0 && seen.subscriptions > 0 && seen.gossip > 0,
        "{seen:?}"
    );
}

#[test]
fn the_python_client_agrees() {
    agrees(Client::KurrentInPython, "scenario.py", "the Python client");
}

#[test]
fn the_node_client_agrees() {
    agrees(Client::KurrentInNode, "scenario.mjs", "the Node client");
}
