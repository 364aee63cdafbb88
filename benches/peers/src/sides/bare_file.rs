//! An append-only file that takes the same bytes: what durable writing costs with nothing around it.

use super::{Counts, Side, block_of};
use crate::group_commit::GroupCommit;
use domain::Batch;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

pub(crate) struct BareFile(GroupCommit<Arc<[u8]>>);

impl Side for BareFile {
    const NAME: &'static str = "bare file";

    type Command = Arc<[u8]>;

    fn command(batch: &Batch) -> Arc<[u8]> {
        block_of(batch.events()).into()
    }

    /// It takes the same bytes any number of times, and nothing that is prepared would last it for seconds.
    fn played(script: Vec<Arc<[u8]>>) -> impl Iterator<Item = Arc<[u8]>> + Send {
        script.into_iter().cycle()
    }

    async fn open(folder: &Path) -> Self {
        Self(append_only(folder))
    }

    async fn append(&self, command: Arc<[u8]>) {
        self.0.take(command).await;
    }

    fn counts(&self) -> Counts {
        self.0.counts()
    }

    async fn close(self) {
        self.0.close();
    }
}

/// The same file where the bytes are not ready: it is given events, as kaigi is, and whoever appends encodes them.
pub(crate) struct EncodingFile(GroupCommit<Arc<[u8]>>);

impl Side for EncodingFile {
    const NAME: &'static str = "bare file given events";

    type Command = Batch;

    fn command(batch: &Batch) -> Batch {
        batch.clone()
    }

    async fn open(folder: &Path) -> Self {
        Self(append_only(folder))
    }

    async fn append(&self, command: Batch) {
        let bytes = block_of(command.events());
        self.0.take(bytes.into()).await;
    }

    fn counts(&self) -> Counts {
        self.0.counts()
    }

    async fn close(self) {
        self.0.close();
    }
}

fn append_only(folder: &Path) -> GroupCommit<Arc<[u8]>> {
    let mut file = File::create(folder.join("bare")).expect("a file can be made");
    let mut bytes = Vec::new();
    GroupCommit::start(move |commands: &[Arc<[u8]>]| {
        bytes.clear();
        for command in commands {
            bytes.extend_from_slice(command);
        }
        file.write_all(&bytes).expect("the disk takes it");
        file.sync_data().expect("the disk keeps it");
    })
}
