//! The messages to and from the SQL Worker, which has no access to objects, tokens or databases.
//!
//! The caller opens a session with a statement. In each turn, the caller sends the requested data,
//! and the session returns the next chunk of the result and its next requests.

use serde::{Deserialize, Serialize};

use super::call::CallFailure;
use super::envelope::{self, wire};
use crate::scan::request::{AggregateFunction, Comparison, Window};
use tidemark_model::time::TimeRange;
use tidemark_model::value::{FieldType, FieldValue};

/// The HTTP status for a statement that exceeds a memory, row or time limit.
pub const TOO_MUCH: u16 = 507;

/// The output format of a statement that a client prepares: the schema of the parameters, and then
/// the result, as Arrow IPC. Both are in one stream. The values of the parameters must be null.
pub const PREPARED_FORMAT: &str = "arrow_prepared";

/// Returns the reply to a message for which the SQL Worker threw an error with this text.
/// `sql/sessions.js` defines the prefixes. Some failures are [`CallFailure::Retryable`].
pub fn error_reply(text: &str) -> Result<Vec<u8>, CallFailure> {
    if let Some(message) = text.strip_prefix("stopped: ") {
        let failed = FromSql::Failed { status: TOO_MUCH, message: message.to_owned() };
        return Ok(envelope::encode(&failed));
    }
    Err(match text.strip_prefix("lost: ") {
        Some(reason) => CallFailure::Retryable(format!("SQL stopped: {reason}")),
        None => CallFailure::Failed(format!("SQL stopped: {text}")),
    })
}

/// A message to an SQL session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToSql {
    /// Opens the session. A session that is already open discards its state.
    Open(QueryRequest),
    /// Sends available requested data, possibly none, and lets the session continue.
    Turn {
        /// The data, in any order.
        #[serde(rename = "answers")]
        replies: Vec<SessionReply>,
        /// The size of each page in `replies`, in bytes.
        lengths: Vec<u64>,
        /// The concatenated bytes of the pages, which are sent as the message body.
        #[serde(skip)]
        pages: Vec<u8>,
    },
    /// Sends rows that do not come from an SQL statement. The session returns these rows in
    /// `format`.
    Rewrite {
        /// The name of the output format.
        format: String,
        /// Whether this is the last message.
        is_last: bool,
        /// The next bytes of an Arrow IPC stream, which are sent as the message body.
        #[serde(skip)]
        rows: Vec<u8>,
    },
}

impl ToSql {
    /// Creates a turn from `replies`, and moves the bytes of their pages to the body.
    pub fn turn(mut replies: Vec<SessionReply>) -> Self {
        let (mut lengths, mut pages) = (Vec::new(), Vec::new());
        for reply in &mut replies {
            if let SessionReply::Page(page) = reply {
                lengths.push(page.bytes.len() as u64);
                pages.append(&mut page.bytes);
            }
        }
        Self::Turn { replies, lengths, pages }
    }

    /// Moves the body's bytes into `replies`. Returns `None` if `lengths` does not match `pages`.
    pub fn with_pages(
        mut replies: Vec<SessionReply>,
        lengths: &[u64],
        pages: &[u8],
    ) -> Option<Vec<SessionReply>> {
        let (mut lengths, mut rest) = (lengths.iter(), pages);
        for reply in &mut replies {
            if let SessionReply::Page(page) = reply {
                let length = usize::try_from(*lengths.next()?).ok()?;
                let (own, behind) = rest.split_at_checked(length)?;
                (page.bytes, rest) = (own.to_vec(), behind);
            }
        }
        rest.is_empty().then_some(replies)
    }
}

/// A reply of an SQL session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FromSql {
    /// The session needs data, or has a chunk of the result.
    Turned {
        /// The data that the session requests. The session sends each request once.
        wanted: Vec<SessionRequest>,
        /// The ids of scans that the session no longer needs.
        cancelled: Vec<u64>,
        /// Whether the plan has produced rows. After that, the HTTP status does not change.
        has_rows: bool,
        /// Whether the session can continue without the requested data. The field is `goes_on` in
        /// JSON.
        #[serde(rename = "goes_on")]
        can_continue: bool,
        /// Whether this chunk completes the result.
        is_done: bool,
        /// The work since the last reply, in units of `QUERY_CPU_MS_MAX`.
        #[serde(default)]
        work: u64,
        /// The next chunk of the result in the requested format, which is sent as the message body.
        #[serde(skip)]
        piece: Vec<u8>,
    },
    /// The statement failed. No more chunks follow.
    Failed {
        /// The HTTP status.
        status: u16,
        /// The error message.
        message: String,
    },
}

wire!(ToSql, body in Self::Turn { pages: body, .. } | Self::Rewrite { rows: body, .. });
wire!(FromSql, body in Self::Turned { piece: body, .. });

/// One SQL statement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QueryRequest {
    /// The statement.
    pub text: String,
    /// The values of `$name` parameters. The names have no `$`.
    #[serde(default)]
    pub parameters: Vec<(String, Parameter)>,
    /// The value of `now()`, in nanoseconds.
    pub now_ns: i64,
    /// The output format, as in the request parameter `format`, or [`PREPARED_FORMAT`].
    pub format: String,
    /// Whether the caller supports [`ScanRequest::aggregates`].
    #[serde(default)]
    pub aggregates: bool,
    /// Whether the caller supports [`ScanRequest::first_of`], [`AggregateFunction::FirstRow`] and
    /// [`AggregateFunction::LastRow`].
    #[serde(default)]
    pub first_of_groups: bool,
    /// The schemas of all tables whose names [occur](is_named) in the text, if the caller searched
    /// it.
    #[serde(default)]
    pub tables: Option<Vec<TableSchema>>,
}

/// Returns whether `text` contains the name of `table`, ignoring case. The search takes linear
/// time, also if the text and the name have long equal parts.
pub fn is_named(text: &str, table: &str) -> bool {
    let may_contain = (1..=text.len()).contains(&table.len());
    may_contain && text.to_ascii_lowercase().contains(&table.to_ascii_lowercase())
}

/// The value of a parameter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names describe the items")]
pub enum Parameter {
    Null,
    Boolean(bool),
    Integer(i64),
    Unsigned(u64),
    Float(f64),
    String(String),
    /// A time in nanoseconds since the epoch.
    Time(i64),
}

/// Data that a session requests from its caller.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum SessionRequest {
    /// The schemas of these tables. The response omits tables that do not exist.
    Tables(Vec<String>),
    /// The schemas of all tables of the database.
    EveryTable,
    /// The rows of a table in the schema `system`.
    System(SystemTable),
    /// The first page of a new scan.
    Scan(ScanRequest),
    /// The next page of the scan with this id.
    Page(u64),
}

/// A system table, whose rows come from the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum SystemTable {
    /// The running queries.
    Queries,
}

/// Data for a session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum SessionReply {
    /// The reply to [`SessionRequest::Tables`] and [`SessionRequest::EveryTable`].
    Tables(Vec<TableSchema>),
    /// The reply to [`SessionRequest::System`]: rows of strings, in the order of the table's
    /// columns.
    System(SystemTable, Vec<Vec<Option<String>>>),
    /// The reply to [`SessionRequest::Scan`] and [`SessionRequest::Page`].
    Page(Page),
    /// The requested data is not available. The statement fails with this error.
    Failed {
        /// The HTTP status.
        status: u16,
        /// The error message.
        message: String,
    },
}

/// The schema of a measurement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableSchema {
    /// The name of the measurement.
    pub name: String,
    /// All columns except the time, in any order.
    pub columns: Vec<TableColumn>,
}

/// A tag or a field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableColumn {
    /// The tag key or field key.
    pub name: String,
    /// The type of a field, or `None` for a tag.
    pub field_type: Option<FieldType>,
}

/// The rows that a plan reads from one table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScanRequest {
    /// The id of the scan, unique within the statement.
    pub scan: u64,
    /// The name of the measurement.
    pub table: String,
    /// The time range of the rows.
    pub time: TimeRange,
    /// The filter. The session needs only rows for which the filter is true.
    pub condition: Option<Condition>,
    /// The fields to return, in this order, even for rows without these fields.
    pub fields: Vec<String>,
    /// The tags to return, in this order. A missing tag has the value "".
    pub tags: Vec<String>,
    /// The maximum number of rows. The caller may return any rows, unless `first` is set.
    pub rows_max: Option<u64>,
    /// If set, the session needs the first rows in this time order, so each shard may return only
    /// its first `rows_max` rows.
    pub first: Option<TimeOrder>,
    /// The aggregates to return in place of rows. `fields` and `tags` must then be empty.
    ///
    /// A page has one row for each group and window that contains rows. Each of these rows occurs
    /// once in the scan. The row's time is the start of the window, or arbitrary without windows.
    /// The row contains the group's tags and the results of the calls.
    #[serde(default)]
    pub aggregates: Option<Box<Aggregates>>,
    /// The tags that form groups. With `first`, `rows_max` applies to each group.
    #[serde(default)]
    pub first_of: Vec<String>,
}

/// The aggregates that a scan computes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Aggregates {
    /// The tags that form the groups. A missing tag has the value "".
    pub group_by: Vec<String>,
    /// The time windows, in UTC. `None` means one window for all rows.
    pub window: Option<Window>,
    /// The aggregate calls for each group and window.
    pub calls: Vec<AggregateCall>,
}

/// One aggregate call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AggregateCall {
    /// The function, whose result is null for a group without values.
    ///
    /// `Min`, `Max`, `First`, `Last`, `FirstRow` and `LastRow` select a row. The row's time in
    /// nanoseconds and the columns in `aux` follow the value. For `FirstRow` and `LastRow` the
    /// value is the row's time.
    pub function: AggregateFunction,
    /// The field. `Rows`, `FirstRow` and `LastRow` need no field.
    pub field: Option<String>,
    /// Whether to convert the values to floats before the aggregation.
    pub as_float: bool,
    /// The fields and tags to return for the selected row. A missing tag is null.
    pub aux: Vec<String>,
}

/// A time order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TimeOrder {
    /// The oldest row first.
    Ascending,
    /// The newest row first.
    Descending,
}

/// A filter for rows. An SQL result of NULL counts as false.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Condition {
    /// All conditions are true.
    All(Vec<Self>),
    /// At least one condition is true.
    Any(Vec<Self>),
    /// The tag equals one of these values. The empty value is not allowed.
    TagIn(String, Vec<String>),
    /// The row has the tag, and the value is not in this list.
    TagNotIn(String, Vec<String>),
    /// The row does not have the tag.
    TagMissing(String),
    /// The row has a value of this type in the field, and the comparison is true.
    Field(String, FieldType, Comparison, FieldValue),
}

/// A page of rows from a scan.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Page {
    /// The id of the scan.
    pub scan: u64,
    /// The groups of rows, encoded by [`super::scan_page::encode`], without keys and in any order.
    #[serde(skip)]
    pub bytes: Vec<u8>,
    /// Whether this is the last page of the scan.
    pub is_last: bool,
    /// The number of rows read for this page.
    #[serde(default)]
    pub rows_read: u64,
    /// The number of decoded column bytes for this page.
    #[serde(default)]
    pub bytes_decoded: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_linear_time() {
        assert!(is_named("SELECT * FROM CPU", "cpu"));
        assert!(is_named("SELECT * FROM \"Größe\"", "GRößE"));
        assert!(!is_named("SELECT * FROM cpu", "mem"));
        assert!(!is_named("", "") && !is_named("cpu", "cpu2"));
        let text = "a".repeat(1_000_000);
        assert!(!is_named(&text, &format!("{}b", "a".repeat(500_000))));
        assert!(is_named(&text, &"A".repeat(500_000)));
    }
}
