//! Describes the result of a statement: chunks of series with typed columns.

use std::rc::Rc;

use super::data_type::DataType;
pub use tidemark_engine::batch::bitmap::Validity;
pub use tidemark_engine::batch::column::{Column, StringColumn, Values};
use tidemark_model::bug;

/// The next rows of a series. `partial` is set in all chunks of a series except the last.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesChunk {
    /// The measurement's name; `None` if 1.x prints no name.
    pub name: Option<Rc<str>>,
    /// The group tags in ascending order of their keys; the value of a missing tag is "".
    pub tags: Rc<[(String, String)]>,
    /// The names of the columns in `values`.
    pub columns: Rc<[String]>,
    /// The columns of the chunk. Each column has `rows` rows.
    pub values: Vec<ResultColumn>,
    /// The number of rows; 0 if 1.x prints a series without values.
    pub rows: usize,
    /// Whether more rows of this series follow.
    pub partial: bool,
    /// The shifts of the zone in which times are printed (`tz()`), in ascending order of time. An
    /// entry contains a time and the shift from UTC to local time after that time, both in
    /// nanoseconds. An empty list means UTC.
    pub zone: Rc<[(i64, i64)]>,
}

/// One column of a result. Equal columns of a statement share their values.
#[derive(Clone, Debug, PartialEq)]
pub enum ResultColumn {
    /// Times in nanoseconds, never null.
    Time(Vec<i64>),
    /// A column of values. Invalid values are null.
    Values(Rc<Column>),
    /// Values, and a replacement for invalid values, possibly of another type. For `fill(5)`, 1.x
    /// returns the unconverted number in string and boolean columns next to a selector.
    Filled {
        /// The values of the column.
        column: Rc<Column>,
        /// A column with one row.
        otherwise: Rc<Column>,
    },
    /// No source has the column's name, so every row is null.
    Null,
}

/// The columns of a SELECT, which are known before its first row.
#[derive(Clone, Debug, PartialEq)]
pub struct ResultColumns {
    /// The column names, as in every chunk. The first column is the time.
    pub names: Rc<[String]>,
    /// The types of the columns after the time.
    pub types: Rc<[DataType]>,
    /// The keys of GROUP BY in ascending order.
    pub group_keys: Rc<[String]>,
    /// The zone in `tz()`, which is a name in the IANA database.
    pub zone: Option<Rc<str>>,
}

impl ResultColumn {
    /// Creates a column without null values.
    pub fn full(values: Values) -> Self {
        Self::Values(Rc::new(Column::full(values)))
    }
}

impl SeriesChunk {
    /// Whether more rows follow the chunk's first `rows` rows, in this or the next chunk.
    pub fn continues_after(&self, rows: usize) -> bool {
        self.partial || rows < self.rows
    }

    /// Reports a bug if a column has another number of rows than the chunk.
    pub fn ensure_rows(&self) {
        bug::ensure(self.values.iter().all(|column| match column {
            ResultColumn::Time(times_ns) => times_ns.len() == self.rows,
            ResultColumn::Values(column) => column.has_rows(self.rows),
            ResultColumn::Filled { column, otherwise } => {
                column.has_rows(self.rows) && otherwise.len() == 1
            }
            ResultColumn::Null => true,
        }));
    }

    /// Replaces the chunk in `last` with this chunk of the same series. Returns the replaced chunk.
    pub(crate) fn swap_into(self, last: &mut Option<Self>) -> Option<Self> {
        last.replace(self).map(|before| Self { partial: true, ..before })
    }

    /// Returns the chunk's series without its rows.
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

    /// Returns the size of the rows, in bytes.
    pub fn bytes(&self) -> usize {
        let of = |column: &ResultColumn| match column {
            ResultColumn::Time(times_ns) => 8 * times_ns.len(),
            ResultColumn::Values(column) => column.bytes(),
            ResultColumn::Filled { column, otherwise } => column.bytes() + otherwise.bytes(),
            ResultColumn::Null => 0,
        };
        self.values.iter().map(of).sum()
    }

    /// Whether the rows of `next` continue this chunk's series.
    pub fn is_continued_by(&self, next: &Self) -> bool {
        self.partial
            && self.name == next.name
            && self.tags == next.tags
            && self.columns == next.columns
    }

    /// Returns the rows of a chunk that contains only strings.
    pub fn strings(&self) -> Vec<Vec<String>> {
        let cell = |column: &ResultColumn, row| match column {
            ResultColumn::Values(column) => match &column.values {
                Values::String(texts) => texts.get(row).to_owned(),
                _ => String::new(),
            },
            _ => String::new(),
        };
        (0..self.rows).map(|row| self.values.iter().map(|c| cell(c, row)).collect()).collect()
    }

    /// Creates a series of strings, for SHOW statements. Each row has one string per column.
    pub fn of_strings(name: Option<&str>, columns: &[&str], rows: &[Vec<String>]) -> Self {
        let values = (0..columns.len()).map(|column| {
            let texts = rows.iter().map(|row| row.get(column).map_or("", String::as_str));
            Values::String(texts.collect())
        });
        Self::of_columns(name, columns, values)
    }

    /// Creates a series without null values, for SHOW statements.
    pub fn of_columns(
        name: Option<&str>,
        columns: &[&str],
        values: impl IntoIterator<Item = Values>,
    ) -> Self {
        let values: Vec<Values> = values.into_iter().collect();
        let rows = values.first().map_or(0, Values::len);
        Self {
            name: name.map(Rc::from),
            tags: Rc::from([]),
            columns: columns.iter().map(|name| (*name).to_owned()).collect(),
            values: values.into_iter().map(ResultColumn::full).collect(),
            rows,
            partial: false,
            zone: Rc::from([]),
        }
    }
}
