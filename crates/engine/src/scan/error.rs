//! The error type of scans.

use super::request::AggregateFunction;
use crate::merge::cursor::ReadError;
use tidemark_model::ids::ColumnId;
use tidemark_model::value::FieldType;

/// An error of a scan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the error texts describe the fields")]
pub enum ScanError {
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A regex does not compile or exceeds the size limit.
    #[error("invalid regex /{regex}/: {reason}")]
    Regex { regex: String, reason: String },
    #[error("{0}")]
    SlowRegex(String),
    #[error("unknown function in condition: {0}()")]
    Function(String),
    #[error("{function:?} does not support {field_type:?} values")]
    Input { function: AggregateFunction, field_type: FieldType },
    /// A block contains a different type than the schema. Types never change, so the block is
    /// damaged.
    #[error("column {} is {stored:?} in a block and {expected:?} in the schema", column.0)]
    ColumnType { column: ColumnId, stored: FieldType, expected: FieldType },
    /// The order of series has changed since the last page, so the scan cannot resume at its
    /// position.
    #[error("the order of series has changed")]
    Reordered,
    #[error("the cached rows belong to another request")]
    Cached,
    #[error("partial states of {0:?} have the wrong shape")]
    States(AggregateFunction),
}
