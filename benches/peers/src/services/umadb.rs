//! `UmaDB` as its makers start it, and their client.

use super::Side;
use super::load::{Script, Sent};
use super::process::Service;
use crate::args::Services;
use crate::sides::block_of;
use ::umadb::{CliOptions, start_server_with_cli_options};
use anyhow::anyhow;
use domain::RecordedEvent;
use std::collections::HashMap;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use umadb_client::{AsyncUmaDbClient, UmaDbClient};
use umadb_dcb::{DcbAppendCondition, DcbEvent, DcbEventStoreAsync, DcbQuery, DcbQueryItem};

pub(super) struct UmaDb;

/// Events of one call, to be appended together.
pub(super) struct Append {
    tag: String,
    events: Vec<DcbEvent>,
}

/// A client and what it knows of the calls that it alone writes.
pub(super) struct Connection {
    client: AsyncUmaDbClient,
    /// The position of each call's last event.
    last: HashMap<String, u64>,
}

/// Serves until it is killed.
pub(crate) fn serve(folder: &Path, address: &str) -> anyhow::Result<()> {
    let options = CliOptions {
        listen_addr: address.to_owned(),
        db_path: folder.display().to_string(),
        ..CliOptions::default()
    };
    start_server_with_cli_options(options).map_err(|error| anyhow!("UmaDB: {error}"))
}

impl Side for UmaDb {
    const NAME: &'static str = "UmaDB";

    type Command = Append;

    type Connection = Connection;

    fn start(folder: &Path, _: &Services) -> anyhow::Result<Service> {
        // It names the port that it is given, so that it has to be a free one.
        let free = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["umadb", "--serve"])
            .arg(folder)
            .arg(&free)
            .stdout(Stdio::piped());
        let says = |child: &mut Child| child.stdout.take();
        Service::start(&mut command, says, "UmaDB is listening on ")
    }

    fn commands(script: &Script) -> Vec<Append> {
        script.iter().map(Append::of).collect()
    }

    async fn connect(address: String) -> Connection {
        let client = UmaDbClient::new(format!("http://{address}"));
        Connection {
            client: client.connect_async().await.expect("the service listens"),
            last: HashMap::new(),
        }
    }

    async fn send(connection: &mut Connection, Append { tag, events }: Append) {
        let known = connection.last.get(&tag).copied();
        let of_the_call = DcbQuery::new().item(DcbQueryItem::new().tags([tag.as_str()]));
        let nobody_else_wrote = DcbAppendCondition::new(of_the_call).after(known);
        let client = &connection.client;
        let appended = client.append(events, Some(nobody_else_wrote), None).await;
        let position = appended.expect("nobody else writes to the call");
        connection.last.insert(tag, position);
    }
}

impl Append {
    fn of(sent: &Sent) -> Self {
        let tag = format!("call:{}", sent.call());
        let events = sent.events.iter();
        let events = events.map(|event| event_of(event, &tag)).collect();
        Self { tag, events }
    }
}

fn event_of(event: &RecordedEvent, tag: &str) -> DcbEvent {
    DcbEvent::new()
        .event_type(event.payload.event_type.name())
        .tags([tag])
        .uuid(event.id().0)
        .data(block_of(std::slice::from_ref(event)))
}
