//! What a resource of the demo PSA is: where it is served, who may touch it, its fields, filters
//! and joined names. The rows are in the files beside this one; the engine reads them.

use super::answer::Answer;
use super::router::Call;
use super::rules;
use super::world::Row;
use super::{resources_records, resources_settings, resources_work};

/// What a field may hold.
pub(super) enum Kind {
    /// Text of at most so many characters, not empty when required.
    Text(usize),
    Email,
    Uuid,
    /// The id of a row of this table.
    Ref(&'static str),
    Bool,
    Number,
    /// An ISO 8601 time.
    Instant,
    Object,
    List,
    OneOf(&'static [&'static str]),
}

pub(super) struct Field {
    pub name: &'static str,
    pub kind: Kind,
    pub required: bool,
    pub nullable: bool,
}

pub(super) const fn must(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, required: true, nullable: false }
}

pub(super) const fn may(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, required: false, nullable: false }
}

pub(super) const fn null(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, required: false, nullable: true }
}

/// How a query parameter selects rows by a column.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Match {
    Exact,
    Uuid,
    /// Part of the text, in any case.
    Contains,
    /// `true` or `false`.
    Flag,
    /// As `Flag`, the other way round.
    Not,
    /// Any of a comma-separated list.
    AnyOf,
    From,
    To,
    AtLeast,
    AtMost,
    /// `true` where the column holds something.
    Present,
}

/// A query parameter, the column it looks at, and how.
pub(super) type Filter = (&'static str, &'static str, Match);

/// A name that is read from another table: output column, key column here, table, column there.
pub(super) type Join = (&'static str, &'static str, &'static str, &'static str);

/// Whether answers use the plain envelope or the older `success` one.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Style {
    Plain,
    Success,
}

pub(super) struct Resource {
    pub table: &'static str,
    pub path: &'static str,
    pub id: &'static str,
    /// As it appears in `{noun} not found`.
    pub noun: &'static str,
    /// The permission's resource for reading, and for everything else.
    pub read: &'static str,
    pub write: &'static str,
    /// Which of list, get, create, update and delete are served, by initial.
    pub verbs: &'static str,
    pub fields: &'static [Field],
    /// Whether an unknown body key is an error; otherwise it is dropped.
    pub strict: bool,
    pub filters: &'static [Filter],
    pub searched: &'static [&'static str],
    pub joins: &'static [Join],
    /// Fills what a create or an update implies. The last argument says whether the row is new.
    pub finish: fn(&mut Call<'_>, &mut Row, bool) -> Result<(), Answer>,
    pub style: Style,
}

/// What a row leaves out.
pub(super) const BASE: Resource = Resource {
    table: "",
    path: "",
    id: "",
    noun: "",
    read: "",
    write: "",
    verbs: "lg",
    fields: &[],
    strict: false,
    filters: &[],
    searched: &[],
    joins: &[],
    finish: rules::nothing,
    style: Style::Plain,
};

/// The name of the client that a row belongs to.
pub(super) const CLIENT_NAME: Join = ("client_name", "client_id", "clients", "client_name");

/// Every resource that the engine serves.
pub(super) fn all() -> impl Iterator<Item = &'static Resource> {
    [resources_work::ROWS, resources_records::ROWS, resources_settings::ROWS].into_iter().flatten()
}

/// The resource that is kept in `table`.
pub(super) fn of(table: &str) -> Option<&'static Resource> {
    all().find(|resource| resource.table == table)
}
