//! `kaigi copy`: one store into another.

use crate::args::Copy;
use crate::exit::{Exit, usage};
use crate::output::Console;
use crate::progress;
use crate::store::closing;
use crate::store_verbs::{Fact, print};
use copies::Copied;

/// Copies, and prints the digests of both sides.
pub async fn copy(args: &Copy, console: &mut Console) -> anyhow::Result<Exit> {
    if args.from.is_same(&args.to) {
        return Err(usage(format!(
            "{} is both ends of the copy; name another store with --to",
            args.from
        )));
    }
    args.from.must_exist()?;
    args.to.must_be_writable()?;
    let from = args.from.open().await?;
    let copied = closing(&*from, async {
        let to = args.to.open().await?;
        let mut progress = progress::copies();
        let mut report = |step| progress.step(step);
        let copied = closing(&*to, async {
            Ok(copies::copy(&*from, &*to, &mut report).await?)
        });
        let copied = copied.await;
        progress.done();
        copied
    });
    let facts = facts(args, &copied.await?);
    print("a copy", &facts, console)?;
    Ok(Exit::Done)
}

fn facts(args: &Copy, copied: &Copied) -> Vec<Fact> {
    let Copied {
        source,
        destination,
        sent,
    } = copied;
    vec![
        Fact::new("from", "from", args.from.to_string()),
        Fact::new("to", "to", args.to.to_string()),
        Fact::new("calls", "calls", source.calls),
        Fact::new("events", "events", source.events),
        Fact::new("of these sent", "sent", *sent),
        Fact::new("digest, from", "digest_from", source.sha256.to_string()),
        Fact::new("digest, to", "digest_to", destination.sha256.to_string()),
        Fact::new("up to position", "up_to_position", source.last.0),
    ]
}
