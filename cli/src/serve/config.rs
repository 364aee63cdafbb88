//! What is in force: the defaults, then the file, the environment and the command line, each beating those before it.

use super::args::{Given, Serve, Source, milliseconds};
use super::fields::{FIELDS, Field, Kind};
use crate::exit::usage;
use crate::store::StoreUrl;
use server::Settings;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// Where it listens unless somebody says otherwise.
const LISTEN: &str = "127.0.0.1:7400";

/// What is in force, and what each of it comes from.
#[derive(Debug)]
pub(super) struct Configuration {
    store: (StoreUrl, Source),
    /// Settings that have a value.
    values: BTreeMap<&'static str, (Value, Source)>,
}

impl Configuration {
    /// What those arguments, the environment and the file come to.
    pub(super) fn of(args: &Serve) -> anyhow::Result<Self> {
        let file = args.config.as_deref().map(read).transpose()?;
        let file = file.unwrap_or_default();
        let store = match (&args.store, file.store) {
            (Some(named), _) => named.clone(),
            (None, Some(store)) => (store, Source::File),
            (None, None) => (StoreUrl::default_store()?, Source::Default),
        };
        let mut values = defaults(&store.0);
        let given = args.given.iter();
        let given = given.map(|given| (given.field.name, (given.value.clone(), given.source)));
        values.extend(
            file.values
                .into_iter()
                .map(|given| (given.field.name, (given.value, given.source))),
        );
        values.extend(given);
        let configuration = Self { store, values };
        configuration.settings()?;
        Ok(configuration)
    }

    /// The store.
    pub(super) fn store(&self) -> &StoreUrl {
        &self.store.0
    }

    /// A text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name)?.0.as_str()
    }

    /// A switch.
    pub(super) fn is_on(&self, name: &str) -> bool {
        let value = self.values.get(name).and_then(|(value, _)| value.as_bool());
        value.unwrap_or(false)
    }

    /// A path.
    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        self.text(name).map(PathBuf::from)
    }

    /// What the service itself is told.
    pub(super) fn settings(&self) -> anyhow::Result<Settings> {
        let known = of_service();
        let ours = self.values.iter();
        let ours = ours.filter(|(name, _)| known.contains_key(**name));
        let mut table = Table::new();
        for (name, (value, _)) in ours {
            let may_be_zero = Field::named(name).is_some_and(|field| field.may_be_zero);
            if value.as_integer() == Some(0) && !may_be_zero {
                return Err(usage(format!("`{name}` must be more than 0")));
            }
            table.insert((*name).to_owned(), value.clone());
        }
        let settings = table.try_into();
        settings.map_err(|error: toml::de::Error| {
            usage(format!(
                "a setting cannot have that value: {}",
                error.message()
            ))
        })
    }

    /// A file of settings that says the same, with what each comes from and means.
    pub(super) fn printed(&self) -> String {
        let mut text = String::new();
        for field in FIELDS.iter() {
            let _ = writeln!(text, "{}", self.line(field));
        }
        text
    }

    fn line(&self, field: &Field) -> String {
        let Field { name, about, .. } = field;
        if *name == "store" {
            return self.store_line(field);
        }
        match self.values.get(name) {
            Some((value, source)) => format!("{name} = {value} # {}: {about}", source.name()),
            None => format!("# {name} = \"\" # default, none: {about}"),
        }
    }

    /// A password is not shown, and what is not shown whole must not be taken for the setting.
    fn store_line(&self, Field { name, about, .. }: &Field) -> String {
        let (store, source) = &self.store;
        let (value, source) = (Value::from(store.to_string()), source.name());
        if store.is_shown_whole() {
            format!("{name} = {value} # {source}: {about}")
        } else {
            format!("# {name} = {value} # {source}, its password is not shown: {about}")
        }
    }
}

/// The settings of the service as they are when nobody chooses.
fn of_service() -> Table {
    Table::try_from(Settings::default()).expect("settings are a table")
}

fn defaults(store: &StoreUrl) -> BTreeMap<&'static str, (Value, Source)> {
    let mut table = of_service();
    table.insert("listen".to_owned(), LISTEN.into());
    table.insert("log".to_owned(), "json".into());
    table.insert("create".to_owned(), false.into());
    if let StoreUrl::Sled(folder) = store {
        let keys = folder.join("keys.json").display().to_string();
        table.insert("keys".to_owned(), keys.into());
    }
    let of_field = |field: &Field| {
        let value = table.remove(field.name)?;
        Some((field.name, (value, Source::Default)))
    };
    FIELDS.iter().filter_map(of_field).collect()
}

/// What a file says.
#[derive(Default)]
struct FromFile {
    store: Option<StoreUrl>,
    values: Vec<Given>,
}

fn read(path: &Path) -> anyhow::Result<FromFile> {
    let wrong = |what: String| usage(format!("{}: {what}", path.display()));
    let text =
        std::fs::read_to_string(path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    let table: Table = toml::from_str(&text).map_err(|error| wrong(located(&error, &text)))?;
    let mut file = FromFile::default();
    for (name, value) in table {
        let field = Field::named(&name).ok_or_else(|| wrong(unknown(&name)))?;
        let value = checked(field, value).map_err(|what| wrong(format!("`{name}` {what}")))?;
        if field.name == "store" {
            let url = value.as_str().unwrap_or_default().parse();
            file.store = Some(url.map_err(|what: String| wrong(format!("`store`: {what}")))?);
            continue;
        }
        let source = Source::File;
        file.values.push(Given {
            field,
            value,
            source,
        });
    }
    Ok(file)
}

/// What is wrong and where, without the line itself: it may hold a password.
fn located(error: &toml::de::Error, text: &str) -> String {
    let start = error.span().map_or(0, |span| span.start);
    let before = text.get(..start).unwrap_or(text);
    let line = 1 + before.matches('\n').count();
    format!("line {line} is no TOML: {}", error.message())
}

fn unknown(name: &str) -> String {
    let known: Vec<_> = FIELDS.iter().map(|field| field.name).collect();
    format!("`{name}` is no setting; known are {}", known.join(", "))
}

fn checked(field: &Field, value: Value) -> Result<Value, String> {
    let is_whole = |value: &Value| value.as_integer().is_some_and(|number| number >= 0);
    match (field.kind, &value) {
        (Kind::Text(_), Value::String(_)) | (Kind::Switch, Value::Boolean(_)) => Ok(value),
        (Kind::Text(_), _) => Err("must be a text in quotation marks".to_owned()),
        (Kind::Number | Kind::Duration, value) if is_whole(value) => Ok(value.clone()),
        (Kind::Duration, Value::String(text)) => milliseconds(text).map(Value::Integer),
        (Kind::Duration, _) => milliseconds("").map(Value::Integer),
        (Kind::Number, _) => Err("must be a whole number".to_owned()),
        (Kind::Switch, _) => Err("must be true or false".to_owned()),
        (Kind::Texts(_), Value::Array(texts)) if texts.iter().all(Value::is_str) => Ok(value),
        (Kind::Texts(_), _) => {
            Err("must be a list of texts, such as [\"https://a.example\"]".to_owned())
        }
    }
}
