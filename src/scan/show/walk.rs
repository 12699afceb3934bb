//! Series after series of one measurement after the other, in one merge as far as that goes on.

use crate::merge::cursor::Direction;
use crate::merge::key::SeriesKey;
use crate::model::ids::MeasurementId;
use crate::model::time::TimeRange;
use crate::scan::error::ScanError;
use crate::scan::keys::{KeyFilter, Reached, SeriesTags};
use crate::scan::reader::{Reader, Rows};

/// Where the walk goes from a series.
pub(super) enum Next {
    /// To the next one.
    Step,
    /// To the first that is not before this place.
    SeekTo(SeriesKey),
    /// Nowhere: no further series of the measurement is of use.
    Through,
}

/// A walk through the series that may have rows in one stretch of time.
pub(super) struct Walk<'a> {
    reader: &'a dyn Reader,
    /// Whose series are walked through, in any order.
    measurements: &'a [MeasurementId],
    /// Rows inside count.
    pub(super) time: TimeRange,
    rows: Option<Rows<'a>>,
    /// The measurement whose series were walked through last.
    last: Option<MeasurementId>,
    /// The merge stands at a series that is of none so far.
    is_ahead: bool,
}

impl<'a> Walk<'a> {
    /// Nothing is read yet.
    pub(super) fn new(
        reader: &'a dyn Reader,
        measurements: &'a [MeasurementId],
        time: TimeRange,
    ) -> Self {
        Self { reader, measurements, time, rows: None, last: None, is_ahead: false }
    }

    /// Calls `visit` at each series that `filter` wants and that is not before `from`. Measurements
    /// that ascend share a merge: it seeks from one to the next.
    ///
    /// # Errors
    /// Those of the reader and of `visit`.
    pub(super) fn series(
        &mut self,
        (measurement, from): (MeasurementId, &SeriesKey),
        (filter, tags): (&KeyFilter<'_>, &mut SeriesTags),
        visit: &mut dyn FnMut(&mut Rows<'a>, &SeriesTags) -> Result<Next, ScanError>,
    ) -> Result<(), ScanError> {
        let mut rows = match self.rows.take().filter(|_| self.last < Some(measurement)) {
            Some(mut rows) => {
                let is_behind = rows.key().is_none_or(|key| key < from);
                if !self.is_ahead || is_behind {
                    rows.seek(from)?;
                    self.is_ahead = false;
                }
                rows
            }
            None => {
                self.is_ahead = false;
                self.reader.merge(self.measurements, self.time, Direction::Ascending, from)?
            }
        };
        self.last = Some(measurement);
        loop {
            let is_ahead = std::mem::take(&mut self.is_ahead);
            let key = if is_ahead { rows.key() } else { rows.next_series()? };
            let Some(key) = key else { break };
            if key.measurement() != measurement {
                self.is_ahead = true;
                break;
            }
            tags.set(key);
            match filter.reached(key, tags) {
                Reached::Wanted => {}
                Reached::Unwanted => continue,
                Reached::SeekTo(to) => {
                    rows.seek(&to)?;
                    continue;
                }
                Reached::Through => break,
            }
            match visit(&mut rows, tags)? {
                Next::Step => {}
                Next::SeekTo(to) => rows.seek(&to)?,
                Next::Through => break,
            }
        }
        self.rows = Some(rows);
        Ok(())
    }
}
