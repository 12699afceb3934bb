//! Reads the rows of a merge, and divides them into groups.

use super::Limits;
use super::encoded::{Encoded, LastRow};
use super::pending_rows::{PageBoundary, PendingRows};
use crate::merge::cursor::{ReadError, SeriesCursor};
use crate::merge::key::SeriesKey;
use crate::merge::kway::Merge;
use crate::merge::picks::Picks;
use tidemark_model::ids::{ColumnId, MeasurementId};
use tidemark_model::time::TimeRange;

/// A callback that returns the tags of a measurement in the order of its keys.
pub type TagOrder<'a> = dyn FnMut(MeasurementId) -> Result<Vec<ColumnId>, ReadError> + 'a;

/// A reader that returns the rows of a merge group by group.
pub struct Groups<C> {
    merge: Merge<C>,
    limits: Limits,
    time: TimeRange,
    /// The times of the current series that are still to be read: `time`, without the rows that an
    /// interrupted merge has already written.
    series_time: TimeRange,
    has_series: bool,
    is_begun: bool,
    /// The rows of the current series that did not fit into the previous group.
    pending: Option<Picks>,
    continues: bool,
    /// The rows of the next group that were collected before a pause.
    open: Option<PendingRows>,
    skipped_max: usize,
    is_paused: bool,
}

impl<C: SeriesCursor> Groups<C> {
    /// Reads the rows inside `time` that follow the row `resume_after`. The merge must not have
    /// started.
    pub fn new(
        mut merge: Merge<C>,
        limits: Limits,
        time: TimeRange,
        resume_after: Option<&LastRow>,
    ) -> Result<Self, ReadError> {
        let (mut series_time, mut has_series, mut continues) = (time, false, false);
        if let Some(last) = resume_after {
            merge.seek(&last.key)?;
            let key = merge.next_series()?;
            has_series = key.is_some();
            if key == Some(&last.key) {
                series_time.start_ns = time.start_ns.max(last.time_ns.saturating_add(1));
                continues = true;
            }
        }
        let (is_begun, pending, open) = (continues, None, None);
        Ok(Self {
            merge,
            limits,
            time,
            series_time,
            has_series,
            is_begun,
            pending,
            continues,
            open,
            skipped_max: usize::MAX,
            is_paused: false,
        })
    }

    /// Pauses after this number of series without rows. The pauses do not change the groups.
    #[must_use]
    pub fn pausing_after(mut self, skipped_max: usize) -> Self {
        self.skipped_max = skipped_max;
        self
    }

    /// Whether [`Groups::next`] returned `None` because of a pause. The caller then calls it again.
    pub fn is_paused(&self) -> bool {
        self.is_paused
    }

    /// Returns the next group, if any. `tag_order` returns the order of tags in a measurement's
    /// keys.
    pub fn next(&mut self, tag_order: &mut TagOrder<'_>) -> Result<Option<Encoded>, ReadError> {
        let (mut rows, mut skipped) = (self.open.take(), 0);
        self.is_paused = false;
        while self.find_series()? {
            let Some(measurement) = self.merge.key().map(SeriesKey::measurement) else { break };
            if rows.as_ref().is_some_and(|rows| rows.measurement != measurement) {
                break;
            }
            if self.add_short_series(measurement, &mut rows)? {
                if rows.as_ref().is_some_and(PendingRows::is_full) {
                    break;
                }
                continue;
            }
            let is_new = !std::mem::replace(&mut self.is_begun, true);
            let picks = match self.pending.take() {
                Some(picks) => Some(picks),
                None => self.merge.next_rows(self.series_time)?,
            };
            let Some(picks) = picks else {
                self.end_series(rows.as_mut())?;
                if rows.as_ref().is_some_and(PendingRows::is_full) {
                    break;
                }
                skipped += usize::from(is_new);
                if skipped >= self.skipped_max {
                    (self.open, self.is_paused) = (rows, true);
                    return Ok(None);
                }
                continue;
            };
            let group = rows
                .get_or_insert_with(|| PendingRows::new(self.limits, measurement, self.continues));
            match self.merge.stored_page(&picks).filter(|_| group.has_page(&picks)) {
                Some(page) => group.add_stored(&mut self.merge, picks, page)?,
                None => {
                    group.add_rows(&self.merge, picks);
                    group.read_if_due(&mut self.merge)?;
                }
            }
            if group.is_full() {
                self.pending = self.merge.next_rows(self.series_time)?;
                self.continues = self.pending.is_some();
                group.is_continued = self.continues;
                if !self.continues {
                    self.end_series(Some(group))?;
                }
                break;
            }
        }
        let Some(mut rows) = rows else { return Ok(None) };
        rows.read_texts(&mut self.merge)?;
        rows.cut(PageBoundary::EndOfPage);
        let tag_order = tag_order(rows.measurement)?;
        Encoded::of(rows, &mut self.merge, &tag_order).map(Some)
    }

    /// Moves the merge to the next series, unless it already has a current series. Returns `false`
    /// after the last series.
    fn find_series(&mut self) -> Result<bool, ReadError> {
        if !self.has_series {
            self.has_series = self.merge.next_series()?.is_some();
            self.is_begun = false;
            self.series_time = self.time;
            self.continues = false;
        }
        Ok(self.has_series)
    }

    /// Adds consecutive short series to the group in one call. Returns `false` if the next series
    /// is not short.
    fn add_short_series(
        &mut self,
        measurement: MeasurementId,
        rows: &mut Option<PendingRows>,
    ) -> Result<bool, ReadError> {
        if self.is_begun {
            return Ok(false);
        }
        let new = || PendingRows::new(self.limits, measurement, false);
        let room = rows.as_ref().map_or_else(|| new().room(self.time), |rows| rows.room(self.time));
        let Some((series, picks)) = self.merge.short_series(&room)? else { return Ok(false) };
        let group = rows.get_or_insert_with(new);
        group.add(series, picks);
        group.read_if_due(&mut self.merge)?;
        group.end_series(&mut self.merge)?;
        self.has_series = self.merge.key().is_some();
        Ok(true)
    }

    fn end_series(&mut self, rows: Option<&mut PendingRows>) -> Result<(), ReadError> {
        self.has_series = false;
        match rows {
            Some(rows) => rows.end_series(&mut self.merge),
            None => Ok(()),
        }
    }
}
