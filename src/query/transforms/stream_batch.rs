//! Defines a batch in a stream of values, and the trait of transformations.

use crate::model::value::FieldType;
use crate::query::error::QueryError;
use crate::query::result::{Column, Values};
use crate::query::work::Work;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StreamBatch {
    pub(crate) times_ns: Vec<i64>,
    /// No value is null.
    pub(crate) values: Values,
}

pub(crate) trait Transformation {
    fn push(&mut self, piece: &StreamBatch) -> StreamBatch;

    fn finish(&mut self, _work: &Work) -> Result<Finish, QueryError> {
        Ok(Finish::Nothing)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Finish {
    Nothing,
    StreamBatch(StreamBatch),
    Pause,
}

// `Debug` is not a supertrait, because printing every state would enlarge the WebAssembly module.
impl std::fmt::Debug for dyn Transformation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Transformation")
    }
}

impl StreamBatch {
    /// Skips rows without a value.
    pub(crate) fn new(times_ns: &[i64], column: &Column) -> Self {
        if column.validity.nulls(column.len()) == 0 {
            return Self { times_ns: times_ns.to_vec(), values: column.values.clone() };
        }
        // The positions of the rows in a page fit in u32.
        let rows: Vec<u32> =
            (0..column.len() as u32).filter(|&r| column.validity.is_valid(r as usize)).collect();
        let time = |&row: &u32| times_ns.get(row as usize).copied();
        let times_ns = rows.iter().filter_map(time).collect();
        Self { times_ns, values: column.values.gather(&rows) }
    }

    pub(crate) fn empty(field_type: FieldType) -> Self {
        Self { times_ns: Vec::new(), values: Values::new(field_type) }
    }
}

/// Returns the first value at the last time of the stream up to batch `piece`. Returns `before` if
/// an earlier batch already contains a value at this time.
pub(super) fn last_of(piece: &StreamBatch, before: Option<(i64, Values)>) -> Option<(i64, Values)> {
    let Some(&time) = piece.times_ns.last() else { return before };
    if before.as_ref().is_some_and(|(last, _)| *last == time) {
        return before;
    }
    let same = piece.times_ns.iter().rev().take_while(|&&t| t == time).count();
    let first = piece.times_ns.len() - same;
    Some((time, piece.values.gather(&[first as u32])))
}
