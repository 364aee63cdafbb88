//! `kaigi copy`: one store into another.

use crate::args::Copy;
use crate::exit::{Exit, usage};
use crate::facts::{Fact, damaged_calls, print};
use crate::output::Console;
use crate::progress;
use crate::store::{StoreUrl, closing};
use copies::{Copied, DamagedCalls};

/// Which command tells more of damage: reading met it at one end or the other.
pub const WHEN_DAMAGED: &str = "`kaigi store damaged` of each end lists what is damaged; --leave-out-damaged copies the whole calls of the source";

/// The two ends of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ends {
    from: StoreUrl,
    to: StoreUrl,
    damaged: Damaged,
}

/// What becomes of damaged calls of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Damaged {
    End,
    LeaveOut,
}

impl Ends {
    /// The end that is not named is the store that every other command would use: a password in its URL need not
    /// stand in a command line then.
    pub fn new(args: Copy, store: Option<StoreUrl>) -> anyhow::Result<Self> {
        let (from, to) = match (args.from, args.to, store) {
            (Some(from), Some(to), _)
            | (Some(from), None, Some(to))
            | (None, Some(to), Some(from)) => (from, to),
            (from, _, _) => {
                let missing = from.map_or("--from", |_| "--to");
                return Err(usage(format!(
                    "where is the other end of the copy? name it with {missing}, or in KAIGI_STORE"
                )));
            }
        };
        if from.is_same(&to) {
            return Err(usage(format!(
                "{from} is both ends of the copy; name another store with --from or --to"
            )));
        }
        let damaged = if args.leave_out_damaged {
            Damaged::LeaveOut
        } else {
            Damaged::End
        };
        Ok(Self { from, to, damaged })
    }
}

/// Copies, and prints the digests of both sides.
pub async fn copy(ends: &Ends, console: &mut Console) -> anyhow::Result<Exit> {
    ends.from.must_exist()?;
    ends.to.must_be_writable()?;
    let from = ends.from.open().await?;
    let copied = closing(&*from, async {
        let to = ends.to.open().await?;
        let mut progress = progress::copies();
        let mut report = |step| progress.step(step);
        let copied = closing(&*to, async {
            match ends.damaged {
                Damaged::End => Ok((copies::copy(&*from, &*to, &mut report).await?, None)),
                Damaged::LeaveOut => {
                    let copied = copies::copy_whole_calls(&*from, &*to, &mut report).await?;
                    Ok((copied.0, Some(copied.1)))
                }
            }
        });
        let copied = copied.await;
        progress.done();
        copied
    });
    let (copied, left_out) = copied.await?;
    let mut facts = facts(ends, &copied);
    if let Some(left_out) = left_out {
        facts.push(Fact::new("calls left out", "left_out", left_out.calls()));
        name_left_out(&left_out);
    }
    print("a copy", &facts, console)?;
    Ok(Exit::Done)
}

fn name_left_out(left_out: &DamagedCalls) {
    if left_out.calls() > 0 {
        let names = left_out.names();
        eprintln!(
            "kaigi: left out {}: {names}",
            damaged_calls(left_out.calls())
        );
    }
    if left_out.unknown() > 0 {
        eprintln!(
            "kaigi: {} damaged events belong to calls that cannot be told; a call whose last events they are was copied \
             without them",
            left_out.unknown()
        );
    }
}

fn facts(ends: &Ends, copied: &Copied) -> Vec<Fact> {
    let Copied {
        source,
        destination,
        sent,
    } = copied;
    vec![
        Fact::new("from", "from", ends.from.to_string()),
        Fact::new("to", "to", ends.to.to_string()),
        Fact::new("calls", "calls", source.calls),
        Fact::new("events", "events", source.events),
        Fact::new("of these sent", "sent", *sent),
        Fact::new("digest, from", "digest_from", source.sha256.to_string()),
        Fact::new("digest, to", "digest_to", destination.sha256.to_string()),
        Fact::new("up to position", "up_to_position", source.last.0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(from: Option<&str>, to: Option<&str>, named: Option<&str>) -> Result<Ends, String> {
        let store = |url: &str| url.parse().unwrap();
        let [from, to, named] = [from, to, named].map(|url| url.map(store));
        let args = Copy {
            from,
            to,
            leave_out_damaged: false,
        };
        Ends::new(args, named).map_err(|error| error.to_string())
    }

    #[test]
    fn the_end_that_is_not_named_is_the_store_of_every_other_command() {
        let both = ends(Some("sled:a"), Some("esdb://b"), None);
        assert_eq!(ends(Some("sled:a"), None, Some("esdb://b")), both);
        assert_eq!(ends(None, Some("esdb://b"), Some("sled:a")), both);
        let named = ends(Some("sled:a"), Some("esdb://b"), Some("sled:c"));
        assert_eq!(named, both);
    }

    #[test]
    fn a_copy_has_two_ends() {
        for (from, to, named, wrong) in [
            (Some("sled:a"), None, None, "--to"),
            (None, Some("sled:a"), None, "--from"),
            (Some("sled:a"), None, Some("sled:a"), "both ends"),
            (None, Some("esdb://b"), Some("esdb://b"), "both ends"),
        ] {
            let refused = ends(from, to, named).unwrap_err();
            assert!(refused.contains(wrong), "{refused}");
        }
    }
}
