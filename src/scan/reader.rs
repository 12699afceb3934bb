//! What a question reads: the rows of a shard as merges of its sorted runs.

use super::source::ReadStats;
use crate::batch::series_table::SeriesTable;
use crate::merge::cursor::{Columns, Direction, ReadError, SeriesCursor};
use crate::merge::key::SeriesKey;
use crate::merge::kway::Merge;
use crate::model::ids::{ColumnId, MeasurementId};
use crate::model::time::TimeRange;

/// Rows of a shard: series by key, rows of a series by time, the last write winning, and nothing
/// among them that a delete or a drop hides.
pub type Rows<'a> = Merge<Box<dyn SeriesCursor + 'a>>;

/// Rows of one measurement that lie together, and what is said of them without reading any: a group
/// of a part, or those in memory.
pub struct RowGroup<'a> {
    /// Whose.
    pub measurement: MeasurementId,
    /// Its tags in the order of the keys, as far as they were known.
    pub tag_ids: &'a [ColumnId],
    /// The fields that the rows have.
    pub columns: &'a Columns,
    /// How many series the rows are of.
    pub series: u64,
    /// One of them lies inside the time asked about, and nothing hides it. They may have more.
    pub has_rows: bool,
    /// All of them do, and nothing hides any.
    pub is_whole: bool,
    /// The series.
    pub tables: &'a mut dyn SeriesTables,
}

/// Whoever has series in tables.
pub trait SeriesTables {
    /// Hands the series over, table by table, each with the ids of its tags, as long as `visit`
    /// wants more.
    ///
    /// # Errors
    /// [`ReadError`]
    fn each(
        &mut self,
        visit: &mut dyn FnMut(&[ColumnId], &SeriesTable) -> bool,
    ) -> Result<(), ReadError>;
}

/// Takes a group, and says whether it wants more of them.
pub type VisitGroup<'a> = dyn FnMut(&mut RowGroup<'_>) -> Result<bool, ReadError> + 'a;

/// A shard's data for one question.
pub trait Reader {
    /// The tags of a measurement in the order of its keys; none if it has no rows here.
    ///
    /// # Errors
    /// [`ReadError`]
    fn tag_order(&self, measurement: MeasurementId) -> Result<Vec<ColumnId>, ReadError>;

    /// Times inside `time`, ascending and apart: every row there lies in one of them, and no merge
    /// over one reads more runs than it can.
    ///
    /// # Errors
    /// [`ReadError::TooManySources`] where that cannot be.
    fn stretches(&self, time: TimeRange) -> Result<Vec<TimeRange>, ReadError>;

    /// The rows of the runs that overlap `time`, be they of whatever measurement: from the first
    /// series in `direction` that is not before `from`. Rows outside `time` may be among them.
    ///
    /// # Errors
    /// [`ReadError`]; among the damage is what is known to be unreadable of `measurements`.
    fn merge(
        &self,
        measurements: &[MeasurementId],
        time: TimeRange,
        direction: Direction,
        from: &SeriesKey,
    ) -> Result<Rows<'_>, ReadError>;

    /// Calls `visit` with the groups of these measurements, which ascend, that may have rows inside
    /// `time`: those written last first, as long as it wants more. `false` if groups are not known.
    ///
    /// # Errors
    /// [`ReadError`]; among the damage is what is known to be unreadable of `measurements`.
    fn groups(
        &self,
        measurements: &[MeasurementId],
        time: TimeRange,
        visit: &mut VisitGroup<'_>,
    ) -> Result<bool, ReadError> {
        let _ = (measurements, time, visit);
        Ok(false)
    }

    /// What reading has cost since the reader was made.
    fn stats(&self) -> ReadStats;
}
