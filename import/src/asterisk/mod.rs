//! Captured events of the Asterisk Manager Interface, one JSON array a file in the order of arrival.
//!
//! A channel is a leg (`Uniqueid`), the legs of a call share a `Linkedid`, bridges say who hears whom. What the
//! events do not say is decided here:
//!
//! - **Inside and outside.** A telephone of the contact centre is created with an account code, a line to the outside
//!   (a trunk) without one. Only `Newchannel` counts: later the code of whoever pays is written over it.
//! - **Agent.** That account code: the extension is unknown in calls from outside, and unique in one client only.
//! - **Customer.** Of the two who talk first, the outside one; between two inside ones who called, in click-to-dial who
//!   was dialled second. If the customer transfers, the call cannot be told.
//! - **Call.** The `Linkedid` with which the customer's leg began. A call that passes a second time through the same
//!   switchboard (out to the world and in again) has two of them and is two calls, each with its own customer.
//! - **Consult.** A second leg on which the agent called somebody from within the call, if an answered attended transfer
//!   joins the two; otherwise it is a call of its own. It began when that leg was created, and held the customer: a
//!   telephone has one conversation at a time.
//! - **End.** Who was first to leave the last bridge hung up. A capture that ends before leaves the call open.
//! - **All or nothing.** A blind transfer after an answered conversation would need an end that never was, so of such a
//!   call not even its beginning is told. The domain decides last: a call with one refused command has none.
//! - **Time.** No field carries it; a leg's identifiers carry the second it was created, and an event's time is the
//!   latest of those so far. Durations are therefore lower bounds.

mod commands;
mod reading;
mod story;
mod switchboard;

use crate::{Import, ImportError, Note};
use domain::Request;
use reading::Capture;
use std::path::{Path, PathBuf};
use story::{Remark, Untold};
use switchboard::{Call, Switchboard};

/// Turns captures into commands, each by itself, in the order given.
pub fn import_captures(files: &[(PathBuf, Vec<u8>)]) -> Result<Import, ImportError> {
    let mut import = Import::default();
    for (file, bytes) in files {
        let capture = reading::read(file, bytes)?;
        import_capture(file, &capture, &mut import);
    }
    Ok(import)
}

fn import_capture(file: &Path, capture: &Capture, import: &mut Import) {
    let board = Switchboard::draw(capture);
    let calls = board.calls();
    let told_before = import.commands.len();
    for call in &calls {
        match told(call) {
            Ok((requests, remarks)) => {
                let id = requests.first().map(|request| request.call.to_string());
                let note = |remark: &Remark| Note::about(file, id.clone(), remark.to_string());
                import.notes.extend(remarks.iter().map(note));
                import.commands.extend(requests);
            }
            Err(untold) => {
                let id = Some(call.linkedid().to_owned());
                import.notes.push(Note::about(file, id, untold.to_string()));
            }
        }
    }
    let has_commands = import.commands.len() > told_before;
    let of_file = of_capture(capture, calls.is_empty(), has_commands);
    import
        .notes
        .extend(of_file.map(|text| Note::about(file, None, text)));
}

fn told(call: &Call) -> Result<(Vec<Request>, Vec<Remark>), Untold> {
    let story = story::tell(call)?;
    let requests = commands::requests(&story)?;
    Ok((requests, story.remarks))
}

/// What is to say about a capture as a whole.
fn of_capture(
    capture: &Capture,
    is_empty: bool,
    has_commands: bool,
) -> impl Iterator<Item = String> {
    let empty = is_empty.then(|| "there is no call in it".to_owned());
    let times = has_commands.then(|| {
        "no event carries its time, so each is taken at the latest second in which a leg was created: durations are lower bounds"
            .to_owned()
    });
    let unknown = capture
        .unknown
        .iter()
        .map(|(name, count)| format!("{name} ({count})"))
        .collect::<Vec<_>>();
    let unknown = (!unknown.is_empty()).then(|| {
        format!(
            "events of unknown kinds were skipped: {}",
            unknown.join(", ")
        )
    });
    [empty, times, unknown].into_iter().flatten()
}
