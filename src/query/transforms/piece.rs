//! Defines what the transformations share: a piece of a stream of values, and the trait of what
//! takes such pieces.

use crate::model::value::FieldType;
use crate::query::error::QueryError;
use crate::query::result::{Column, Values};
use crate::query::work::Work;

/// The next piece of a stream.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Piece {
    /// Times, nanoseconds.
    pub(crate) times_ns: Vec<i64>,
    /// As many values, none null.
    pub(crate) values: Values,
}

/// A transformation in progress.
pub(crate) trait Transformation {
    /// What the next piece comes to.
    fn push(&mut self, piece: &Piece) -> Piece;

    /// Returns the rest of the values after the last piece. Call it again after
    /// [`Finish::Pause`].
    ///
    /// # Errors
    /// [`QueryError::TooLarge`]
    fn finish(&mut self, _work: &Work) -> Result<Finish, QueryError> {
        Ok(Finish::Nothing)
    }
}

/// What a transformation returns after the last piece.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Finish {
    /// No more values.
    Nothing,
    /// The last values.
    Piece(Piece),
    /// The statement must pause first.
    Pause,
}

// Not a supertrait: it would carry the printing of every one's state into the module.
impl std::fmt::Debug for dyn Transformation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Transformation")
    }
}

impl Piece {
    /// The rows of a column that have a value.
    pub(crate) fn new(times_ns: &[i64], column: &Column) -> Self {
        if column.validity.nulls(column.len()) == 0 {
            return Self { times_ns: times_ns.to_vec(), values: column.values.clone() };
        }
        // A page of rows never has more than fit u32.
        let rows: Vec<u32> =
            (0..column.len() as u32).filter(|&r| column.validity.is_valid(r as usize)).collect();
        let time = |&row: &u32| times_ns.get(row as usize).copied();
        let times_ns = rows.iter().filter_map(time).collect();
        Self { times_ns, values: column.values.gather(&rows) }
    }

    /// Nothing, of that type.
    pub(crate) fn empty(field_type: FieldType) -> Self {
        Self { times_ns: Vec::new(), values: Values::new(field_type) }
    }
}

/// The last value that counts after `piece`: the first of those at the last time.
pub(super) fn last_of(piece: &Piece, before: Option<(i64, Values)>) -> Option<(i64, Values)> {
    let Some(&time) = piece.times_ns.last() else { return before };
    if before.as_ref().is_some_and(|(last, _)| *last == time) {
        return before;
    }
    let same = piece.times_ns.iter().rev().take_while(|&&t| t == time).count();
    let first = piece.times_ns.len() - same;
    Some((time, piece.values.gather(&[first as u32])))
}
