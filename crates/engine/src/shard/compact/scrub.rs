//! Rewrites parts to remove rows that a delete, a drop or a split hides. Each part is merged alone.
//!
//! A tombstone lists measurements, series and times, but the manifest contains only the times of a
//! part. The part is therefore searched first. If the part contains no hidden row, the manifest
//! only records that the tombstones were applied.

use std::rc::Rc;

use crate::merge::cursor::{Direction, ReadError, SeriesCursor};
use crate::merge::hide::HiddenRows;
use crate::merge::key::SeriesKey;
use crate::part::cursor::PartCursor;
use crate::shard::Shard;
use crate::shard::attempts::AlarmTask;
use crate::shard::loaded::Loaded;
use crate::shard::manifest::{Part, PartId};
use crate::shard::refusal::Refusal;
use crate::shard::tombstone::TOMBSTONES_ENOUGH;
use crate::shard::values::CachedValues;
use crate::store::Store;

const PARTS_PER_EVENT: usize = 16;
/// The maximum number of series of a part that is searched for hidden rows. A part with more series
/// is rewritten without a search, and therefore possibly without need.
const SERIES_MAX: usize = 50_000;
/// The number of evaluated conditions after which an event searches no further part. A part that
/// needs more evaluations may be rewritten without need.
const CHECKS_MAX: usize = 500_000;

pub(in crate::shard) fn due<S: Store>(loaded: &Loaded<S>, now_ns: i64) -> Option<i64> {
    let is_free = loaded.manifest().job().is_none();
    let has_work = is_free && !loaded.due_work(now_ns).scrub.is_empty();
    has_work.then(|| match loaded.deletions.tombstones.len() > TOMBSTONES_ENOUGH {
        true => now_ns,
        false => loaded.pace.deletes_ended_ns(now_ns),
    })
}

impl<S: Store> Shard<S> {
    /// Searches the parts in `DueWork::scrub` for hidden rows. The first part with hidden rows
    /// becomes a job.
    pub(in crate::shard) fn scrub(&mut self, now_ns: i64) -> Result<(), Refusal> {
        let wanted = self.load()?.due_work(now_ns).scrub.clone();
        let loaded = self.loaded.as_mut().ok_or(Refusal::Stale)?;
        let hidden = loaded.hidden_rows(None)?;
        let (mut clean, mut dirty, mut checks) = (Vec::new(), None, 0);
        for id in wanted.into_iter().take(PARTS_PER_EVENT) {
            if checks >= CHECKS_MAX {
                break;
            }
            let Some(part) = loaded.manifest().parts().get(&id) else { continue };
            let values = loaded.values(&self.reads, part, &Rc::default());
            let is_cut = part.max_ns >= loaded.state().settings.range.end_ns;
            match if is_cut { Ok(true) } else { has_hidden(values, part, &hidden, &mut checks) } {
                Ok(false) => clean.push(id),
                Ok(true) => {
                    dirty = Some(id);
                    break;
                }
                Err(ReadError::Damaged { .. }) => loaded.parts.exclude([id]),
                Err(error) => return Err(self.discard_state(error.into())),
            }
        }
        self.record_applied(&clean)?;
        if let Some(id) = dirty {
            self.start(vec![vec![id]])?;
        }
        Ok(())
    }

    /// Records that every tombstone was applied to these parts, because they contain no hidden
    /// rows.
    fn record_applied(&mut self, parts: &[PartId]) -> Result<(), Refusal> {
        if parts.is_empty() {
            return self.done(AlarmTask::Scrub);
        }
        let known = self.load()?.deletions.last_sequence();
        self.change(Some(AlarmTask::Scrub), |draft| {
            for &id in parts {
                draft.manifest.update(id, |part| part.applied = part.applied.max(known));
            }
        })
    }
}

/// Whether a part has hidden rows. Adds the number of evaluated conditions to `checks`.
fn has_hidden<S: Store>(
    values: CachedValues<'_, S>,
    part: &Part,
    hidden: &HiddenRows,
    checks: &mut usize,
) -> Result<bool, ReadError> {
    let mut cursor = PartCursor::new(values, part.id.0, Direction::Ascending, None)?;
    let (mut looked_at, checks_max) = (0, *checks + CHECKS_MAX);
    for of_measurement in
        hidden.open_to(&part.extent()).chunk_by(|a, b| a.measurement == b.measurement)
    {
        let Some(first) = of_measurement.first() else { continue };
        cursor.seek(&SeriesKey::new(first.measurement, []))?;
        while let Some(key) = cursor.key().filter(|key| key.measurement() == first.measurement) {
            looked_at += 1;
            *checks += of_measurement.len();
            if looked_at > SERIES_MAX || *checks > checks_max {
                return Ok(true);
            }
            let values: Vec<_> = key.values().collect();
            let of_series = of_measurement.iter().filter(|t| t.condition.holds(&values));
            let times: Vec<_> = of_series.map(|tombstone| tombstone.time).collect();
            for time in times {
                if cursor.has_rows(time)? {
                    return Ok(true);
                }
            }
            cursor.step()?;
        }
    }
    Ok(false)
}
