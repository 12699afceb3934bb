//! Why a scan has no answer.

use super::request::AggregateFunction;
use crate::merge::cursor::ReadError;
use crate::model::ids::ColumnId;
use crate::model::value::FieldType;

/// Why a scan has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    /// The data could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A regex does not compile or would be too large.
    #[error("invalid regex /{regex}/: {reason}")]
    Regex {
        /// As it stands in the query.
        regex: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No such mathematical function.
    #[error("unknown function in condition: {0}()")]
    Function(String),
    /// An aggregate over a type that it does not take.
    #[error("{function:?} does not take {field_type:?} values")]
    Input {
        /// Which aggregate.
        function: AggregateFunction,
        /// Of what.
        field_type: FieldType,
    },
    /// A block holds another type than the schema says. Types never change, so this is damage.
    #[error("column {} is {stored:?} in a block and {expected:?} in the schema", column.0)]
    ColumnType {
        /// Which column.
        column: ColumnId,
        /// By the block.
        stored: FieldType,
        /// By the schema.
        expected: FieldType,
    },
    /// A piece cannot go on where the last one ended: the series are in another order since.
    #[error("the order of series has changed")]
    Reordered,
    /// What is kept of rows is not what the request asks for.
    #[error("what is kept of rows is of another question")]
    Kept,
    /// Partial states that are not what their function writes.
    #[error("partial states of {0:?} do not have its shape")]
    States(AggregateFunction),
}
