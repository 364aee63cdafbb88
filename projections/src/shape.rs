//! What a row looks like in JSON, declared once: its struct, the names of its columns and their types.

use domain::json::{AgentText, ConsultJson, SeatJson, SessionJson, SupervisorText, Text};
use domain::{
    CallId, Correlation, CustomerNumber, Note, Queue, Reason, Revision, Rule, Timestamp,
    call::Phase,
};

/// The JSON of rows of one kind.
#[derive(Debug, PartialEq, Eq)]
pub struct Shape {
    /// Its name among the schemas of the interface.
    pub name: &'static str,
    /// What a row is, in a sentence.
    pub about: &'static str,
    /// The columns, in order; every row has each of them.
    pub columns: &'static [&'static str],
    /// The types of the columns, in the same order.
    pub types: &'static [&'static Type],
    /// A column that only some rows have.
    pub optional: Option<(&'static str, &'static Type)>,
}

/// The type of a column.
#[derive(Debug, PartialEq, Eq)]
pub enum Type {
    /// Any text.
    Text,
    /// A whole number, 0 or more.
    Number,
    /// True or false.
    Flag,
    /// The schema of that name.
    Named(&'static str),
    /// A list.
    List(&'static Type),
    /// The type, or null.
    OrNull(&'static Type),
    /// One of these schemas.
    AnyOf(&'static [&'static str]),
}

/// Rows of one kind have one shape.
pub trait Shaped {
    /// The shape.
    const SHAPE: &'static Shape;
}

/// A Rust type whose JSON has a column's type.
pub(crate) trait Typed {
    const TYPE: &'static Type;
}

impl<T: Typed> Typed for Option<T> {
    const TYPE: &'static Type = &Type::OrNull(T::TYPE);
}

impl<T: Typed> Typed for Vec<T> {
    const TYPE: &'static Type = &Type::List(T::TYPE);
}

/// The types of columns that are no rows themselves.
macro_rules! typed {
    ($($rust:ty => $type:expr,)+) => {$(
        impl Typed for $rust {
            const TYPE: &'static Type = &$type;
        }
    )+};
}
typed! {
    u64 => Type::Number,
    bool => Type::Flag,
    &'static str => Type::Text,
    Text<&Queue> => Type::Text,
    Text<&Reason> => Type::Text,
    Text<&Note> => Type::Text,
    Text<&CustomerNumber> => Type::Text,
    Text<&Correlation> => Type::Text,
    Text<&CallId> => Type::Named("CallId"),
    Text<Timestamp> => Type::Named("Time"),
    Text<Rule> => Type::Named("Rule"),
    AgentText<'_> => Type::Named("Agent"),
    SupervisorText<'_> => Type::Named("SupervisorText"),
    SeatJson<'_> => Type::Named("Seat"),
    ConsultJson<'_> => Type::Named("Consult"),
    SessionJson<'_> => Type::Named("Session"),
    Phase => Type::Named("Phase"),
    Revision => Type::Named("Revision"),
}

/// Declares a struct whose fields are columns, each with its type; `as` names the type of a column whose Rust type does
/// not tell it. Fields after `beside` are no columns.
macro_rules! row {
    (
        #[doc = $about:literal]
        $(#[$attribute:meta])*
        pub struct $name:ident $(<$life:lifetime>)? as $schema:literal {
            $($(#[$of_column:meta])* pub $column:ident: $rust:ty $(as $shown:ty)?,)+
        }
        $(beside { $($(#[$of_field:meta])* $visible:vis $field:ident: $kind:ty,)+ })?
        $(or { $optional:ident: $optional_type:expr })?
    ) => {
        #[doc = $about]
        $(#[$attribute])*
        #[derive(Debug, serde::Serialize)]
        #[expect(missing_docs, reason = "the names are the interface's, which explains them")]
        pub struct $name $(<$life>)? {
            $($(#[$of_column])* pub $column: $rust,)+
            $($($(#[$of_field])* #[serde(skip)] $visible $field: $kind,)+)?
        }

        impl $(<$life>)? $crate::shape::Shaped for $name $(<$life>)? {
            const SHAPE: &'static $crate::shape::Shape = &$crate::shape::Shape {
                name: $schema,
                about: $about.trim_ascii_start(),
                columns: &[$(stringify!($column)),+],
                types: &[$($crate::shape::row!(@type $rust $(as $shown)?)),+],
                optional: $crate::shape::row!(@optional $($optional: $optional_type)?),
            };
        }

        impl $(<$life>)? $crate::shape::Typed for $name $(<$life>)? {
            const TYPE: &'static $crate::shape::Type = &$crate::shape::Type::Named($schema);
        }
    };
    (@type $rust:ty) => { <$rust as $crate::shape::Typed>::TYPE };
    (@type $rust:ty as $shown:ty) => { <$shown as $crate::shape::Typed>::TYPE };
    (@optional) => { None };
    (@optional $name:ident: $type:expr) => { Some((stringify!($name), $type)) };
}
pub(crate) use row;
