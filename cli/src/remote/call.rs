//! `kaigi call` through a service.

use crate::args::OneCall;
use crate::exit::Exit;
use crate::one_call;
use crate::output::{Console, Output, json_line, plain};
use client::{Client, ClientError, Problem};
use domain::json::write_command;
use domain::{CommandId, Request};
use serde_json::{Value, json};
use uuid::Uuid;

/// Sends the command and prints what followed, or which rule refused and what to do instead.
pub async fn call(client: &Client, args: OneCall, console: &mut Console) -> anyhow::Result<Exit> {
    let mut request = one_call::request(args);
    // With an id it can be sent again, by the client itself and by hand.
    let id = *request.id.get_or_insert(CommandId(Uuid::new_v4()));
    let path = ["v1", "calls", request.call.as_str(), "commands"];
    match client.post(path, write_command(&request)).await {
        Ok(answer) => {
            accepted(answer.text()?, console)?;
            Ok(Exit::Done)
        }
        Err(error) => match error.problem().and_then(|problem| refusal(problem)) {
            Some((exit, problem)) => {
                refused(&request, id, problem, console)?;
                Ok(exit)
            }
            None => Err(not_decided(error, id)),
        },
    }
}

/// What the command is answered with, where the answer is no.
fn refusal(problem: &Problem) -> Option<(Exit, &Problem)> {
    let exit = match problem.status {
        404 if problem.code == "call_not_found" => Exit::NotFound,
        409 | 422 => Exit::Rejected,
        412 => Exit::Conflict,
        _ => return None,
    };
    Some((exit, problem))
}

fn not_decided(error: ClientError, id: CommandId) -> anyhow::Error {
    let is_passing = error.is_passing();
    let error = anyhow::Error::from(error);
    if is_passing {
        error.context(one_call::Unanswered(id))
    } else {
        error
    }
}

fn accepted(answer: &str, console: &mut Console) -> anyhow::Result<()> {
    match console.output() {
        Output::Table => {
            let answer: Value = serde_json::from_str(answer)?;
            console.prose(&told(&answer))
        }
        Output::Json | Output::Ndjson | Output::Csv => {
            console.print(answer.trim_end())?;
            console.print("\n")
        }
    }
}

fn refused(
    request: &Request,
    id: CommandId,
    problem: &Problem,
    console: &mut Console,
) -> anyhow::Result<()> {
    match console.output() {
        Output::Table => {
            let rule = problem.rule.as_ref();
            let rule = rule.map_or(String::new(), |rule| format!(" ({rule})"));
            eprintln!("refused: {}{rule}: {}", problem.code, problem.detail);
            Ok(())
        }
        Output::Json | Output::Ndjson | Output::Csv => console.print(&json_line(&json!({
            "call": request.call.as_str(), "id": id.to_string(), "accepted": false,
            "rejection": rejection(problem),
        }))),
    }
}

fn rejection(problem: &Problem) -> Value {
    let mut rejection = json!({
        "code": problem.code, "rule": problem.rule, "message": problem.detail,
    });
    if let Some(revision) = problem.revision {
        rejection["revision"] = revision.into();
    }
    rejection
}

/// What followed, an event a line: which rule each followed by stands in the call's history, which other keys may read.
fn told(answer: &Value) -> String {
    let events = answer["events"].as_array().map_or(&[][..], Vec::as_slice);
    let mut lines = Vec::new();
    if let Some(first) = events.first() {
        let who = first["actor"].as_str().unwrap_or("the telephone system");
        let at = first["at"].as_str().unwrap_or_default();
        lines.push(format!("{at}  {}", plain(who)));
    }
    lines.extend(events.iter().map(event));
    let call = plain(answer["call"].as_str().unwrap_or_default());
    let revision = &answer["revision"];
    lines.push(format!("\ncall {call} is at revision {revision} now\n"));
    lines.join("\n")
}

fn event(event: &Value) -> String {
    let fields = event["data"].as_object().into_iter().flatten();
    let fields = fields.filter(|(_, value)| !value.is_null());
    let fields = fields.map(|(name, value)| match value.as_str() {
        Some(text) => format!("{name} {}", plain(text)),
        None => format!("{name} {value}"),
    });
    let kind = event["type"].as_str().unwrap_or_default();
    let line = format!(
        "{:>26}{kind}  {}",
        "",
        fields.collect::<Vec<_>>().join(", ")
    );
    line.trim_end().to_owned()
}
