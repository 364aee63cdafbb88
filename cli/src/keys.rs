//! `kaigi keys`: the file of the keys that a service admits. The service reads it again when it has changed, so neither
//! is it restarted nor its store opened.

use crate::exit::{Exit, conflict, not_found, usage};
use crate::ids::agent;
use crate::output::{Column, Console, Output, column, json_line, list};
use crate::store::StoreUrl;
use clap::{Args, Subcommand};
use domain::{AgentId, SupervisorId, TimeSpan, Timestamp};
use engine::keys::{Key, KeyFile, KeyFileError, Role, Wanted};
use serde_json::{Value, json};
use std::path::PathBuf;

/// `kaigi keys`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Keys {
    /// The file of keys [default: keys.json in the folder of the embedded store; with another store it must be named]
    #[arg(long, global = true, env = "KAIGI_KEYS", value_name = "FILE")]
    keys: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    what: What,
}

const EXAMPLES: &str = "\
Roles:
  telephony   reports facts, sends all commands, and reads the call it commands
  desk        sends the commands of one agent, reads that agent's calls and the read models
  supervisor  monitors as one supervisor, reads each call and the read models
  reader      reads the read models: a wall screen, a BI tool
  auditor     reads events, calls and the read models
  operator    backs up, copies, and makes keys: can act as anybody

Examples:
  kaigi keys create --name acd-1 --role telephony
  kaigi keys create --name ana --role desk --agent agent:ana --expires 90d
  kaigi keys create --name wallboard --role reader --output json | jq -r .key
  kaigi keys list
  kaigi keys revoke 5f2c9d01ab34";

const CREATE_HELP: &str = "\
The key's text is printed this once; the file has only its hash. A running service admits it about a
second later. No two keys in force have one name (exit code 5): people tell keys apart by it. The first key
makes the file, which only its owner may read: run this as
the user of the service.

Examples:
  kaigi keys create --name acd-1 --role telephony --role reader
  kaigi keys create --name ana --role desk --agent agent:ana --expires 90d
  kaigi keys create --name sam --role supervisor --supervisor supervisor:sam
  kaigi keys create --name backup --role operator --keys /etc/kaigi/keys.json";

#[derive(Debug, Subcommand)]
enum What {
    /// Make a key, and print its text, once
    #[command(after_help = CREATE_HELP)]
    Create(Create),
    /// List the keys, also those that have expired or were revoked
    #[command(
        after_help = "Example:\n  kaigi keys list --output json | jq '.keys[] | select(.revoked_at == null)'"
    )]
    List,
    /// Admit a key no more; a running service does so about a second later
    #[command(after_help = "Example:\n  kaigi keys revoke 5f2c9d01ab34")]
    Revoke {
        /// The key's id, as `kaigi keys list` shows it
        id: String,
    },
}

#[derive(Debug, Args)]
struct Create {
    /// Whose key it is; no other key in force may have the name
    #[arg(long)]
    name: String,
    /// What it is for; may be given more than once: telephony, desk, supervisor, reader, auditor or operator
    #[arg(long = "role", value_name = "ROLE", required = true)]
    roles: Vec<Role>,
    /// Whose desk it is, for the role desk
    #[arg(long, value_parser = agent)]
    agent: Option<AgentId>,
    /// Which supervisor's it is, for the role supervisor
    #[arg(long, value_parser = supervisor)]
    supervisor: Option<SupervisorId>,
    /// When it expires: after so long, such as 90d, or at a time like 2027-01-01T00:00:00Z [default: never]
    #[arg(long, value_name = "TIME", value_parser = end)]
    expires: Option<Timestamp>,
}

/// Carries it out.
pub fn keys(args: Keys, store: Option<StoreUrl>, console: &mut Console) -> anyhow::Result<Exit> {
    if console.output() == Output::Csv {
        return Err(usage(
            "keys have no CSV; use --output table, json or ndjson",
        ));
    }
    let file = KeyFile::at(place(args.keys, store)?);
    match args.what {
        What::Create(args) => create(&file, args, console)?,
        What::List => list_keys(&file, console)?,
        What::Revoke { id } => revoke(&file, &id, console)?,
    }
    if file.is_readable_by_others() {
        let path = file.path().display();
        eprintln!("kaigi: others than its owner may read {path}; `chmod 600` it");
    }
    console.flush()?;
    Ok(Exit::Done)
}

/// Where keys are kept: in the file that was named, or beside the events of an embedded store.
pub fn place(named: Option<PathBuf>, store: Option<StoreUrl>) -> anyhow::Result<PathBuf> {
    if let Some(path) = named {
        return Ok(path);
    }
    match store.map_or_else(StoreUrl::default_store, Ok)? {
        StoreUrl::Sled(folder) => Ok(folder.join("keys.json")),
        store @ (StoreUrl::Memory | StoreUrl::Cluster(_) | StoreUrl::Service(_)) => {
            Err(usage(format!(
                "{store} has no folder for keys; name their file with --keys FILE or KAIGI_KEYS"
            )))
        }
    }
}

fn create(file: &KeyFile, args: Create, console: &mut Console) -> anyhow::Result<()> {
    let wanted = Wanted {
        name: args.name,
        roles: args.roles,
        agent: args.agent,
        supervisor: args.supervisor,
        expires_at: args.expires,
    };
    let (key, text) = wanted.create().map_err(|error| usage(error.to_string()))?;
    file.add(key.clone()).map_err(ended)?;
    if console.output() == Output::Table {
        return console.print(&format!(
            "The key of {}, shown this once; only its hash is kept:\n\n  {text}\n\nPrograms send it as \
             `Authorization: Bearer KEY`. `kaigi keys revoke {}` ends it.\n",
            key.name, key.id
        ));
    }
    let mut row = json!(key.row());
    row["key"] = text.into();
    console.print(&json_line(&row))
}

fn list_keys(file: &KeyFile, console: &mut Console) -> anyhow::Result<()> {
    let keys = file.keys().map_err(ended)?;
    match console.output() {
        Output::Table => console.table(&keys, &columns(domain::now()), "There are no keys."),
        Output::Ndjson => {
            let mut keys = keys.iter();
            keys.try_for_each(|key| console.print(&json_line(&key.row())))
        }
        Output::Json | Output::Csv => {
            let rows: Vec<Value> = keys.iter().map(|key| json!(key.row())).collect();
            console.print(&json_line(&json!({"keys": rows})))
        }
    }
}

fn revoke(file: &KeyFile, id: &str, console: &mut Console) -> anyhow::Result<()> {
    let key = file.revoke(id, domain::now()).map_err(ended)?;
    if console.output() != Output::Table {
        return console.print(&json_line(&key.row()));
    }
    let when = time(key.revoked_at);
    console.print(&format!(
        "The key {id} of {} is revoked since {when}.\n",
        key.name
    ))
}

fn columns(now: Timestamp) -> [Column<Key>; 6] {
    [
        column("ID", |key: &Key| key.id.clone()),
        column("NAME", |key: &Key| key.name.clone()),
        list("ROLES", |key: &Key| {
            let roles = key.grants.iter().map(|grant| grant.role().to_string());
            vec![roles.collect::<Vec<_>>().join(", ")]
        }),
        list("BOUND TO", bound_to),
        column("CREATED", |key: &Key| date(key.created_at)),
        list("STATE", move |key: &Key| vec![state(key, now)]),
    ]
}

/// Whether the service admits the key, and from or until when.
fn state(key: &Key, now: Timestamp) -> String {
    match (key.revoked_at, key.expires_at) {
        (Some(at), _) => format!("revoked {}", date(at)),
        (None, Some(at)) if at <= now => format!("expired {}", date(at)),
        (None, Some(at)) => format!("valid until {}", date(at)),
        (None, None) => "valid".to_owned(),
    }
}

/// The date of a time, UTC; the other outputs have all of it.
fn date(at: Timestamp) -> String {
    at.to_string()[..10].to_owned()
}

fn bound_to(key: &Key) -> Vec<String> {
    let agent = key.agent().map(|agent| format!("agent:{agent}"));
    let supervisor = key.supervisor().map(|id| format!("supervisor:{id}"));
    agent.into_iter().chain(supervisor).collect()
}

fn time(at: Option<Timestamp>) -> String {
    at.map_or("-".to_owned(), |at| at.to_string())
}

/// What is not there ends the program as it does elsewhere.
fn ended(error: KeyFileError) -> anyhow::Error {
    match error {
        KeyFileError::Missing { .. } | KeyFileError::NoSuchKey { .. } => {
            not_found(error.to_string())
        }
        KeyFileError::NameTaken { .. } => conflict(error.to_string()),
        KeyFileError::Malformed { .. } | KeyFileError::Io { .. } => error.into(),
    }
}

/// A supervisor, with or without `supervisor:` before the ID.
fn supervisor(text: &str) -> Result<SupervisorId, String> {
    let id = text.strip_prefix("supervisor:").unwrap_or(text);
    id.parse()
        .map_err(|error: domain::InvalidText| error.to_string())
}

/// A time, or how long from now.
fn end(text: &str) -> Result<Timestamp, String> {
    let after = text.parse::<TimeSpan>();
    let after = after.map(|lasts| domain::now().plus_millis(lasts.as_millis()));
    after.or_else(|_| text.parse()).map_err(|_| {
        "must be a whole number of s, m, h or d, such as 90d, or a time like 2027-01-01T00:00:00Z"
            .to_owned()
    })
}
