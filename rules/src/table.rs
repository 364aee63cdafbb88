//! The tables that commands and events are declared by, and their fields as all code sees them that treats every command
//! or event alike: JSON, digests, schemas, filters.

use crate::ids::{
    Actor, AgentId, CustomerNumber, GivenReason, Note, Party, Queue, Reason, SupervisorId, Target,
};

/// A field of a command or of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Its name in the interface.
    pub name: &'static str,
    /// What it holds.
    pub value_type: ValueType,
    /// Whether it must be there.
    pub presence: Presence,
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueType {
    /// A party or a supervisor.
    Actor,
    /// Somebody who can be connected to a call.
    Party,
    /// Somebody who can be consulted.
    Target,
    /// An agent.
    Agent,
    /// A supervisor.
    Supervisor,
    /// A queue.
    Queue,
    /// A wrap-up reason, perhaps blank.
    GivenReason,
    /// A wrap-up reason.
    Reason,
    /// The customer's number; personal.
    CustomerNumber,
    /// A note; personal.
    Note,
    /// One of these names.
    Choice(&'static [&'static str]),
}

/// Whether a command must have a field; an event has all of its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It must.
    Required,
    /// It need not.
    Optional,
    /// It need not, and then holds this.
    Default(&'static str),
}

/// The value of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// A party or a supervisor: only a command's `by` is one.
    Actor(&'a Actor),
    /// Somebody who can be connected to the call.
    Party(&'a Party),
    /// Somebody who can be consulted.
    Target(&'a Target),
    /// An agent.
    Agent(&'a AgentId),
    /// A supervisor.
    Supervisor(&'a SupervisorId),
    /// A text.
    Text(&'a str),
    /// A text that identifies a customer.
    Personal(&'a str),
    /// Such a text, made unreadable.
    Erased,
    /// One of few values: its name, and its place among them, which digests cover.
    Choice(&'static str, u32),
}

/// A type that a field can have.
pub(crate) trait FieldType {
    const TYPE: ValueType;
    const PRESENCE: Presence = Presence::Required;

    fn value(&self) -> Option<Value<'_>>;
}

impl Field {
    pub(crate) const fn of<T: FieldType>(name: &'static str) -> Self {
        Self {
            name,
            value_type: T::TYPE,
            presence: T::PRESENCE,
        }
    }
}

impl ValueType {
    /// Whether it identifies a customer, so that an event's text can be made unreadable.
    pub const fn is_personal(self) -> bool {
        matches!(self, ValueType::CustomerNumber | ValueType::Note)
    }
}

impl<'a> Value<'a> {
    /// The agent it names, if it names one.
    pub fn agent(self) -> Option<&'a AgentId> {
        match self {
            Value::Agent(agent) => Some(agent),
            Value::Actor(Actor::Party(party)) | Value::Party(party) => party.agent(),
            Value::Target(target) => target.agent(),
            _ => None,
        }
    }
}

impl<T: FieldType> FieldType for Option<T> {
    const TYPE: ValueType = T::TYPE;
    const PRESENCE: Presence = Presence::Optional;

    fn value(&self) -> Option<Value<'_>> {
        self.as_ref().and_then(T::value)
    }
}

macro_rules! field_types {
    ($($name:ident($this:ident): $type:expr => $value:expr;)*) => {$(
        impl FieldType for $name {
            const TYPE: ValueType = $type;

            fn value(&self) -> Option<Value<'_>> {
                let $this = self;
                Some($value)
            }
        }
    )*};
}
field_types! {
    Actor(actor): ValueType::Actor => Value::Actor(actor);
    Party(party): ValueType::Party => Value::Party(party);
    Target(target): ValueType::Target => Value::Target(target);
    AgentId(agent): ValueType::Agent => Value::Agent(agent);
    SupervisorId(supervisor): ValueType::Supervisor => Value::Supervisor(supervisor);
    Queue(queue): ValueType::Queue => Value::Text(queue.as_str());
    GivenReason(reason): ValueType::GivenReason => Value::Text(reason.as_str());
    Reason(reason): ValueType::Reason => Value::Text(reason.as_str());
    CustomerNumber(number): ValueType::CustomerNumber => Value::Personal(number.as_str());
    Note(note): ValueType::Note => Value::Personal(note.as_str());
}

/// No command or event has more fields.
pub(crate) const MOST_FIELDS: usize = 4;

/// Lists of values have one length, so that they need no allocation.
pub(crate) fn padded<const N: usize>(
    values: [Option<Value<'_>>; N],
) -> [Option<Value<'_>>; MOST_FIELDS] {
    const { assert!(N <= MOST_FIELDS, "MOST_FIELDS must grow") };
    let mut all = [None; MOST_FIELDS];
    all[..N].copy_from_slice(&values);
    all
}

/// Declares an enum of the interface together with its names there.
macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$variant_doc])* $variant),*
        }

        impl $name {
            /// Every value, in the order it was defined.
            pub const ALL: &'static [$name] = &[$($name::$variant),*];

            /// The name of every value.
            pub const NAMES: &'static [&'static str] = &[$($text),*];

            /// The name in the interface.
            pub const fn name(self) -> &'static str {
                match self {
                    $($name::$variant => $text),*
                }
            }

            /// The value of that name.
            pub fn named(name: &str) -> Option<Self> {
                match name {
                    $($text => Some($name::$variant),)*
                    _ => None,
                }
            }
        }
    };
}
pub(crate) use named;

/// Lets enums that [`named!`] declares be fields. A default is what a command's field holds where it is absent.
macro_rules! choices {
    ($($name:ident $(or $default:ident)?),*) => {$(
        impl $crate::table::FieldType for $name {
            const TYPE: $crate::table::ValueType = $crate::table::ValueType::Choice($name::NAMES);
            $(const PRESENCE: $crate::table::Presence =
                $crate::table::Presence::Default($name::$default.name());)?

            fn value(&self) -> Option<$crate::table::Value<'_>> {
                Some($crate::table::Value::Choice(self.name(), *self as u32))
            }
        }

        $(impl Default for $name {
            fn default() -> Self {
                $name::$default
            }
        })?
    )*};
}
pub(crate) use choices;

/// Declares the commands or the events, and an enum of their types: of each its number, its name and its fields. A
/// number is stored or hashed, so it is frozen: a new row gets the next one, and none is ever used again.
macro_rules! table {
    (
        $(#[$doc:meta])* $name:ident,
        $(#[$type_doc:meta])* $type_name:ident from $type_of:ident,
        {
            $(
                $(#[$row_doc:meta])*
                $row:ident = ($number:literal, $text:literal)
                $({ $($(#[$field_doc:meta])* $field:ident: $field_type:ty),* $(,)? })?
            ),* $(,)?
        } $(,)?
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum $name {
            $($(#[$row_doc])* $row $({ $($(#[$field_doc])* $field: $field_type),* })?),*
        }

        $crate::table::named!(
            $(#[$type_doc])*
            $type_name {
                $(
                    #[doc = concat!("See [`", stringify!($name), "::", stringify!($row), "`].")]
                    $row = $text
                ),*
            }
        );

        impl $type_name {
            /// The number in what is stored and hashed.
            pub fn number(self) -> u8 {
                match self {
                    $($type_name::$row => $number),*
                }
            }

            /// The type of that number.
            pub fn numbered(number: u8) -> Option<Self> {
                match number {
                    $($number => Some($type_name::$row),)*
                    _ => None,
                }
            }

            /// The fields, in their order.
            pub fn fields(self) -> &'static [$crate::table::Field] {
                match self {
                    $($type_name::$row => const {
                        &[$($($crate::table::Field::of::<$field_type>(stringify!($field))),*)?]
                    }),*
                }
            }
        }

        impl $name {
            /// The type.
            pub fn $type_of(&self) -> $type_name {
                match self {
                    $($name::$row { .. } => $type_name::$row),*
                }
            }

            /// The fields with their values, in their order.
            pub fn fields(
                &self,
            ) -> impl Iterator<Item = ($crate::table::Field, Option<$crate::table::Value<'_>>)> {
                use $crate::table::{FieldType as _, padded};
                let values = match self {
                    $($name::$row $({ $($field),* })? => padded([$($($field.value()),*)?])),*
                };
                self.$type_of().fields().iter().copied().zip(values)
            }
        }
    };
}
pub(crate) use table;
