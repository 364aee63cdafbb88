//! Where a verb is carried out: on a store at hand, or through a running service.

use crate::args::{Cli, StoreVerb, Verb};
use crate::exit::usage;
use crate::remote::Access;
use crate::store::StoreUrl;
use clap::ArgMatches;
use clap::parser::ValueSource;

/// What a verb can be carried out on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needs {
    /// A store at hand or a service.
    Either,
    /// A service; what takes its place without one is said.
    Service(&'static str),
    /// A store at hand; what to do instead of asking a service is said.
    Store(&'static str),
    /// The same, but one that makes or finds its store itself if none is named.
    OwnStore(&'static str),
    /// Neither.
    Nothing,
}

/// The store or the service that was named for the verb; none if none was, which means the default store. What stands on
/// the command line goes before the environment, and there the service goes before the store, which it has.
pub fn named(cli: &mut Cli, matches: &ArgMatches) -> anyhow::Result<Option<StoreUrl>> {
    let access = Access::of(cli.key_file.as_deref(), cli.ca_file.as_deref())?;
    let by_hand = |name| matches.value_source(name) == Some(ValueSource::CommandLine);
    let given = Given {
        store: cli.store.take().map(|store| store.approached(&access)),
        server: cli
            .server
            .take()
            .map(|url| StoreUrl::Service(url.with(&access))),
        store_by_hand: by_hand("store"),
        server_by_hand: by_hand("server"),
    };
    if let Verb::Copy(copy) = &mut cli.command {
        for end in [&mut copy.from, &mut copy.to] {
            *end = end.take().map(|end| end.approached(&access));
        }
    }
    given.chosen(needs(&cli.command))
}

/// What the command line and the environment name.
struct Given {
    store: Option<StoreUrl>,
    server: Option<StoreUrl>,
    store_by_hand: bool,
    server_by_hand: bool,
}

impl Given {
    fn chosen(self, needs: Needs) -> anyhow::Result<Option<StoreUrl>> {
        if self.store_by_hand && self.server_by_hand {
            return Err(usage(
                "--store and --server name two places; leave one of them away",
            ));
        }
        match needs {
            Needs::Nothing => Ok(None),
            Needs::Either if self.store_by_hand => Ok(self.store),
            Needs::Either => Ok(self.server.or(self.store)),
            Needs::Service(instead) => self.a_service(instead),
            Needs::Store(instead) if self.server.is_some() && self.store.is_none() => {
                Err(usage(instead))
            }
            Needs::Store(instead) | Needs::OwnStore(instead) => self.a_store(instead),
        }
    }

    fn a_service(self, instead: &str) -> anyhow::Result<Option<StoreUrl>> {
        let named = if self.store_by_hand {
            self.store
        } else {
            self.server.or(self.store)
        };
        match named {
            service @ Some(StoreUrl::Service(_)) => Ok(service),
            _ => Err(usage(format!(
                "this needs a running service: name it with --server URL or in KAIGI_SERVER; {instead}"
            ))),
        }
    }

    fn a_store(self, instead: &str) -> anyhow::Result<Option<StoreUrl>> {
        match self.store {
            _ if self.server_by_hand => Err(usage(instead)),
            Some(StoreUrl::Service(_)) => Err(usage(instead)),
            store => Ok(store),
        }
    }
}

/// What to do instead of starting a service on another one.
const SERVE: &str = "a service is started where its store is: leave --server and KAIGI_SERVER away, or name the store \
                     with --store";

fn needs(verb: &Verb) -> Needs {
    match verb {
        Verb::Run(_)
        | Verb::Call(_)
        | Verb::Calls(_)
        | Verb::Replay(_)
        | Verb::Events(_)
        | Verb::Copy(_)
        | Verb::Show { watch: false, .. } => Needs::Either,
        Verb::Show { watch: true, .. } => {
            Needs::Service("a store at hand tells no changes, and is shown anew by asking again")
        }
        Verb::Follow(_) => Needs::Service("a store at hand is followed by `kaigi events --follow`"),
        Verb::Simulate(_) | Verb::Import { .. } | Verb::Completions { .. } => Needs::Nothing,
        Verb::Demo(_) => Needs::OwnStore(
            "a demo is not for a service that others use; leave --server away, and it makes a store of its own",
        ),
        // A file of settings names the store, too, and whoever wrote it means that one.
        Verb::Serve(serve) if serve.config.is_some() => Needs::OwnStore(SERVE),
        Verb::Serve(_) => Needs::Store(SERVE),
        Verb::Keys(_) => Needs::OwnStore(
            "keys are a file where the service runs, which it reads again when that changes; run this there, without \
             --server",
        ),
        Verb::Store { what } => of_store_verb(what),
    }
}

fn of_store_verb(verb: &StoreVerb) -> Needs {
    match verb {
        StoreVerb::Info
        | StoreVerb::Backup { .. }
        | StoreVerb::Dump { .. }
        | StoreVerb::Digest { .. }
        | StoreVerb::Damaged => Needs::Either,
        StoreVerb::Verify { .. } => Needs::Nothing,
        StoreVerb::Create => Needs::Store(
            "a store is made where its files are to be: name it with --store, without --server",
        ),
        StoreVerb::Check { .. } => Needs::Store(
            "a store's files are checked where they are, while no service has them: stop it and name the store with \
             --store; `kaigi store digest` verifies every hash through the running service",
        ),
        StoreVerb::Repair { .. } => Needs::Store(
            "a damaged store is repaired where its files are, while no service has them: stop it and name the store \
             with --store",
        ),
        StoreVerb::Archive(_) => Needs::Store(
            "events are moved to an archive where the store's files are, while no service has them: stop it and name \
             the store with --store",
        ),
        StoreVerb::Restore { .. } => Needs::Store(
            "a backup is restored into a store that no service has yet: name it with --store, and serve it then",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory, FromArgMatches};

    /// Where that command line goes; the environment of the tests names nothing.
    fn place(args: &str) -> Result<Option<String>, String> {
        let args = args.split(' ').filter(|arg| !arg.is_empty());
        let matches = Cli::command().get_matches_from(std::iter::once("kaigi").chain(args));
        let mut cli = Cli::from_arg_matches(&matches).unwrap();
        let named = named(&mut cli, &matches);
        let named = named.map(|named| named.map(|named| named.to_string()));
        named.map_err(|error| error.to_string())
    }

    const SERVER: &str = "http://localhost:7400";

    #[test]
    fn what_reads_or_sends_commands_goes_through_a_service() {
        for verb in [
            "run",
            "call c1 consult-unanswered",
            "show active-calls",
            "show --watch monitoring",
            "calls",
            "replay c1",
            "events",
            "follow",
            "store info",
            "store backup x",
            "copy --to sled:x",
        ] {
            let there = Ok(Some(SERVER.to_owned()));
            assert_eq!(
                place(&format!("--server {SERVER}/ {verb}")),
                there,
                "{verb}"
            );
            assert_eq!(place(&format!("{verb} --store {SERVER}")), there, "{verb}");
        }
        assert_eq!(place("calls"), Ok(None));
        assert_eq!(place("calls --store sled:x"), Ok(Some("sled:x".to_owned())));
    }

    #[test]
    fn what_cannot_go_through_a_service_says_what_to_do_instead() {
        for (verb, instead) in [
            ("demo", "leave --server away"),
            ("serve", "where its store is"),
            ("keys list", "where the service runs"),
            ("store check", "store digest"),
            ("store repair x", "stop it"),
            ("store archive --before 2026-11-22 --to x", "stop it"),
            ("store restore x", "name it with --store"),
        ] {
            for named in [format!("--server {SERVER}"), format!("--store {SERVER}")] {
                let refused = place(&format!("{named} {verb}")).unwrap_err();
                assert!(refused.contains(instead), "{verb}: {refused}");
            }
        }
        assert_eq!(place(&format!("--server {SERVER} simulate")), Ok(None));
    }

    #[test]
    fn what_only_a_service_can_do_says_so() {
        for verb in ["follow", "show active-calls --watch"] {
            for store in ["", "--store sled:x "] {
                let refused = place(&format!("{store}{verb}")).unwrap_err();
                assert!(refused.contains("--server URL"), "{refused}");
            }
        }
    }

    #[test]
    fn two_places_are_refused() {
        let refused = place(&format!("calls --server {SERVER} --store sled:x"));
        assert!(refused.unwrap_err().contains("two places"));
    }

    #[test]
    fn in_the_environment_the_service_goes_before_the_store_which_it_has() {
        let given = |needs| {
            let named = Given {
                store: Some(StoreUrl::Memory),
                server: SERVER.parse().ok().map(StoreUrl::Service),
                store_by_hand: false,
                server_by_hand: false,
            };
            named.chosen(needs).unwrap().map(|url| url.to_string())
        };
        assert_eq!(given(Needs::Either).as_deref(), Some(SERVER));
        assert_eq!(given(Needs::Store("")).as_deref(), Some("memory:"));
        assert_eq!(given(Needs::OwnStore("")).as_deref(), Some("memory:"));
        assert_eq!(given(Needs::Nothing), None);
    }
}
