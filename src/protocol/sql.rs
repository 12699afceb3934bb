//! Lists what the Worker of SQL is asked, and what it answers and wants.
//!
//! It knows no object, no token and no database: here are names alone. Whoever asks opens a session
//! with a statement and goes on by turns: each takes what was wanted before, and brings a piece of
//! the answer and what is wanted next. So that Worker reaches nothing by itself.

use serde::{Deserialize, Serialize};

use super::call::CallFailure;
use super::envelope::{self, Direction, Wire};
use crate::model::time::TimeRange;
use crate::model::value::{FieldType, FieldValue};
use crate::scan::request::{AggregateFunction, Comparison, Window};

/// The status of a statement that exceeds a limit of memory, rows or time.
pub const TOO_MUCH: u16 = 507;

/// Returns the reply to a message for which the SQL Worker threw an error with the text `said`.
/// The prefixes are those of `sql_sessions.js`.
///
/// # Errors
/// [`CallFailure::Retryable`] if the statement was lost through no fault of its own.
pub fn thrown(said: &str) -> Result<Vec<u8>, CallFailure> {
    if let Some(message) = said.strip_prefix("stopped: ") {
        let failed = FromSql::Failed { status: TOO_MUCH, message: message.to_owned() };
        return Ok(envelope::encode(&failed));
    }
    Err(match said.strip_prefix("lost: ") {
        Some(why) => CallFailure::Retryable(format!("SQL broke off: {why}")),
        None => CallFailure::Failed(format!("SQL broke off: {said}")),
    })
}

/// A message to a session of SQL.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToSql {
    /// The first one. A session that is open already forgets what it did.
    Open(QueryRequest),
    /// What was wanted, as much of it as is there; nothing, to go on.
    Turn {
        /// In any order.
        answers: Vec<Answer>,
        /// How many bytes each page among `answers` has.
        lengths: Vec<u64>,
        /// These bytes, one page behind the other; travel as the body.
        #[serde(skip)]
        pages: Vec<u8>,
    },
    /// Rows that are not SQL's own, to be written as `format`; the first of them begins a session.
    Rewrite {
        /// The form, by its name.
        format: String,
        /// Whether no more come.
        is_last: bool,
        /// The next bytes of a stream of Arrow's messages; travel as the body.
        #[serde(skip)]
        rows: Vec<u8>,
    },
}

impl ToSql {
    /// A turn with these answers.
    pub fn turn(mut answers: Vec<Answer>) -> Self {
        let (mut lengths, mut pages) = (Vec::new(), Vec::new());
        for answer in &mut answers {
            if let Answer::Page(page) = answer {
                lengths.push(page.bytes.len() as u64);
                pages.append(&mut page.bytes);
            }
        }
        Self::Turn { answers, lengths, pages }
    }

    /// The answers of a turn, each page with its bytes; `None` where they are not as long as it
    /// says.
    pub fn whole_answers(
        mut answers: Vec<Answer>,
        lengths: &[u64],
        pages: &[u8],
    ) -> Option<Vec<Answer>> {
        let (mut lengths, mut rest) = (lengths.iter(), pages);
        for answer in &mut answers {
            if let Answer::Page(page) = answer {
                let length = usize::try_from(*lengths.next()?).ok()?;
                let (own, behind) = rest.split_at_checked(length)?;
                (page.bytes, rest) = (own.to_vec(), behind);
            }
        }
        rest.is_empty().then_some(answers)
    }
}

/// What a session of SQL says to a message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FromSql {
    /// It has gone as far as it could, or as far as a piece of the answer goes.
    Turned {
        /// What is needed: each is said once.
        wanted: Vec<Wanted>,
        /// Scans of which nothing more is needed.
        cancelled: Vec<u64>,
        /// Whether rows have been made, or all of them: no other status follows from the plan.
        has_rows: bool,
        /// Whether it goes on without anything that is wanted.
        goes_on: bool,
        /// Whether the answer is complete with this piece.
        is_done: bool,
        /// The next piece of the answer in the form that was asked for; travels as the body.
        #[serde(skip)]
        piece: Vec<u8>,
    },
    /// There is no answer, or no more of it.
    Failed {
        /// The HTTP status.
        status: u16,
        /// What is said about it.
        message: String,
    },
}

impl Wire for ToSql {
    const DIRECTION: Direction = Direction::ToSql;

    fn body(&self) -> &[u8] {
        match self {
            Self::Turn { pages: body, .. } | Self::Rewrite { rows: body, .. } => body,
            Self::Open(_) => &[],
        }
    }

    fn set_body(&mut self, body: &[u8]) {
        if let Self::Turn { pages: own, .. } | Self::Rewrite { rows: own, .. } = self {
            *own = body.to_vec();
        }
    }
}

impl Wire for FromSql {
    const DIRECTION: Direction = Direction::FromSql;

    fn body(&self) -> &[u8] {
        match self {
            Self::Turned { piece, .. } => piece,
            Self::Failed { .. } => &[],
        }
    }

    fn set_body(&mut self, body: &[u8]) {
        if let Self::Turned { piece, .. } = self {
            *piece = body.to_vec();
        }
    }
}

/// One statement to be answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QueryRequest {
    /// The statement.
    pub text: String,
    /// Values of `$name`, by their names without the sign.
    #[serde(default)]
    pub parameters: Vec<(String, Parameter)>,
    /// What `now()` is, nanoseconds.
    pub now_ns: i64,
    /// The form of the answer, as the parameter `format` names it.
    pub format: String,
    /// Whoever asks knows [`ScanRequest::aggregates`].
    #[serde(default)]
    pub aggregates: bool,
    /// Whoever asks knows [`ScanRequest::first_of`], [`AggregateFunction::FirstRow`] and
    /// [`AggregateFunction::LastRow`].
    #[serde(default)]
    pub first_of_groups: bool,
    /// Columns of every table whose name [stands](is_named) in the text; `None` where nobody
    /// looked.
    #[serde(default)]
    pub tables: Option<Vec<TableSchema>>,
}

/// Whether the name of a table stands in a text, whichever case it is written in.
pub fn is_named(text: &str, table: &str) -> bool {
    let (text, table) = (text.as_bytes(), table.as_bytes());
    !table.is_empty() && text.windows(table.len()).any(|part| part.eq_ignore_ascii_case(table))
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
    /// Not the rows themselves are wanted, but what they come to. A page has a row for each group
    /// and window in which there are rows, and each of them once: its time is the window's start
    /// (anything without windows), its tags are the group's, and its fields what the calls come to.
    /// `fields` and `tags` are empty then.
    #[serde(default)]
    pub aggregates: Option<Box<Aggregates>>,
    /// With `first`: so many rows of each group that the values of these tags make; without any
    /// there is one group.
    #[serde(default)]
    pub first_of: Vec<String>,
}

/// What rows come to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Aggregates {
    /// Tags whose values make a group, "" where a series lacks one.
    pub group_by: Vec<String>,
    /// Windows of time, in UTC; `None` is one.
    pub window: Option<Window>,
    /// What is computed of each group and window.
    pub calls: Vec<AggregateCall>,
}

/// One of the values that rows come to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AggregateCall {
    /// What is computed, null where there is no value. `Min`, `Max`, `First`, `Last`, `FirstRow`
    /// and `LastRow` select a row: behind the value come its time, nanoseconds, and what stands
    /// beside it. The value of the latter two is that time.
    pub function: AggregateFunction,
    /// The field; `Rows`, `FirstRow` and `LastRow` need none.
    pub field: Option<String>,
    /// Its values are made floats beforehand.
    pub as_float: bool,
    /// Fields and tags of the row that is selected; a tag that it lacks is null.
    pub beside: Vec<String>,
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
    Field(String, FieldType, Comparison, FieldValue),
}

/// Rows of a scan.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Page {
    /// Of which.
    pub scan: u64,
    /// Groups of rows by [`super::scan_page::encode`], without keys and in any order, as a shard
    /// made them.
    #[serde(skip)]
    pub bytes: Vec<u8>,
    /// Whether it was the last.
    pub is_last: bool,
    /// Rows that were read for it.
    #[serde(default)]
    pub rows_read: u64,
    /// Bytes of columns that were decoded for it.
    #[serde(default)]
    pub bytes_decoded: u64,
}
