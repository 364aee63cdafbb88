//! A told call as requests the domain accepts.

use super::story::{Story, Untold};
use super::switchboard::Moment;
use domain::json::write_command;
use domain::{CallId, Command, CommandId, Rejection, Request, decide, evolve};
use uuid::Uuid;

/// What identifiers of imported commands are derived in; never change it, or importing again writes everything twice.
const IMPORTED: Uuid = Uuid::from_u128(0x6b61_6967_692d_4173_b465_7269_736b_2d31);

/// The requests of a call, each with an `id` made from its content and place, so that importing twice writes nothing twice.
pub(super) fn requests(story: &Story) -> Result<Vec<Request>, Untold> {
    // The interface asks senders to write a slash like this.
    let call: CallId = story.call.replace('/', "%2F").parse()?;
    let mut commands = story.commands.clone();
    commands.sort_by_key(|(when, _)| *when);
    rehearse(&commands)?;
    let requests = commands.into_iter().enumerate();
    Ok(requests
        .map(|(place, (when, command))| request(&call, place, when, command))
        .collect())
}

/// Applies the commands to a call of their own: what a capture leads us to must be possible by the rules.
fn rehearse(commands: &[(Moment, Command)]) -> Result<(), Rejection> {
    let mut call = domain::Call::default();
    for (when, command) in commands {
        for event in decide(&call, command)? {
            call = evolve(call, &event, when.at);
        }
    }
    Ok(())
}

fn request(call: &CallId, place: usize, when: Moment, command: Command) -> Request {
    let mut request = Request {
        call: call.clone(),
        id: None,
        at: Some(when.at),
        correlation: None,
        expect: None,
        command,
    };
    let content = format!("{place} {}", write_command(&request));
    request.id = Some(CommandId(Uuid::new_v5(&IMPORTED, content.as_bytes())));
    request
}
