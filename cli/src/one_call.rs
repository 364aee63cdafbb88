//! `kaigi call`: one command by hand.

use crate::args::OneCall;
use crate::exit::Exit;
use crate::output::{self, Console, Output};
use crate::story;
use domain::handle::HandleError;
use domain::json::{AnswerJson, RejectionJson};
use domain::{Answer, CommandId, Handler, Request, StoreError};

/// Sends the command and prints what followed, or which rule refused and what to do instead.
pub async fn call(handler: &Handler, args: OneCall, console: &mut Console) -> anyhow::Result<Exit> {
    let request = request(args);
    let id = request.id.unwrap_or_else(|| handler.random_id());
    match handler.handle(&request, id, handler.now()).await {
        Ok(answer) => {
            accepted(&answer, console)?;
            Ok(Exit::Done)
        }
        Err(error) => refused(&request, id, error, console),
    }
}

fn accepted(answer: &Answer, console: &mut Console) -> anyhow::Result<()> {
    match console.output() {
        Output::Table => {
            console.prose(&story::told(&answer.events, answer.events.len()))?;
            console.print(&format!(
                "\ncall {} is at revision {} now\n",
                answer.call,
                answer.revision()
            ))
        }
        Output::Json | Output::Ndjson | Output::Csv => {
            console.print(&output::json_line(&AnswerJson::accepted(answer)))
        }
    }
}

fn refused(
    request: &Request,
    id: CommandId,
    error: HandleError,
    console: &mut Console,
) -> anyhow::Result<Exit> {
    let Some(rejection) = RejectionJson::of(&error) else {
        return Err(not_decided(error, id));
    };
    match console.output() {
        Output::Table => {
            let rule = rejection.rule.as_ref();
            let rule = rule.map_or(String::new(), |rule| format!(" ({rule})"));
            eprintln!("refused: {}{rule}: {}", rejection.code, rejection.message);
        }
        Output::Json | Output::Ndjson | Output::Csv => {
            let answer = AnswerJson::refused(&request.call, id, rejection);
            console.print(&output::json_line(&answer))?;
        }
    }
    Ok(Exit::of_command(&error))
}

/// With the id, the same command can be sent again without being applied twice.
fn not_decided(error: HandleError, id: CommandId) -> anyhow::Error {
    let is_unknown = matches!(error, HandleError::Store(StoreError::Unavailable(_)));
    let error = anyhow::Error::from(error);
    if is_unknown {
        error.context(Unanswered(id))
    } else {
        error
    }
}

/// What to do about a command whose answer did not come.
#[derive(Debug, thiserror::Error)]
#[error("whether the command was accepted is not known; send it again with --id {0} to learn it")]
pub struct Unanswered(pub CommandId);

pub(crate) fn request(args: OneCall) -> Request {
    Request {
        call: args.call,
        id: args.id.map(CommandId),
        at: args.at,
        correlation: args.correlation,
        expect: args.expect,
        command: args.verb.into(),
    }
}
