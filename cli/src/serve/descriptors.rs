//! How many files and connections the system lets the process have: the store's files come before connections, which
//! can wait.

/// What is kept for the store's files and all else that is no connection that is served.
#[cfg(unix)]
const KEPT: usize = 256;

/// Takes as many as the system gives, and answers how many of the wanted connections can be had.
#[cfg(unix)]
pub(super) fn connections(wanted: usize) -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: maximum,
        maximum,
    };
    // Where it may not be raised, what there is must do.
    let _ = setrlimit(Resource::Nofile, most);
    let Some(limit) = getrlimit(Resource::Nofile).current else {
        return wanted;
    };
    within(usize::try_from(limit).unwrap_or(usize::MAX), wanted)
}

/// Nobody counts them here.
#[cfg(not(unix))]
pub(super) fn connections(wanted: usize) -> usize {
    wanted
}

#[cfg(unix)]
fn within(limit: usize, wanted: usize) -> usize {
    let room = limit.saturating_sub(KEPT).max(limit / 4).max(1);
    if room < wanted {
        eprintln!(
            "kaigi: the system allows {limit} open files, so {room} connections are served at once and not {wanted}; \
             raise it (ulimit -n, LimitNOFILE=) or set max_connections"
        );
    }
    room.min(wanted)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn the_store_keeps_its_files_however_many_connections_are_wanted() {
        for (limit, wanted, expected) in [
            (1_048_576, 4096, 4096),
            (1024, 4096, 768),
            (1024, 100, 100),
            (64, 4096, 16),
            (0, 4096, 1),
        ] {
            assert_eq!(within(limit, wanted), expected, "{limit}");
        }
    }
}
