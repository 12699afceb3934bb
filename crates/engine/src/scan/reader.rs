//! Defines the interface through which scans read a shard. The rows are merges of sorted runs.

use super::cached::ResultCache;
use super::read_stats::ReadStats;
use crate::batch::series_table::SeriesTable;
use crate::merge::cursor::{Columns, Direction, ReadError, SeriesCursor};
use crate::merge::key::SeriesKey;
use crate::merge::kway::Merge;
use tidemark_model::ids::{ColumnId, MeasurementId};
use tidemark_model::time::TimeRange;

/// The visible rows of a shard, by series key and time. The last write wins.
pub type MergedRows<'a> = Merge<Box<dyn SeriesCursor + 'a>>;

/// A group of a part, or the memtable's rows of a measurement.
pub struct RowGroup<'a> {
    /// The measurement of the rows.
    pub measurement: MeasurementId,
    /// The known tags, in key order.
    pub tag_ids: &'a [ColumnId],
    /// The fields of the rows.
    pub columns: &'a Columns,
    /// The number of series.
    pub series: u64,
    /// Whether the group certainly has a visible row inside the requested time range. If false, the
    /// group may still have such rows.
    pub has_rows: bool,
    /// Whether all rows are inside the requested time range and visible.
    pub is_whole: bool,
    /// The series.
    pub tables: &'a mut SeriesTables<'a>,
}

/// A function that visits the tables of series, until the visitor returns false.
pub type SeriesTables<'a> = dyn FnMut(&mut VisitTable<'_>) -> Result<(), ReadError> + 'a;

/// A function that reads a table of series and the ids of its tags, and returns whether further
/// tables are needed.
pub type VisitTable<'a> = dyn FnMut(&[ColumnId], &SeriesTable) -> bool + 'a;

/// A sorted run: a part, or the memtable.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// The run's number, which is unique and never reused, or `None` for the memtable.
    pub number: Option<u64>,
    /// A time range that contains every row.
    pub time: TimeRange,
    /// An upper bound for the number of the measurement's series in the run.
    pub series: u64,
    /// The sum of the hashes of the run's series over all measurements, or `None` if the sum is
    /// unknown. Runs with equal `series` and equal sums have the same series.
    pub series_sum: Option<u64>,
    /// An upper bound for the number of the measurement's rows in the run.
    pub rows: u64,
}

/// A function that reads a group and returns whether further groups are needed.
pub type VisitGroup<'a> = dyn FnMut(&mut RowGroup<'_>) -> Result<bool, ReadError> + 'a;

/// Returns the rows of a single run, starting at the first series that does not precede `from`.
pub fn rows_of_one<'a>(
    mut run: impl SeriesCursor + 'a,
    direction: Direction,
    from: &SeriesKey,
) -> Result<MergedRows<'a>, ReadError> {
    run.seek(from)?;
    let run: Box<dyn SeriesCursor + 'a> = Box::new(run);
    Merge::new(vec![(0, run)], direction)
}

/// A shard's data for one request.
pub trait Reader {
    /// Returns the tags of a measurement in key order, or an empty list if the shard has no rows of
    /// the measurement.
    fn tag_order(&self, measurement: MeasurementId) -> Result<Vec<ColumnId>, ReadError>;

    /// Returns upper bounds for the numbers of fields and tags of a measurement, or `None` if no
    /// bounds are known.
    fn columns_max(&self, _measurement: MeasurementId) -> Option<(usize, usize)> {
        None
    }

    /// Splits `time` into ascending, disjoint ranges that contain all rows inside `time`. A merge
    /// over one range reads at most the maximum number of runs.
    ///
    /// # Errors
    /// Returns [`ReadError::TooManySources`] if such a split is impossible.
    fn stretches(&self, time: TimeRange) -> Result<Vec<TimeRange>, ReadError>;

    /// Merges the runs that overlap `time`, for all measurements, starting at the first series in
    /// `direction` that does not precede `from`. The merge may include rows outside `time`.
    ///
    /// # Errors
    /// Returns [`ReadError`], including known damage in the rows of `measurements`.
    fn merge(
        &self,
        measurements: &[MeasurementId],
        time: TimeRange,
        direction: Direction,
        from: &SeriesKey,
    ) -> Result<MergedRows<'_>, ReadError>;

    /// Estimates the number of rows and series of a measurement inside `time`, by reading only a
    /// few directories.
    fn estimate(&self, measurement: MeasurementId, time: TimeRange) -> Result<Estimate, ReadError>;

    /// Splits `time` like [`Reader::stretches`]. Also splits `time` between successive runs with
    /// many rows per series. The cached result of such a run then remains valid when other runs
    /// change.
    fn split(&self, time: TimeRange) -> Result<Vec<TimeRange>, ReadError> {
        self.stretches(time)
    }

    /// Returns the runs that may have rows of a measurement inside `time`. The list is empty if the
    /// reader does not know its runs.
    fn runs(&self, _measurement: MeasurementId, _time: TimeRange) -> Vec<Run> {
        Vec::new()
    }

    /// Returns the series of a run, starting at the first series that does not precede `from`. The
    /// result may include series of other runs, and series that a delete hides.
    fn series_of_run(
        &self,
        run: &Run,
        measurement: MeasurementId,
        direction: Direction,
        from: &SeriesKey,
    ) -> Result<MergedRows<'_>, ReadError> {
        self.merge(&[measurement], run.time, direction, from)
    }

    /// Returns a reader with the same series that have rows inside `time`, but with fewer runs. The
    /// reader reads one run of all runs that have equal series and whose rows are all visible and
    /// inside `time`. Returns `None` if the reader has no such runs.
    fn without_equal_runs(&self, _time: TimeRange) -> Option<Box<dyn Reader + '_>> {
        None
    }

    /// Calls `visit` with the groups of these measurements that may have rows inside `time`, until
    /// `visit` returns false. The measurements must be in ascending order. The groups that were
    /// written last come first. Only summaries call this function.
    ///
    /// # Errors
    /// Returns [`ReadError`], including known damage in the rows of `measurements`.
    fn groups(
        &self,
        _measurements: &[MeasurementId],
        _time: TimeRange,
        _visit: &mut VisitGroup<'_>,
    ) -> Result<(), ReadError> {
        Ok(())
    }

    /// Returns the amount of stored data of a measurement inside `time`, which is zero if the runs
    /// have no directories.
    fn stored(&self, _measurement: MeasurementId, _time: TimeRange) -> Result<Stored, ReadError> {
        Ok(Stored::default())
    }

    /// Returns the cache of results, or `None` if results must not be cached.
    fn result_cache(&self) -> Option<&dyn ResultCache> {
        None
    }

    /// Returns the costs since the reader was created.
    fn stats(&self) -> ReadStats {
        ReadStats::default()
    }
}

/// Estimates for one measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// A time range that contains every row.
    pub time: TimeRange,
    /// The approximate number of rows. A row that exists in several runs counts once for each run.
    pub rows: u64,
    /// The approximate number of series in the run that has the most series.
    pub series: u64,
}

impl Estimate {
    /// The estimate for a measurement without rows.
    pub const NOTHING: Self = Self { time: TimeRange::new(i64::MAX, i64::MIN), rows: 0, series: 0 };
}

/// The storage of a measurement's rows inside a time range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// The number of parts that contain the measurement and may have rows inside the range.
    pub files: u64,
    /// The number of the measurement's pages in the parts that `files` counts.
    pub blocks: u64,
    /// The size of the measurement's blocks in the parts that `files` counts, in bytes.
    pub block_bytes: u64,
    /// The number of rows in the memtable.
    pub cached_rows: u64,
}
