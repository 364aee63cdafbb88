//! The real program as a service, and the generator of load that `just bench` has for it.

use super::Side;
use super::load::{Script, Sent};
use super::process::Service;
use super::wire::Connection;
use crate::args::Services;
use domain::json::write_command;
use std::path::Path;
use std::process::{Child, Command, Stdio};

pub(super) struct Kaigi;

/// A command as it is posted.
pub(super) struct Post {
    path: String,
    body: String,
}

impl Side for Kaigi {
    const NAME: &'static str = "kaigi";

    type Command = Post;

    type Connection = Connection;

    fn start(folder: &Path, services: &Services) -> anyhow::Result<Service> {
        let store = format!("sled:{}", folder.join("calls").display());
        let serve = [
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--create",
            "--without-keys",
            "--log",
            "none",
        ];
        let mut command = Command::new(services.kaigi()?);
        for name in ["KAIGI_SERVER", "KAIGI_KEY", "KAIGI_KEYS", "KAIGI_CONFIG"] {
            command.env_remove(name);
        }
        command
            .args(serve)
            .env("KAIGI_STORE", store)
            .stderr(Stdio::piped());
        let says = |child: &mut Child| child.stderr.take();
        Service::start(&mut command, says, "kaigi: listening on ")
    }

    fn commands(script: &Script) -> Vec<Post> {
        script.iter().map(Post::of).collect()
    }

    async fn connect(address: String) -> Connection {
        let connection = Connection::open(&address, "nobody-asks").await;
        connection.expect("the service listens")
    }

    async fn send(connection: &mut Connection, Post { path, body }: Post) {
        let answer = connection.post(&path, &body).await;
        let (status, answer) = answer.expect("the service answers");
        let answer = String::from_utf8_lossy(&answer);
        assert_eq!(status, 200, "{body} is accepted, not {answer}");
    }
}

impl Post {
    fn of(sent: &Sent) -> Self {
        Self {
            path: format!("/v1/calls/{}/commands", sent.call()),
            body: write_command(&sent.request),
        }
    }
}
