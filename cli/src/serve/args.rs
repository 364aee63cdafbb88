//! The command line of `kaigi serve`, made of the table of settings.

use super::fields::{FIELDS, Field, Kind};
use crate::store::StoreUrl;
use clap::builder::ValueParser;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches};
use domain::TimeSpan;
use std::path::PathBuf;
use toml::Value;

/// `kaigi serve`.
#[derive(Debug)]
pub struct Serve {
    /// The file of settings.
    pub config: Option<PathBuf>,
    /// Only to show what is in force.
    pub print_config: bool,
    /// To admit everybody, on the loopback.
    pub without_keys: bool,
    /// The store, and by what it was named.
    pub store: Option<(StoreUrl, Source)>,
    /// What stands on the command line and in the environment.
    pub given: Vec<Given>,
}

/// A setting that was chosen.
#[derive(Debug)]
pub struct Given {
    /// Which.
    pub field: &'static Field,
    /// As what.
    pub value: Value,
    /// By what.
    pub source: Source,
}

/// What a setting comes from; a later one beats those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Nobody chose it.
    Default,
    /// The file.
    File,
    /// The environment.
    Environment,
    /// The command line.
    Flag,
}

impl Source {
    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Source::Default => "default",
            Source::File => "file",
            Source::Environment => "environment",
            Source::Flag => "flag",
        }
    }
}

/// How `kaigi serve` is used.
pub const HELP: &str = "\
Every setting can stand in a file, in the environment and on the command line; the command line beats
the environment, which beats the file. In the file a setting is named as in --print-config, which
shows what is in force, what each comes from and means, and is itself such a file. A path in it is
relative to where kaigi runs. Durations are milliseconds, or 500ms, 60s, 2m.

SIGTERM or an interrupt ends it: what is under way is answered, for at most --grace; a second one
ends it at once. An embedded store can be used by one process, so the other commands reach it through
the service then: kaigi --server URL.

Examples:
  kaigi store create                                once, for a new embedded store
  kaigi keys create --name pbx --role telephony     a key for the telephone system
  kaigi serve                                       on the loopback, port 7400
  kaigi serve --create --without-keys               to try it: everybody on this machine may do all
  kaigi serve --listen 0.0.0.0:7400 --tls-certificate chain.pem --tls-key key.pem
  kaigi serve --print-config > kaigi.toml           then edit it, and: kaigi serve --config kaigi.toml";

impl clap::Args for Serve {
    fn augment_args(command: Command) -> Command {
        let ours = FIELDS.iter().filter(|field| !is_global(field));
        command
            .after_help(HELP)
            .arg(
                Arg::new("config")
                    .long("config")
                    .env("KAIGI_CONFIG")
                    .hide_env_values(true)
                    .value_name("FILE")
                    .value_parser(clap::value_parser!(PathBuf))
                    .help("A file of settings, in TOML"),
            )
            .arg(switch(
                "print_config",
                "print-config",
                "Print the settings in force, each with what it comes from, and end",
            ))
            .arg(switch(
                "without_keys",
                "without-keys",
                "Admit everybody to everything; only where nobody but this machine can connect",
            ))
            .args(ours.map(arg))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// The store is named by an option of all commands.
fn is_global(field: &Field) -> bool {
    field.name == "store"
}

fn switch(id: &'static str, long: &'static str, help: &'static str) -> Arg {
    Arg::new(id)
        .long(long)
        .action(ArgAction::SetTrue)
        .help(help)
}

fn arg(field: &'static Field) -> Arg {
    let arg = Arg::new(field.name).long(&*field.flag).env(&*field.env);
    let arg = match field.kind {
        Kind::Text(name) | Kind::Texts(name) => arg.value_name(name),
        Kind::Number => arg.value_name("NUMBER"),
        Kind::Duration => arg.value_name("TIME"),
        Kind::Switch => arg
            .value_name("true|false")
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true"),
    };
    let help = capitalised(field.about);
    arg.hide_env_values(true)
        .value_parser(ValueParser::new(move |text: &str| value(field, text)))
        .help(help)
}

fn capitalised(about: &str) -> String {
    let mut letters = about.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters).collect()
}

/// The value that a text stands for, on the command line and in the environment.
fn value(field: &Field, text: &str) -> Result<Value, String> {
    match field.kind {
        Kind::Text(_) => Ok(Value::String(text.to_owned())),
        Kind::Texts(_) => {
            let parts = text.split(',').map(str::trim);
            let parts = parts.filter(|part| !part.is_empty());
            Ok(Value::Array(parts.map(Value::from).collect()))
        }
        Kind::Number => {
            let number = text.parse::<u32>();
            let number = number.map_err(|_| "must be a whole number".to_owned())?;
            Ok(Value::Integer(number.into()))
        }
        Kind::Duration => milliseconds(text).map(Value::Integer),
        Kind::Switch => match text {
            "true" => Ok(Value::Boolean(true)),
            "false" => Ok(Value::Boolean(false)),
            _ => Err("must be true or false".to_owned()),
        },
    }
}

/// Whole milliseconds, or a number with its unit: 500ms, 60s, 2m, 1h.
pub(crate) fn milliseconds(text: &str) -> Result<i64, String> {
    let span: Result<TimeSpan, _> = text.parse().or_else(|_| format!("{text}ms").parse());
    let ms = span
        .ok()
        .and_then(|span| i64::try_from(span.as_millis()).ok());
    ms.ok_or_else(|| {
        "must be milliseconds, or a whole number of ms, s, m, h or d, such as 60s".to_owned()
    })
}

impl FromArgMatches for Serve {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = FIELDS.iter().filter(|field| !is_global(field));
        let given = given.filter_map(|field| {
            let value = matches.get_one::<Value>(field.name)?.clone();
            let source = source(matches, field.name);
            Some(Given {
                field,
                value,
                source,
            })
        });
        // The store stands before the verb or behind it; the parser hands it on.
        let store = matches.try_get_one::<StoreUrl>("store").ok().flatten();
        Ok(Self {
            config: matches.get_one("config").cloned(),
            print_config: matches.get_flag("print_config"),
            without_keys: matches.get_flag("without_keys"),
            store: store.map(|store| (store.clone(), source(matches, "store"))),
            given: given.collect(),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn source(matches: &ArgMatches, id: &str) -> Source {
    match matches.value_source(id) {
        Some(ValueSource::EnvVariable) => Source::Environment,
        _ => Source::Flag,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_milliseconds_or_have_a_unit() {
        for (text, expected) in [
            ("0", 0),
            ("250", 250),
            ("250ms", 250),
            ("60s", 60_000),
            ("2m", 120_000),
            ("1h", 3_600_000),
        ] {
            assert_eq!(milliseconds(text), Ok(expected), "{text}");
        }
        for text in ["", "s", "-1s", "1.5s", "1 s", "4294967296"] {
            assert!(milliseconds(text).is_err(), "{text}");
        }
    }
}
