//! Visits the series of each measurement in turn, in a shared merge if possible.

use crate::merge::cursor::Direction;
use crate::merge::key::SeriesKey;
use crate::scan::error::ScanError;
use crate::scan::keys::{FilterDecision, KeyFilter, SeriesTags};
use crate::scan::reader::{Reader, Rows};
use tidemark_model::ids::MeasurementId;
use tidemark_model::time::TimeRange;

pub(super) enum Next {
    Step,
    /// Seek the first series that does not precede this key.
    SeekTo(SeriesKey),
    /// No further series of the measurement is useful.
    Complete,
}

pub(super) struct Walk<'a> {
    reader: &'a dyn Reader,
    measurements: &'a [MeasurementId],
    /// Rows outside this range do not count.
    pub(super) time: TimeRange,
    rows: Option<Rows<'a>>,
    last: Option<MeasurementId>,
    /// Whether the merge is already positioned at a series of a later measurement.
    is_ahead: bool,
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        reader: &'a dyn Reader,
        measurements: &'a [MeasurementId],
        time: TimeRange,
    ) -> Self {
        Self { reader, measurements, time, rows: None, last: None, is_ahead: false }
    }

    /// Calls `visit` with each series that `filter` accepts, starting at `from`. Ascending
    /// measurements share one merge.
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
            match filter.decide(key, tags) {
                FilterDecision::Matching => {}
                FilterDecision::Skip => continue,
                FilterDecision::SeekTo(to) => {
                    rows.seek(&to)?;
                    continue;
                }
                FilterDecision::Complete => break,
            }
            match visit(&mut rows, tags)? {
                Next::Step => {}
                Next::SeekTo(to) => rows.seek(&to)?,
                Next::Complete => break,
            }
        }
        self.rows = Some(rows);
        Ok(())
    }
}
