//! What a merge reads: series in order of their keys, and of each its pages in order of time.

use std::cmp::Ordering;
use std::ops::Range;
use std::rc::Rc;

use super::key::SeriesKey;
use crate::batch::bitmap::Validity;
use crate::batch::column::{Column, Fixed};
use crate::batch::narrow::Narrow;
use crate::model::ids::ColumnId;
use crate::model::time::TimeRange;
use crate::model::value::FieldType;

/// Sources of one merge, more than a shard ever has parts that overlap. Each holds the times of a
/// page and a column, at most 40 KB: readers cut time so that about 64 come together.
pub const CURSORS_MAX: usize = 2_048;

/// Field columns and their types, ascending by id.
pub type Columns = Rc<[(ColumnId, FieldType)]>;

/// Which way series, and the pages of each, come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Direction {
    /// The least key first, and of a series the earliest time.
    #[default]
    Ascending,
    /// The greatest key first, and of a series the latest time.
    Descending,
}

impl Direction {
    /// The time as a number that grows in this direction; turned twice it is the time again.
    pub(super) const fn turn(self, time_ns: i64) -> i64 {
        match self {
            Self::Ascending => time_ns,
            Self::Descending => !time_ns,
        }
    }

    /// How two keys or times are ordered that compare as `ascending`.
    pub const fn order(self, ascending: Ordering) -> Ordering {
        match self {
            Self::Ascending => ascending,
            Self::Descending => ascending.reverse(),
        }
    }
}

/// A sorted source of rows: a part, the rows in memory, or either with rows hidden.
///
/// It stands at a series from the beginning, or is through. Each series comes once, each of its
/// times once. Those who make a cursor name its [`Direction`]; a descending one goes from the last
/// series to the first and from the latest page of each to the earliest. *Within* a page rows
/// always ascend, as they lie in storage: the merge turns them.
///
/// After an error a cursor may stand anywhere: it is to be dropped.
pub trait SeriesCursor {
    /// The series at hand; `None` when all are through.
    fn key(&self) -> Option<&SeriesKey>;

    /// Goes on to the first series that is not before `to`, in the cursor's direction: the least
    /// key that is `>= to`, or the greatest that is `<= to` when descending. Does nothing if it
    /// stands there or further. What lies between is passed by its extents, unread.
    ///
    /// # Errors
    /// [`ReadError::Storage`] and [`ReadError::Damaged`].
    fn seek(&mut self, to: &SeriesKey) -> Result<(), ReadError>;

    /// Goes on to the next series, whether or not the pages of this one were read.
    ///
    /// # Errors
    /// [`ReadError::Storage`] and [`ReadError::Damaged`].
    fn step(&mut self) -> Result<(), ReadError>;

    /// The next page of the series at hand, of its rows inside `time` only and never without one.
    /// `None` when they are through, as they are when the series has none there. `time` is the
    /// same until the next series. Pages do not share a time; two pieces of one page may follow
    /// each other.
    ///
    /// # Errors
    /// [`ReadError::Storage`] and [`ReadError::Damaged`].
    fn page(&mut self, time: TimeRange) -> Result<Option<PageKeys>, ReadError>;

    /// Whether the series at hand has a row inside `time`. Its pages are as they were. What is said
    /// of pages without reading them is enough where it tells.
    ///
    /// # Errors
    /// [`ReadError::Storage`] and [`ReadError::Damaged`].
    fn has_rows(&mut self, time: TimeRange) -> Result<bool, ReadError>;

    /// A column of a page that this cursor has handed out, be it long ago: of all its rows. `None`
    /// if no row of the page has a value.
    ///
    /// A cursor keeps the last column that it decoded: who reads many small series asks for one
    /// column of all of them, then for the next.
    ///
    /// # Errors
    /// [`ReadError::Storage`] and [`ReadError::Damaged`].
    fn column(&mut self, page: &PageKeys, id: ColumnId) -> Result<Option<PageColumn>, ReadError>;

    /// Passes several series at once: the one at hand, of which nothing was read, and those behind
    /// it that have all of their rows in the same page and inside `limits`. `None`, and it stands
    /// where it stood, if these are not two at least or if it cannot tell.
    ///
    /// # Errors
    /// [`ReadError::Storage`] and [`ReadError::Damaged`].
    fn short_series(&mut self, limits: &RunLimits<'_>) -> Result<Option<ShortSeries>, ReadError> {
        let _ = limits;
        Ok(None)
    }

    /// Whether most of a page can be written elsewhere as it is stored ([`SeriesCursor::block`]).
    fn has_blocks(&self, page: &PageKeys) -> bool {
        let _ = page;
        false
    }

    /// A column of a page as [`SeriesCursor::column`] has it, in the bytes that are stored of it:
    /// those of a block, checksum and all, or none if no row has a value. `None` if they cannot be
    /// read without what is stored beside them.
    ///
    /// # Errors
    /// [`ReadError::Storage`] and [`ReadError::Damaged`].
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

/// What [`SeriesCursor::short_series`] passes at most.
#[derive(Clone, Copy, Debug)]
pub struct RunLimits<'a> {
    /// Series with rows outside are not passed.
    pub time: TimeRange,
    /// Nor is this one, nor any behind it.
    pub end: Option<&'a SeriesKey>,
    /// It stops once it has so many rows,
    pub rows: usize,
    /// or so many bytes of keys.
    pub key_bytes: usize,
}

/// Series, ascending, and how many rows of each.
pub type RowCounts = Vec<(SeriesKey, u32)>;

/// Series whose rows stand behind each other in one page.
#[derive(Clone, Debug)]
pub struct ShortSeries {
    /// Which.
    pub series: RowCounts,
    /// Their rows: of each series they ascend in time.
    pub rows: PageKeys,
}

impl ShortSeries {
    /// Series of a page: `next` answers the one at a place, its key and the end of its rows in the
    /// page, as long as there is one. `page` makes the rows.
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
    /// Its values.
    Wide(Rc<Column>),
    /// The same as they are kept: those rows that are wanted become values.
    Narrow(Rc<Narrow>),
}

impl PageColumn {
    /// The type of the values.
    pub fn field_type(&self) -> FieldType {
        match self {
            Self::Wide(column) => column.values.field_type(),
            Self::Narrow(narrow) => narrow.field_type(),
        }
    }

    /// Bytes of memory held.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Wide(column) => column.bytes(),
            Self::Narrow(narrow) => narrow.bytes(),
        }
    }

    /// Which rows have a value.
    pub(super) fn validity(&self) -> &Validity {
        match self {
            Self::Wide(column) => &column.validity,
            Self::Narrow(_) => &Validity::All,
        }
    }

    /// All rows.
    pub fn into_column(self) -> Rc<Column> {
        match self {
            Self::Wide(column) => column,
            Self::Narrow(narrow) => Rc::new(narrow.column()),
        }
    }

    /// The column, if it is one of text: that is never kept narrow.
    pub(super) fn text(&self) -> Option<&Column> {
        match self {
            Self::Wide(column) => Some(column),
            Self::Narrow(_) => None,
        }
    }

    /// Appends values; nothing if one of the rows is not there, or if the type is another one.
    pub(super) fn copy<T: Fixed>(&self, rows: Range<usize>, to: &mut Vec<T>) {
        match self {
            Self::Wide(column) => {
                to.extend_from_slice(T::of(&column.values).get(rows).unwrap_or_default());
            }
            Self::Narrow(narrow) => T::widen(narrow, rows, to),
        }
    }
}

/// Rows of one series within a page: consecutive, and ascending in time, each time once. Of several
/// series that follow each other in [`ShortSeries`] only.
#[derive(Clone, Debug)]
pub struct PageKeys {
    page: u64,
    columns: Columns,
    /// Rows of the whole page.
    page_rows: u32,
    /// Of the rows from this one on.
    first: u32,
    times_ns: Rc<[i64]>,
    rows: Range<u32>,
}

impl PageKeys {
    /// The rows `rows` of the page that its cursor calls `page`. `times_ns`: of all of its rows,
    /// those of other series included; ascending within `rows`. `columns`: what rows may have.
    pub fn new(page: u64, columns: Columns, times_ns: Rc<[i64]>, rows: Range<u32>) -> Self {
        // Pages are far shorter than 2^32 rows.
        let page_rows = times_ns.len() as u32;
        let end = rows.end.min(page_rows);
        let rows = rows.start.min(end)..end;
        Self { page, columns, page_rows, first: 0, times_ns, rows }
    }

    /// The rows from `first` on of a page of `page_rows` rows, with their times, which ascend.
    pub fn of_rows(
        page: u64,
        columns: Columns,
        (first, times_ns): (u32, Rc<[i64]>),
        page_rows: u32,
    ) -> Self {
        // Pages are far shorter than 2^32 rows.
        let rows = first..first.saturating_add(times_ns.len() as u32);
        Self { page, columns, page_rows, first, times_ns, rows }
    }

    /// What the cursor calls it: no two of its pages have the same name.
    pub fn page(&self) -> u64 {
        self.page
    }

    /// The columns that rows of the page may have: those of other series there included.
    pub fn columns(&self) -> &Columns {
        &self.columns
    }

    /// Where the rows are in the page.
    pub fn rows(&self) -> Range<u32> {
        self.rows.clone()
    }

    /// Rows of the whole page.
    pub fn page_rows(&self) -> u32 {
        self.page_rows
    }

    /// The times of the rows, nanoseconds.
    pub fn times_ns(&self) -> &[i64] {
        let place = |row: u32| row.saturating_sub(self.first) as usize;
        self.times_ns.get(place(self.rows.start)..place(self.rows.end)).unwrap_or_default()
    }

    /// The rows inside `time`, if there are any.
    #[must_use]
    pub fn within(&self, time: TimeRange) -> Option<Self> {
        let times = self.times_ns();
        // Positions in a page.
        let before = |end_ns: i64| times.partition_point(|&time_ns| time_ns < end_ns) as u32;
        let (start, end) = (before(time.start_ns), before(time.end_ns));
        let rows = self.rows.start + start..self.rows.start + end;
        (start < end).then(|| Self { rows, ..self.clone() })
    }
}

impl PageKeys {
    /// Has the rows of `other`, of the same page, too, and those between. Times that only `other`
    /// knows are not told any more.
    pub(super) fn cover(&mut self, other: &Self) {
        let (start, end) = (other.rows.start, other.rows.end);
        self.rows = self.rows.start.min(start)..self.rows.end.max(end);
    }

    /// Takes the first `rows` rows in `direction` off.
    pub(super) fn advance(&mut self, rows: usize, direction: Direction) {
        // Rows of a page.
        let rows = (rows as u32).min(self.rows.end - self.rows.start);
        match direction {
            Direction::Ascending => self.rows.start += rows,
            Direction::Descending => self.rows.end -= rows,
        }
    }

    /// The first and the last of its times in `direction`, as [`Direction::turn`] has them.
    pub(super) fn bounds(&self, direction: Direction) -> Option<(i64, i64)> {
        let (&first, &last) = (self.times_ns().first()?, self.times_ns().last()?);
        Some(match direction {
            Direction::Ascending => (first, last),
            Direction::Descending => (direction.turn(last), direction.turn(first)),
        })
    }
}

/// Why rows cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// What is stored fails its checksum, cannot be decoded or contradicts itself. It is never
    /// skipped.
    #[error("damaged: {what}")]
    Damaged {
        /// Which value and block, in words that SHOW DIAGNOSTICS and verify use too.
        what: String,
    },
    /// The store failed.
    #[error("{0}")]
    Storage(String),
    /// Two sources disagree on a column. Types never change, so this is damage.
    #[error("column {} is {found:?} in one part and {expected:?} in another", column.0)]
    ColumnType {
        /// Which column.
        column: ColumnId,
        /// In the newest of them.
        expected: FieldType,
        /// In an older one.
        found: FieldType,
    },
    /// More sources than a merge reads at once.
    #[error("{0} sources are too many to merge: read them in batches of time")]
    TooManySources(usize),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_cut_by_time_within_its_series() {
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
    fn rows_past_the_page_are_not_there() {
        let page = PageKeys::new(0, Rc::default(), Rc::from([1, 2]), 1..9);
        assert_eq!((page.rows(), page.times_ns()), (1..2, &[2][..]));
        assert_eq!(PageKeys::new(0, Rc::default(), Rc::from([1]), 5..9).times_ns(), [0_i64; 0]);
    }
}
