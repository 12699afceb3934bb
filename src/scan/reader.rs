//! What a question reads: the rows of a shard as merges of its sorted runs.

use super::kept::{Kept, Version};
use super::request::Deletion;
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

/// A sorted run: a part, or what is in memory.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// That no other run ever has; `None` of what is in memory.
    pub number: Option<u64>,
    /// Every row lies inside.
    pub time: TimeRange,
    /// At most so many series of the measurement.
    pub series: u64,
    /// At most so many rows of it.
    pub rows: u64,
}

/// Takes a group, and says whether it wants more of them.
pub type VisitGroup<'a> = dyn FnMut(&mut RowGroup<'_>) -> Result<bool, ReadError> + 'a;

/// The rows of one run from the first series that is not before `from`.
///
/// # Errors
/// Those of the cursor.
pub fn rows_of_one<'a>(
    mut run: impl SeriesCursor + 'a,
    direction: Direction,
    from: &SeriesKey,
) -> Result<Rows<'a>, ReadError> {
    run.seek(from)?;
    let run: Box<dyn SeriesCursor + 'a> = Box::new(run);
    Merge::new(vec![(0, run)], direction)
}

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

    /// The same, cut also where runs with many rows of each series follow each other: one after the
    /// other is read through, and what one came to is kept whatever becomes of others.
    ///
    /// # Errors
    /// As [`Reader::stretches`].
    fn chained(&self, time: TimeRange) -> Result<Vec<TimeRange>, ReadError> {
        self.stretches(time)
    }

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

    /// The runs that may have rows of a measurement inside `time`; `None` where that is not known.
    fn runs(&self, measurement: MeasurementId, time: TimeRange) -> Option<Vec<Run>> {
        let _ = (measurement, time);
        None
    }

    /// The series of a run from the first one that is not before `from`, those that a delete hides
    /// among them.
    ///
    /// # Errors
    /// [`ReadError`]
    fn run(
        &self,
        run: &Run,
        measurement: MeasurementId,
        direction: Direction,
        from: &SeriesKey,
    ) -> Result<Rows<'_>, ReadError> {
        self.merge(&[measurement], run.time, direction, from)
    }

    /// What there is of a measurement inside `time`, as far as that is known without reading much.
    ///
    /// # Errors
    /// [`ReadError`]
    fn survey(&self, measurement: MeasurementId, time: TimeRange) -> Result<Survey, ReadError>;

    /// Where the rows of a measurement inside `time` lie.
    ///
    /// # Errors
    /// [`ReadError`]
    fn stored(&self, measurement: MeasurementId, time: TimeRange) -> Result<Stored, ReadError> {
        let _ = (measurement, time);
        Ok(Stored::default())
    }

    /// The version of the rows of these measurements inside `time`; `None` where nothing is kept.
    ///
    /// # Errors
    /// What is known to be unreadable of them.
    fn version(
        &self,
        measurements: &[MeasurementId],
        time: TimeRange,
    ) -> Result<Option<Version>, ReadError> {
        let _ = (measurements, time);
        Ok(None)
    }

    /// The version of what runs at rest have, which never changes.
    fn version_of_runs(&self) -> Version {
        Version::new()
    }

    /// What is kept under a name, if it is of that version.
    fn kept(&self, name: &[u8], version: &Version) -> Option<Kept> {
        let _ = (name, version);
        None
    }

    /// What is kept under a name of before some deletes in a measurement, if these are all that has
    /// changed since: with the deletes.
    fn kept_before(
        &self,
        name: &[u8],
        version: &Version,
        measurement: MeasurementId,
    ) -> Option<(Kept, Vec<Deletion>)> {
        let _ = (name, version, measurement);
        None
    }

    /// Whether a name was looked for of late: what is asked once is asked no more, most likely.
    fn was_asked(&self, name: &[u8]) -> bool {
        let _ = name;
        true
    }

    /// Keeps it for a while, instead of what an earlier version came to. `cells`: values and keys
    /// that had to be read for it.
    fn keep(&self, name: Vec<u8>, version: Version, kept: Kept, cells: u64) {
        let _ = (name, version, kept, cells);
    }

    /// What reading has cost since the reader was made.
    fn stats(&self) -> ReadStats;
}

/// What there is of a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Survey {
    /// Every row lies inside.
    pub time: TimeRange,
    /// About how many rows there are: those of a series and time that several runs have count in
    /// each.
    pub rows: u64,
    /// About how many series the run with the most of them has.
    pub series: u64,
}

impl Survey {
    /// Nothing.
    pub const NOTHING: Self = Self { time: TimeRange::new(i64::MAX, i64::MIN), rows: 0, series: 0 };
}

/// Where rows of a measurement lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Parts at rest that have it and may hold rows inside the range.
    pub files: u64,
    /// Pages of their groups.
    pub blocks: u64,
    /// Bytes of those groups' blocks.
    pub block_bytes: u64,
    /// Rows in memory.
    pub cached_rows: u64,
}

/// What reading has cost so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ReadStats {
    /// Blocks read and decoded.
    pub blocks_read: u64,
    /// Blocks skipped by their time range or tags.
    pub blocks_pruned: u64,
    /// Encoded bytes decoded.
    pub bytes_decoded: u64,
    /// Rows looked at by the scan.
    pub rows_scanned: u64,
    /// Of these, rows of which it was still known what they come to.
    #[serde(default)]
    pub rows_kept: u64,
    /// Storage rows billed as read, those that woke a cold shard included.
    pub rows_read: u64,
    /// Series that match.
    #[serde(default)]
    pub series: u64,
    /// Parts at rest that have the measurement and may hold rows inside the range.
    #[serde(default)]
    pub files: u64,
    /// Pages of their groups.
    #[serde(default)]
    pub blocks: u64,
    /// Bytes of those pages' blocks.
    #[serde(default)]
    pub block_bytes: u64,
    /// Rows of the measurement in memory.
    #[serde(default)]
    pub cached_rows: u64,
    /// Values that were decoded, and the times of their rows; of a summary, keys of series.
    #[serde(default)]
    pub cells: u64,
}

impl ReadStats {
    /// Rows read and bytes decoded: what it kept the shard busy with.
    pub fn work(&self) -> u64 {
        self.rows_scanned.saturating_sub(self.rows_kept) + self.bytes_decoded
    }

    /// Adds what a further page cost; what the scan as a whole may touch is no sum.
    pub fn add_page(&mut self, page: &Self) {
        let Self {
            blocks_read,
            blocks_pruned,
            bytes_decoded,
            rows_scanned,
            rows_kept,
            rows_read,
            ..
        } = *self;
        *self = Self {
            blocks_read: blocks_read + page.blocks_read,
            blocks_pruned: blocks_pruned + page.blocks_pruned,
            bytes_decoded: bytes_decoded + page.bytes_decoded,
            rows_scanned: rows_scanned + page.rows_scanned,
            rows_kept: rows_kept + page.rows_kept,
            rows_read: rows_read + page.rows_read,
            cells: self.cells + page.cells,
            ..*page
        };
    }
}
