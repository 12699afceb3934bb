//! Defines the sources of a merge. A source returns series in the order of their keys, and the
//! pages of each series in the order of time.

use std::cmp::Ordering;
use std::ops::Range;
use std::rc::Rc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::key::SeriesKey;
use crate::batch::bitmap::Validity;
use crate::batch::column::Column;
use crate::batch::narrow::{Narrow, Widen};
use tidemark_model::bug::OrBug;
use tidemark_model::ids::ColumnId;
use tidemark_model::time::TimeRange;
use tidemark_model::value::FieldType;

/// The maximum number of sources of a merge. Each source keeps the times of one page and one column
/// in memory, at most 40 KB. Readers divide the time range so that a merge has about 64 sources.
pub const CURSORS_MAX: usize = 2_048;

/// The maximum memory, in bytes, of text that must be read together, such as the text of one row. A
/// row from one request has less text, but several requests can write fields of the same row.
pub const ROW_TEXT_BYTES_MAX: usize = 32_000_000;

/// Field columns and their types, in ascending order of their ids.
pub type Columns = Rc<[(ColumnId, FieldType)]>;

/// The order of series and their pages in a cursor, and of groups, windows and rows in a result.
/// Serialized as a boolean: whether the order is descending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Direction {
    /// From the lowest key to the highest, and from the earliest page of a series to the latest.
    #[default]
    Ascending,
    /// From the highest key to the lowest, and from the latest page of a series to the earliest.
    Descending,
}

impl Direction {
    /// Returns the descending direction if `is_descending` is true, otherwise the ascending one.
    pub const fn descending_if(is_descending: bool) -> Self {
        if is_descending { Self::Descending } else { Self::Ascending }
    }

    /// Whether the order is descending.
    pub const fn is_descending(self) -> bool {
        matches!(self, Self::Descending)
    }

    /// Converts a time to a number that increases in this direction. Applying the conversion twice
    /// returns the original time.
    pub const fn to_ascending(self, time_ns: i64) -> i64 {
        match self {
            Self::Ascending => time_ns,
            Self::Descending => !time_ns,
        }
    }

    /// Returns the order of two keys or times in this direction. `ascending` is their ascending
    /// order.
    pub const fn order(self, ascending: Ordering) -> Ordering {
        match self {
            Self::Ascending => ascending,
            Self::Descending => ascending.reverse(),
        }
    }
}

impl Serialize for Direction {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(self.is_descending())
    }
}

impl<'de> Deserialize<'de> for Direction {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        bool::deserialize(deserializer).map(Self::descending_if)
    }
}

/// A sorted source of rows: a part, the rows in memory, or a wrapper that removes hidden rows.
///
/// A new cursor is at its first series. The cursor visits each series once, and each time of a
/// series once. A descending cursor visits the series from last to first, and the pages of each
/// series from latest to earliest. The rows *within* a page always ascend, as in storage.
///
/// Every method may return [`ReadError::Storage`] or [`ReadError::Damaged`]. After an error, the
/// position of a cursor is undefined, and the caller must drop the cursor.
pub trait SeriesCursor {
    /// Returns the current series, or `None` after the last series.
    fn key(&self) -> Option<&SeriesKey>;

    /// Moves to the first series that is not before `to` in the cursor's direction. For a
    /// descending cursor, this is the series with the highest key `<= to`. The cursor does not read
    /// the skipped series. If the current series is not before `to`, the cursor does not move.
    fn seek(&mut self, to: &SeriesKey) -> Result<(), ReadError>;

    /// Moves to the next series, even if pages of the current series were not read.
    fn step(&mut self) -> Result<(), ReadError>;

    /// Returns the next page of the current series, limited to rows inside `time`. Returns `None`
    /// after the last page, or if the series has no rows inside `time`.
    ///
    /// `time` must not change within a series. Pages are never empty, and no two pages contain the
    /// same time. Two consecutive results may be pieces of the same page.
    fn page(&mut self, time: TimeRange) -> Result<Option<PageKeys>, ReadError>;

    /// Whether the current series has a row inside `time`. The next result of
    /// [`SeriesCursor::page`] does not change. The cursor reads only the metadata of pages if
    /// possible.
    fn has_rows(&mut self, time: TimeRange) -> Result<bool, ReadError>;

    /// Returns a column with all rows of a page, or `None` if all values are null. The page may be
    /// any page that this cursor has returned.
    ///
    /// A cursor caches the last decoded column. Readers of many small series should therefore read
    /// one column for all series before the next column.
    fn column(&mut self, page: &PageKeys, id: ColumnId) -> Result<Option<PageColumn>, ReadError>;

    /// Returns the stored size of a page's text, in bytes; 0 for a page in memory. The page may be
    /// any page that this cursor has returned.
    fn text_bytes(&mut self, page: &PageKeys) -> Result<usize, ReadError> {
        let _ = page;
        Ok(0)
    }

    /// Moves past several series in one call: the current series, which must be unread, and the
    /// series after it.
    ///
    /// All rows of these series must be in the same page and inside `limits`. Returns `None`
    /// without moving if fewer than two series fulfil this condition, or if the cursor cannot check
    /// the condition.
    fn short_series(&mut self, limits: &RunLimits<'_>) -> Result<Option<ShortSeries>, ReadError> {
        let _ = limits;
        Ok(None)
    }

    /// Whether most bytes of a page can be copied without decoding ([`SeriesCursor::block`]).
    fn has_blocks(&self, page: &PageKeys) -> bool {
        let _ = page;
        false
    }

    /// Returns the stored block of the column that [`SeriesCursor::column`] would return, including
    /// the checksum.
    ///
    /// The block is empty if all values are null. Returns `None` if the block cannot be decoded
    /// without other stored data, such as a shared table.
    fn block(&mut self, page: &PageKeys, id: ColumnId) -> Result<Option<Vec<u8>>, ReadError> {
        let _ = (page, id);
        Ok(None)
    }
}

impl<C: SeriesCursor + ?Sized> SeriesCursor for Box<C> {
    fn key(&self) -> Option<&SeriesKey> {
        (**self).key()
    }

    fn seek(&mut self, to: &SeriesKey) -> Result<(), ReadError> {
        (**self).seek(to)
    }

    fn step(&mut self) -> Result<(), ReadError> {
        (**self).step()
    }

    fn page(&mut self, time: TimeRange) -> Result<Option<PageKeys>, ReadError> {
        (**self).page(time)
    }

    fn has_rows(&mut self, time: TimeRange) -> Result<bool, ReadError> {
        (**self).has_rows(time)
    }

    fn column(&mut self, page: &PageKeys, id: ColumnId) -> Result<Option<PageColumn>, ReadError> {
        (**self).column(page, id)
    }

    fn text_bytes(&mut self, page: &PageKeys) -> Result<usize, ReadError> {
        (**self).text_bytes(page)
    }

    fn short_series(&mut self, limits: &RunLimits<'_>) -> Result<Option<ShortSeries>, ReadError> {
        (**self).short_series(limits)
    }

    fn has_blocks(&self, page: &PageKeys) -> bool {
        (**self).has_blocks(page)
    }

    fn block(&mut self, page: &PageKeys, id: ColumnId) -> Result<Option<Vec<u8>>, ReadError> {
        (**self).block(page, id)
    }
}

/// The limits of [`SeriesCursor::short_series`].
#[derive(Clone, Copy, Debug)]
pub struct RunLimits<'a> {
    /// A series with rows outside this time range is not included.
    pub time: TimeRange,
    /// The first series that is not included, if any.
    pub end: Option<&'a SeriesKey>,
    /// The number of rows after which no further series is included.
    pub rows: usize,
    /// The size of the keys, in bytes, after which no further series is included.
    pub key_bytes: usize,
}

/// A list of series in ascending order, with their numbers of rows.
pub type RowCounts = Vec<(SeriesKey, u32)>;

/// Series with consecutive rows in one page.
#[derive(Clone, Debug)]
pub struct ShortSeries {
    /// The series and their numbers of rows.
    pub series: RowCounts,
    /// The rows of all series. Times ascend within each series.
    pub rows: PageKeys,
}

impl ShortSeries {
    /// Collects consecutive series of a page within `limits`. `next` returns the key of the series
    /// at a position and the end of its rows in the page, or `None` after the last series.
    pub(crate) fn gather(
        limits: &RunLimits<'_>,
        first: u32,
        mut next: impl FnMut(usize) -> Option<(SeriesKey, u32)>,
        page: impl FnOnce(Range<u32>) -> Option<PageKeys>,
    ) -> Option<Self> {
        let (mut series, mut end, mut key_bytes) = (Vec::new(), first, 0);
        while ((end - first) as usize) < limits.rows
            && key_bytes < limits.key_bytes
            && let Some((key, row)) = next(series.len())
            && limits.end.is_none_or(|end| key < *end)
        {
            key_bytes += key.as_bytes().len();
            series.push((key, row.saturating_sub(end)));
            end = end.max(row);
        }
        if series.len() < 2 {
            return None;
        }
        Some(Self { series, rows: page(first..end)? })
    }
}

/// A column of a page.
#[derive(Clone, Debug, PartialEq)]
pub enum PageColumn {
    /// The decoded values.
    Wide(Rc<Column>),
    /// The values in their compact form. Only requested rows are decoded.
    Narrow(Rc<Narrow>),
}

impl PageColumn {
    /// Returns the type of the values.
    pub fn field_type(&self) -> FieldType {
        match self {
            Self::Wide(column) => column.values.field_type(),
            Self::Narrow(narrow) => narrow.field_type(),
        }
    }

    /// Returns the memory size, in bytes.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Wide(column) => column.bytes(),
            Self::Narrow(narrow) => narrow.bytes(),
        }
    }

    pub(super) fn validity(&self) -> &Validity {
        match self {
            Self::Wide(column) => &column.validity,
            Self::Narrow(_) => &Validity::All,
        }
    }

    /// Decodes all rows.
    pub fn into_column(self) -> Rc<Column> {
        match self {
            Self::Wide(column) => column,
            Self::Narrow(narrow) => Rc::new(narrow.column()),
        }
    }

    /// Returns a column of text, which is never stored in compact form.
    pub(super) fn text(&self) -> Option<&Column> {
        match self {
            Self::Wide(column) => Some(column),
            Self::Narrow(_) => None,
        }
    }

    /// Appends the values of `rows` to `to`. The rows must exist, and the column must have the type
    /// `T`.
    pub(super) fn copy<T: Widen>(&self, rows: Range<usize>, to: &mut Vec<T>) {
        match self {
            Self::Wide(column) => {
                to.extend_from_slice(T::of(&column.values).get(rows).or_bug());
            }
            Self::Narrow(narrow) => T::widen(narrow, rows, to),
        }
    }
}

/// A range of rows in a page. The rows belong to a single series and their times ascend without
/// duplicates. Only in [`ShortSeries`] do the rows belong to several consecutive series.
#[derive(Clone, Debug)]
pub struct PageKeys {
    page: u64,
    columns: Columns,
    page_rows: u32,
    /// The row number of the first item in `times_ns`.
    first: u32,
    times_ns: Rc<[i64]>,
    rows: Range<u32>,
}

impl PageKeys {
    /// Creates a range of rows in the page that its cursor names `page`. `times_ns` contains the
    /// times of the whole page, including other series, and ascends within `rows`.
    pub fn new(page: u64, columns: Columns, times_ns: Rc<[i64]>, rows: Range<u32>) -> Self {
        let page_rows = times_ns.len() as u32;
        let end = rows.end.min(page_rows);
        let rows = rows.start.min(end)..end;
        Self { page, columns, page_rows, first: 0, times_ns, rows }
    }

    /// Creates a range that starts at row `first` of a page with `page_rows` rows. `times_ns`
    /// contains the times of the range in ascending order.
    pub fn of_rows(
        page: u64,
        columns: Columns,
        first: u32,
        times_ns: Rc<[i64]>,
        page_rows: u32,
    ) -> Self {
        let rows = first..first.saturating_add(times_ns.len() as u32);
        Self { page, columns, page_rows, first, times_ns, rows }
    }

    /// Returns the page's name. A cursor gives each of its pages a different name.
    pub fn page(&self) -> u64 {
        self.page
    }

    /// Returns the columns that rows of the page may have, including rows of other series.
    pub fn columns(&self) -> &Columns {
        &self.columns
    }

    /// Returns the row numbers in the page.
    pub fn rows(&self) -> Range<u32> {
        self.rows.clone()
    }

    /// Returns the number of rows of the whole page.
    pub fn page_rows(&self) -> u32 {
        self.page_rows
    }

    /// Returns the times of the rows, in nanoseconds.
    pub fn times_ns(&self) -> &[i64] {
        let place = |row: u32| row.saturating_sub(self.first) as usize;
        self.times_ns.get(place(self.rows.start)..place(self.rows.end)).or_bug()
    }

    /// Returns the rows inside `time`, or `None` if no row is inside.
    #[must_use]
    pub fn within(&self, time: TimeRange) -> Option<Self> {
        let times = self.times_ns();
        let before = |end_ns: i64| times.partition_point(|&time_ns| time_ns < end_ns) as u32;
        let (start, end) = (before(time.start_ns), before(time.end_ns));
        let rows = self.rows.start + start..self.rows.start + end;
        (start < end).then(|| Self { rows, ..self.clone() })
    }

    /// Extends the range to the rows of `other`, which is in the same page, and to all rows between
    /// the two ranges. The times of the added rows are not available.
    pub(super) fn cover(&mut self, other: &Self) {
        let (start, end) = (other.rows.start, other.rows.end);
        self.rows = self.rows.start.min(start)..self.rows.end.max(end);
    }

    pub(super) fn advance(&mut self, rows: usize, direction: Direction) {
        let rows = (rows as u32).min(self.rows.end - self.rows.start);
        match direction {
            Direction::Ascending => self.rows.start += rows,
            Direction::Descending => self.rows.end -= rows,
        }
    }

    /// Returns the first and the last time in this direction, converted with
    /// [`Direction::to_ascending`].
    pub(super) fn bounds(&self, direction: Direction) -> Option<(i64, i64)> {
        let (&first, &last) = (self.times_ns().first()?, self.times_ns().last()?);
        Some(match direction {
            Direction::Ascending => (first, last),
            Direction::Descending => (direction.to_ascending(last), direction.to_ascending(first)),
        })
    }
}

/// An error while reading rows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Stored data fails its checksum, cannot be decoded or is inconsistent. Reads never skip
    /// damaged data.
    #[error("damaged: {what}")]
    Damaged {
        /// The damaged value and block, as displayed by SHOW DIAGNOSTICS and by verification.
        what: String,
    },
    /// The store failed.
    #[error("{0}")]
    Storage(String),
    /// Two sources have different types for a column. Types never change, so this difference is
    /// damage.
    #[error("column {} is {found:?} in one part and {expected:?} in another", column.0)]
    ColumnType {
        /// The column with different types.
        column: ColumnId,
        /// The type in the newest source.
        expected: FieldType,
        /// The type in an older source.
        found: FieldType,
    },
    /// The number of sources exceeds [`CURSORS_MAX`].
    #[error("a merge of {0} sources is too large: query a shorter time range")]
    TooManySources(usize),
    /// The text that must be read together exceeds [`ROW_TEXT_BYTES_MAX`].
    #[error(
        "the text of a point has more than {max} bytes: select fewer fields",
        max = ROW_TEXT_BYTES_MAX
    )]
    TooMuchText,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_keys_clip_to_time_range() {
        let page = PageKeys::new(3, Rc::default(), Rc::from([50, 10, 20, 30, 5]), 1..4);
        assert_eq!((page.times_ns(), page.page_rows()), (&[10, 20, 30][..], 5));
        let cut = |start, end| page.within(TimeRange::new(start, end)).map(|page| page.rows());
        assert_eq!(cut(i64::MIN, i64::MAX), Some(1..4));
        assert_eq!(cut(10, 30), Some(1..3));
        assert_eq!(
            (cut(11, 21), cut(20, 20), cut(21, 30), cut(31, 60)),
            (Some(2..3), None, None, None)
        );
    }

    #[test]
    fn page_keys_ignore_rows_past_end() {
        let page = PageKeys::new(0, Rc::default(), Rc::from([1, 2]), 1..9);
        assert_eq!((page.rows(), page.times_ns()), (1..2, &[2][..]));
        assert_eq!(PageKeys::new(0, Rc::default(), Rc::from([1]), 5..9).times_ns(), [0_i64; 0]);
    }
}
