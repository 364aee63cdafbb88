//! How the program ends, for whoever called it.

use client::{ClientError, Disagreement};
use copies::BackupFault;
use copies::CopyError;
use domain::envelope::Altered;
use domain::{AppendError, HandleError, StoreError};
use std::path::Path;
use std::process::ExitCode;
use store_sled::OpenError;
use store_sled::archive::ArchiveError;
use store_sled::check::CheckError;
use store_sled::repair::RepairError;

/// What the program's exit code says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// All done; a refused command in a file is an answer, not a failure.
    Done = 0,
    /// Something failed.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// A rule refused a command.
    Rejected = 3,
    /// No such call, or no such point of it.
    NotFound = 4,
    /// The call is not at the revision the command expects, or a name is taken.
    Conflict = 5,
    /// A history does not verify.
    Altered = 6,
    /// Some input lines were malformed.
    Malformed = 65,
    /// The store is busy or unreachable, or a conflict could not be settled: try again.
    TryAgain = 75,
}

impl Exit {
    /// Of several, the one that says the most: try again, failed, malformed, rejected, done.
    #[must_use]
    pub fn and(self, other: Exit) -> Exit {
        const BY_WEIGHT: [Exit; 4] = [
            Exit::TryAgain,
            Exit::Failed,
            Exit::Malformed,
            Exit::Rejected,
        ];
        let mut weighty = BY_WEIGHT.into_iter();
        weighty
            .find(|exit| *exit == self || *exit == other)
            .unwrap_or(self.max(other))
    }

    /// What a command by hand ends the program with.
    pub fn of_command(error: &HandleError) -> Exit {
        match error {
            HandleError::Rejected { .. } | HandleError::CommandIdReused(_) => Exit::Rejected,
            HandleError::Expected { .. } => Exit::Conflict,
            HandleError::Unsettled { .. } => Exit::TryAgain,
            HandleError::Store(error) => Exit::of_store(error),
        }
    }

    fn of_store(error: &StoreError) -> Exit {
        match error {
            StoreError::Unavailable(_) => Exit::TryAgain,
            StoreError::Corrupt(_) | StoreError::DamagedEvent(_) | StoreError::Refused(_) => {
                Exit::Failed
            }
        }
    }

    fn of_copy(error: &CopyError) -> Exit {
        match error {
            CopyError::Store(error)
            | CopyError::NotKept {
                why: AppendError::Store(error),
                ..
            } => Exit::of_store(error),
            CopyError::Diverged { .. } | CopyError::NotKept { .. } | CopyError::NotNew { .. } => {
                Exit::Conflict
            }
            CopyError::SameStore(_) => Exit::Usage,
            CopyError::DamagedCalls { first, .. } => Exit::of_copy(first),
            CopyError::Backup {
                what: BackupFault::NoBackup,
                ..
            } => Exit::NotFound,
            CopyError::Backup {
                what: BackupFault::Busy,
                ..
            } => Exit::TryAgain,
            _ if error.is_unverified() => Exit::Altered,
            _ => Exit::Failed,
        }
    }

    fn of_open(error: &OpenError) -> Exit {
        match error {
            OpenError::Busy { .. } | OpenError::DiskFull { .. } | OpenError::Away { .. } => {
                Exit::TryAgain
            }
            OpenError::Altered { .. } => Exit::Altered,
            _ => Exit::Failed,
        }
    }

    fn of_cluster(error: &store_eventstoredb::OpenError) -> Exit {
        match error {
            store_eventstoredb::OpenError::Url(_) => Exit::Usage,
            store_eventstoredb::OpenError::Unreachable(_) => Exit::TryAgain,
            _ => Exit::Failed,
        }
    }

    fn of_check(error: &CheckError) -> Exit {
        match error {
            CheckError::Open(error) => Exit::of_open(error),
            CheckError::Read(error) => Exit::of_store(error),
            CheckError::Damaged(_) | CheckError::Index(_) => Exit::Altered,
            _ => Exit::Failed,
        }
    }

    fn of_repair(error: &RepairError) -> Exit {
        match error {
            RepairError::Open(error) => Exit::of_open(error),
            RepairError::Store(error) => Exit::of_store(error),
            RepairError::Taken(_) | RepairError::InTheStore(_) => Exit::Usage,
            RepairError::NoLog(_) => Exit::NotFound,
            _ => Exit::Failed,
        }
    }

    fn of_archive(error: &ArchiveError) -> Exit {
        match error {
            ArchiveError::Store(error) => Exit::of_store(error),
            ArchiveError::Folder(error) => Exit::of_open(error),
            ArchiveError::InTheStore(_) | ArchiveError::Taken(_) => Exit::Usage,
            ArchiveError::NotTheSame(_) => Exit::Altered,
            ArchiveError::Unsettled { .. } => Exit::TryAgain,
            _ => Exit::Failed,
        }
    }

    /// What a service that did not do what it was asked ends the program with.
    pub fn of_client(error: &ClientError) -> Exit {
        if error.is_passing() {
            return Exit::TryAgain;
        }
        match error.problem().map(|problem| problem.status) {
            Some(404) => Exit::NotFound,
            Some(412) => Exit::Conflict,
            None if matches!(error, ClientError::Misnamed(_)) => Exit::Usage,
            Some(_) | None => Exit::Failed,
        }
    }

    /// What a failure ends the program with.
    pub fn of(error: &anyhow::Error) -> Exit {
        error.chain().find_map(of_cause).unwrap_or(Exit::Failed)
    }
}

fn of_cause(cause: &(dyn std::error::Error + 'static)) -> Option<Exit> {
    if let Some(error) = cause.downcast_ref::<Ended>() {
        return Some(error.exit);
    }
    if let Some(error) = cause.downcast_ref() {
        return Some(Exit::of_store(error));
    }
    if let Some(error) = cause.downcast_ref() {
        return Some(Exit::of_command(error));
    }
    if let Some(error) = cause.downcast_ref() {
        return Some(Exit::of_copy(error));
    }
    if let Some(error) = cause.downcast_ref() {
        return Some(Exit::of_open(error));
    }
    if let Some(error) = cause.downcast_ref() {
        return Some(Exit::of_cluster(error));
    }
    if let Some(error) = cause.downcast_ref() {
        return Some(Exit::of_check(error));
    }
    if let Some(error) = cause.downcast_ref() {
        return Some(Exit::of_repair(error));
    }
    if let Some(error) = cause.downcast_ref() {
        return Some(Exit::of_archive(error));
    }
    if let Some(error) = cause.downcast_ref() {
        return Some(Exit::of_client(error));
    }
    let unverified = cause.is::<Altered>() || cause.is::<Disagreement>();
    unverified.then_some(Exit::Altered)
}

/// Whether reading showed that the store is damaged.
pub fn is_damage(error: &anyhow::Error) -> bool {
    let mut causes = error.chain().filter_map(store_error);
    causes.any(StoreError::is_damage)
}

/// The folder of the embedded store that another process has, if that is why it failed.
pub fn busy_folder(error: &anyhow::Error) -> Option<&Path> {
    match error.chain().find_map(open_error)? {
        OpenError::Busy { path } => Some(path),
        _ => None,
    }
}

/// Why an embedded store cannot be opened, also within the errors that pass it on as theirs.
fn open_error<'e>(cause: &'e (dyn std::error::Error + 'static)) -> Option<&'e OpenError> {
    if let Some(CheckError::Open(error)) = cause.downcast_ref() {
        return Some(error);
    }
    if let Some(RepairError::Open(error)) = cause.downcast_ref() {
        return Some(error);
    }
    if let Some(ArchiveError::Folder(error)) = cause.downcast_ref() {
        return Some(error);
    }
    cause.downcast_ref()
}

/// The store's own error, also within those that pass it on as theirs.
fn store_error<'e>(cause: &'e (dyn std::error::Error + 'static)) -> Option<&'e StoreError> {
    if let Some(HandleError::Store(error)) = cause.downcast_ref() {
        return Some(error);
    }
    if let Some(error) = cause.downcast_ref() {
        return of_copying(error);
    }
    cause.downcast_ref()
}

fn of_copying(error: &CopyError) -> Option<&StoreError> {
    match error {
        CopyError::Store(error) => Some(error),
        CopyError::DamagedCalls { first, .. } => of_copying(first),
        _ => None,
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// A failure that knows how the program must end.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Ended {
    exit: Exit,
    message: String,
}

/// A command line that cannot be carried out.
pub fn usage(message: impl Into<String>) -> anyhow::Error {
    let (exit, message) = (Exit::Usage, message.into());
    Ended { exit, message }.into()
}

/// Something that is not there.
pub fn not_found(message: impl Into<String>) -> anyhow::Error {
    let (exit, message) = (Exit::NotFound, message.into());
    Ended { exit, message }.into()
}

/// Something that is there already and must be there once.
pub fn conflict(message: impl Into<String>) -> anyhow::Error {
    let (exit, message) = (Exit::Conflict, message.into());
    Ended { exit, message }.into()
}

/// A history that is not the one that was seen before.
pub fn altered(message: impl Into<String>) -> anyhow::Error {
    let (exit, message) = (Exit::Altered, message.into());
    Ended { exit, message }.into()
}

#[cfg(test)]
mod tests {
    use super::{Exit, is_damage};
    use domain::{HandleError, StoreError};

    #[test]
    fn a_store_that_cannot_answer_is_worth_another_try() {
        let unavailable = StoreError::Unavailable("the disk is full".to_owned());
        let by_hand = HandleError::Store(unavailable.clone());
        assert_eq!(Exit::of(&unavailable.into()), Exit::TryAgain);
        assert_eq!(Exit::of(&by_hand.into()), Exit::TryAgain);
        let corrupt = StoreError::Corrupt("a block is missing".to_owned());
        assert_eq!(Exit::of(&HandleError::Store(corrupt).into()), Exit::Failed);
        let refused = StoreError::Refused("the right to write is missing".to_owned());
        assert_eq!(Exit::of(&HandleError::Store(refused).into()), Exit::Failed);
        assert_eq!(Exit::of(&anyhow::anyhow!("else")), Exit::Failed);
    }

    #[test]
    fn a_cluster_that_is_misnamed_or_refuses_is_not_worth_another_try() {
        use store_eventstoredb::OpenError;
        for (error, exit) in [
            (OpenError::Url(String::new()), Exit::Usage),
            (OpenError::Unreachable(String::new()), Exit::TryAgain),
            (OpenError::Right(String::new()), Exit::Failed),
            (OpenError::Damaged(String::new()), Exit::Failed),
        ] {
            let opening = anyhow::Error::new(error).context("cannot open it");
            assert_eq!(Exit::of(&opening), exit);
        }
    }

    #[test]
    fn damage_is_known_whoever_met_it() {
        let damage = || StoreError::Corrupt("a block is missing".to_owned());
        let copying = copies::CopyError::Store(damage());
        assert!(is_damage(&damage().into()));
        assert!(is_damage(&HandleError::Store(damage()).into()));
        assert!(is_damage(&anyhow::Error::new(copying).context("copying")));
        assert!(!is_damage(&StoreError::Unavailable(String::new()).into()));
    }

    #[test]
    fn of_several_ends_the_weightiest_is_told() {
        assert_eq!(Exit::Done.and(Exit::Rejected), Exit::Rejected);
        assert_eq!(Exit::Rejected.and(Exit::Malformed), Exit::Malformed);
        assert_eq!(Exit::Failed.and(Exit::Malformed), Exit::Failed);
        assert_eq!(Exit::Failed.and(Exit::TryAgain), Exit::TryAgain);
        assert_eq!(Exit::Done.and(Exit::Done), Exit::Done);
    }
}
