//! The command line of `kaigi show`, made of the descriptions of the read models.

use crate::ids::{agent, phase};
use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, Subcommand};
use domain::{CallId, Queue, SupervisorId, TimeSpan, Timestamp};
use projections::{Description, ShowOption, Values, descriptions};
use std::str::FromStr;

/// `kaigi show`.
#[derive(Debug)]
pub enum Show {
    /// A read model.
    ReadModel(ShowReadModel),
    /// One call.
    Call(ShowCall),
}

/// `kaigi show` of a read model, whose options are made of its description.
#[derive(Debug, Clone)]
pub struct ShowReadModel {
    /// The read model.
    pub model: &'static Description,
    /// The options that were given, as parameters of its list.
    pub values: Vec<(&'static str, String)>,
}

/// `kaigi show call`.
#[derive(Debug, Args)]
pub struct ShowCall {
    /// The call
    pub call: CallId,
}

impl ShowReadModel {
    /// In a few lines.
    pub fn in_short(model: &'static Description) -> Self {
        let values = model.command.demo.iter();
        Self {
            model,
            values: values
                .map(|(name, value)| (*name, (*value).to_owned()))
                .collect(),
        }
    }

    /// The value of an option, if it was given.
    pub fn value(&self, option: &str) -> Option<&str> {
        let mut values = self.values.iter();
        values.find_map(|(name, value)| (*name == option).then_some(value.as_str()))
    }

    fn of(model: &'static Description, matches: &ArgMatches) -> Self {
        let options = model.command.options.iter();
        let given = options.filter_map(|option| {
            let value = match option.values {
                Values::Flag => matches.get_flag(option.name).then(|| "true".to_owned()),
                _ => matches.get_one::<String>(option.name).cloned(),
            };
            Some((option.name, value?))
        });
        Self {
            model,
            values: given.collect(),
        }
    }
}

impl FromArgMatches for Show {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let (name, matches) = matches.subcommand().expect("a subcommand is required");
        match descriptions().find(|model| model.name == name) {
            Some(model) => Ok(Self::ReadModel(ShowReadModel::of(model, matches))),
            None => ShowCall::from_arg_matches(matches).map(Self::Call),
        }
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Subcommand for Show {
    fn augment_subcommands(command: Command) -> Command {
        let one_call = ShowCall::augment_args(Command::new("call")).about("One call");
        command
            .subcommands(descriptions().map(show_command))
            .subcommand(one_call)
    }

    fn augment_subcommands_for_update(command: Command) -> Command {
        Self::augment_subcommands(command)
    }

    fn has_subcommand(name: &str) -> bool {
        name == "call" || descriptions().any(|model| model.name == name)
    }
}

fn show_command(model: &'static Description) -> Command {
    let command = Command::new(model.name).about(model.command.about);
    let command = command.args(model.command.options.iter().map(show_option));
    match model.command.examples {
        Some(examples) => command.after_help(examples),
        None => command,
    }
}

fn show_option(option: &'static ShowOption) -> Arg {
    let arg = Arg::new(option.name).long(option.name).help(option.help);
    let arg = match option.requires {
        Some(other) => arg.requires(other),
        None => arg,
    };
    match option.values {
        Values::Flag => arg.action(ArgAction::SetTrue),
        Values::OneOf(names) | Values::FirstOf(names) => arg
            .value_name(option.value_name)
            .value_parser(one_of(names)),
        values => arg
            .value_name(option.value_name)
            .value_parser(move |text: &str| canonical(values, text)),
    }
}

fn one_of(names: &'static [(&'static str, &'static str)]) -> PossibleValuesParser {
    let names = names.iter();
    PossibleValuesParser::new(names.map(|(name, about)| PossibleValue::new(name).help(about)))
}

/// A value as the list's parameter has it.
fn canonical(values: Values, text: &str) -> Result<String, String> {
    match values {
        Values::Call => parsed::<CallId>(text),
        Values::Queue => parsed::<Queue>(text),
        Values::Agent => agent(text).map(|agent| format!("agent:{agent}")),
        Values::Supervisor => parsed::<SupervisorId>(text),
        Values::Phase => phase(text).map(|phase| phase.name().to_owned()),
        Values::TimeSpan => parsed::<TimeSpan>(text).map(|_| text.to_owned()),
        Values::Time => parsed::<Timestamp>(text),
        Values::Flag | Values::OneOf(_) | Values::FirstOf(_) => Ok(text.to_owned()),
    }
}

fn parsed<T: FromStr<Err: ToString> + ToString>(text: &str) -> Result<String, String> {
    let value = text.parse::<T>();
    value
        .map(|value| value.to_string())
        .map_err(|error| error.to_string())
}
