//! What a question reads: the rows of a shard as merges of its sorted runs.

use super::source::ReadStats;
use crate::merge::cursor::{Direction, ReadError, SeriesCursor};
use crate::merge::key::SeriesKey;
use crate::merge::kway::Merge;
use crate::model::ids::{ColumnId, MeasurementId};
use crate::model::time::TimeRange;

/// Rows of a shard: series by key, rows of a series by time, the last write winning, and nothing
/// among them that a delete or a drop hides.
pub type Rows<'a> = Merge<Box<dyn SeriesCursor + 'a>>;

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

    /// What reading has cost since the reader was made.
    fn stats(&self) -> ReadStats;
}
