//! What this crate and whoever has the data say to each other.
//!
//! Whoever has the data knows the objects and the rights; here are names alone. Control messages
//! are JSON that JavaScript hands on as text, so that no integer becomes one of its numbers; the
//! rows of a page are the bytes of [`tidemark::protocol::scan_page`], as a shard sent them.
//!
//! # Versions
//!
//! Each [`QueryRequest`] carries [`VERSION`]. Both sides take their own version and the one before
//! it; a field that is added has a default, and a field that is dropped stays readable for one
//! version.

use serde::{Deserialize, Serialize};
use tidemark::model::time::TimeRange;
use tidemark::model::value::{FieldType, FieldValue};

/// The version that is spoken here.
pub const VERSION: u32 = 1;
/// The oldest one that is understood.
pub const VERSION_MIN: u32 = 1;

/// One statement to be answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QueryRequest {
    /// See [`VERSION`].
    pub version: u32,
    /// The statement.
    pub text: String,
    /// Values of `$name`, by their names without the sign.
    #[serde(default)]
    pub parameters: Vec<(String, Parameter)>,
    /// What `now()` is, nanoseconds.
    pub now_ns: i64,
}

/// The value of a parameter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Parameter {
    Null,
    Boolean(bool),
    Integer(i64),
    Unsigned(u64),
    Float(f64),
    String(String),
}

/// What is needed before it can go on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Wanted {
    /// Columns of the tables of these names; those that do not exist are left out of the answer.
    Tables(Vec<String>),
    /// Columns of every table of the database.
    EveryTable,
    /// The rows of a table of the schema `system`.
    System(SystemTable),
    /// The first page of a scan that begins with this.
    Scan(ScanRequest),
    /// The next page of the scan of this number.
    Page(u64),
}

/// Tables about the database that only its owner knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum SystemTable {
    /// The queries that run now.
    Queries,
}

/// What is handed in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// To [`Wanted::Tables`] and [`Wanted::EveryTable`].
    Tables(Vec<TableSchema>),
    /// To [`Wanted::System`], as texts in the order of the table's columns.
    System(SystemTable, Vec<Vec<Option<String>>>),
    /// To [`Wanted::Scan`] and [`Wanted::Page`].
    Page(Page),
    /// Whatever was wanted cannot be had: the query ends with it.
    Failed {
        /// The HTTP status.
        status: u16,
        /// What is said about it.
        message: String,
    },
}

/// Columns of a measurement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableSchema {
    /// Name of the measurement.
    pub name: String,
    /// All but the time, in any order.
    pub columns: Vec<TableColumn>,
}

/// A tag or a field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableColumn {
    /// Its key.
    pub name: String,
    /// The type of a field; `None` of a tag.
    pub field_type: Option<FieldType>,
}

/// The rows that a plan reads of one table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScanRequest {
    /// Its number, which is no other's in this query.
    pub scan: u64,
    /// Name of the measurement.
    pub table: String,
    /// Rows outside are not wanted.
    pub time: TimeRange,
    /// Rows for which it is not true are not wanted.
    pub condition: Option<Condition>,
    /// Fields to ship, in this order. **Every** row is wanted, also one in which none of them has
    /// a value.
    pub fields: Vec<String>,
    /// Tags to ship, in this order, "" where a series lacks one.
    pub tags: Vec<String>,
    /// So many rows are enough, whichever; or, with `first`, the first so many by time.
    pub rows_max: Option<u64>,
    /// Of each shard the rows that are first in this order are enough.
    pub first: Option<TimeOrder>,
}

/// An order by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TimeOrder {
    /// The oldest come first.
    Ascending,
    /// The newest come first.
    Descending,
}

/// What is true of a row, or is not: where SQL says NULL it is not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Condition {
    /// All of them.
    All(Vec<Self>),
    /// One of them at least.
    Any(Vec<Self>),
    /// The tag has one of these values, none of which is empty.
    TagIn(String, Vec<String>),
    /// The row has the tag, with none of these values.
    TagNotIn(String, Vec<String>),
    /// The row lacks the tag.
    TagMissing(String),
    /// The row has a value of the field, of this type, which compares so.
    Field(String, FieldType, Compare, FieldValue),
}

/// How a field's value compares with a constant of its own type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Compare {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Rows of a scan.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Page {
    /// Of which.
    pub scan: u64,
    /// Groups of rows, by [`tidemark::protocol::scan_page::encode`], without keys; in any order.
    /// They travel beside the JSON, as bytes.
    #[serde(skip)]
    pub bytes: Vec<u8>,
    /// Whether it was the last.
    pub is_last: bool,
}
