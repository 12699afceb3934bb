//! Describes what a statement answers with: typed columns of one series, piece by piece.

use std::rc::Rc;

pub use crate::batch::bitmap::Validity;
pub use crate::batch::column::{Column, StringColumn, Values};
use crate::model::value::FieldType;

/// The next rows of one series. Several chunks in a row may belong to one series:
/// all but the last of them have `partial` set.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesChunk {
    /// Measurement; `None` where 1.x prints no name.
    pub name: Option<Rc<str>>,
    /// Group tags in order of their keys, "" where missing.
    pub tags: Rc<[(String, String)]>,
    /// Column names, as many as `values`.
    pub columns: Rc<[String]>,
    /// The columns, each with `rows` rows.
    pub values: Vec<ResultColumn>,
    /// Number of rows; may be 0 where 1.x prints a series without values.
    pub rows: usize,
    /// More rows of this series follow.
    pub partial: bool,
    /// tz(): where times are printed in. From each time on (nanoseconds, ascending) local time is
    /// UTC plus that many nanoseconds; empty is UTC.
    pub zone: Rc<[(i64, i64)]>,
}

/// One column of a result.
#[derive(Clone, Debug, PartialEq)]
pub enum ResultColumn {
    /// Times, nanoseconds. Never null.
    Time(Vec<i64>),
    /// Values, null where invalid.
    Values(Column),
    /// Values, and what stands where they are invalid: one value, perhaps of another type. 1.x
    /// fills the strings and booleans beside a selector with the bare number of `fill(5)`.
    Filled {
        /// As in `Values`.
        column: Column,
        /// One row.
        otherwise: Column,
    },
    /// As many nulls as the chunk has rows: nothing is known of that name.
    Null,
}

/// What every row of a SELECT consists of, known before there is a row.
#[derive(Clone, Debug, PartialEq)]
pub struct ResultColumns {
    /// Names of the columns as in every chunk, the time's first.
    pub names: Rc<[String]>,
    /// What the columns after the time are.
    pub kinds: Rc<[ColumnKind]>,
    /// Keys of GROUP BY, ascending: those of every chunk's tags.
    pub group_keys: Rc<[String]>,
    /// The zone of tz(), by its name in the IANA database.
    pub zone: Option<Rc<str>>,
}

/// What a column of a result is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    /// Nothing has that name: it is null in every row.
    Unknown,
    /// A tag.
    Tag,
    /// A field, or what was made of fields, of this type.
    Field(FieldType),
}

impl SeriesChunk {
    /// Whether rows of its series follow behind its first `rows`, here or in the next chunk.
    pub fn goes_on_after(&self, rows: usize) -> bool {
        self.partial || rows < self.rows
    }

    /// Whose rows they are.
    pub fn without_rows(&self) -> Self {
        Self {
            name: self.name.clone(),
            tags: Rc::clone(&self.tags),
            columns: Rc::clone(&self.columns),
            values: Vec::new(),
            rows: 0,
            partial: self.partial,
            zone: Rc::clone(&self.zone),
        }
    }

    /// What its rows take.
    pub fn bytes(&self) -> usize {
        let of = |column: &ResultColumn| match column {
            ResultColumn::Time(times_ns) => 8 * times_ns.len(),
            ResultColumn::Values(column) => column.bytes(),
            ResultColumn::Filled { column, otherwise } => column.bytes() + otherwise.bytes(),
            ResultColumn::Null => 0,
        };
        self.values.iter().map(of).sum()
    }

    /// Whether `next` continues this chunk's series.
    pub fn same_series(&self, next: &Self) -> bool {
        self.name == next.name && self.tags == next.tags && self.columns == next.columns
    }

    /// The rows of a chunk of strings only.
    pub fn strings(&self) -> Vec<Vec<String>> {
        let cell = |column: &ResultColumn, row| match column {
            ResultColumn::Values(Column { values: Values::String(texts), .. }) => {
                texts.get(row).to_owned()
            }
            _ => String::new(),
        };
        (0..self.rows).map(|row| self.values.iter().map(|c| cell(c, row)).collect()).collect()
    }

    /// A series of strings only, as SHOW statements answer: `rows[i]` has one string per column.
    pub fn of_strings(name: Option<&str>, columns: &[&str], rows: &[Vec<String>]) -> Self {
        let values = (0..columns.len())
            .map(|column| {
                let texts = rows.iter().map(|row| row.get(column).map_or("", String::as_str));
                ResultColumn::Values(Column::full(Values::String(texts.collect())))
            })
            .collect();
        Self {
            name: name.map(Rc::from),
            tags: Rc::from([]),
            columns: columns.iter().map(|name| (*name).to_owned()).collect(),
            values,
            rows: rows.len(),
            partial: false,
            zone: Rc::from([]),
        }
    }
}
