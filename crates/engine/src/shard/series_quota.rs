//! Estimates the number of series in a shard, and rejects new series if the database has reached
//! its quota. `docs/design/quotas.md` describes the accuracy of the estimate.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::Shard;
use super::loaded::Loaded;
use super::log::{count_series, series_hashes};
use super::manifest::Part;
use super::refusal::Refusal;
use super::tombstone::{self, HiddenSeries};
use super::usage::with_slack;
use super::values::CachedValues;
use crate::batch::FrameTable;
use crate::batch::frame::{self, FrameHeader, TableRef};
use crate::batch::selection::Selection;
use crate::memtable::Memtable;
use crate::merge::cursor::{Direction, ReadError, SeriesCursor};
use crate::merge::key::SeriesKey;
use crate::part::cursor::PartCursor;
use crate::protocol::quota::SeriesExceeded;
use crate::protocol::shard::Stamp;
use crate::store::Store;
use tidemark_model::series::value_hash;
use tidemark_model::series_sketch::SeriesSketch;
use tidemark_model::time::TimeRange;

/// The maximum number of encoded bytes that a write reads to find unknown series in parts. Above
/// this limit, the remaining unknown series count as new.
const LOOK_BYTES_MAX: u64 = 4_000_000;
/// The number of bytes that each lookup of a series in a part counts as.
const LOOK_BYTES: u64 = 200;

/// The result of removing new series above the series quota from a frame.
pub(super) struct Trimmed {
    /// The frame without the rejected rows, or `None` if no rows remain.
    pub frame: Option<Vec<u8>>,
    pub over: SeriesExceeded,
    /// The hashes of the rejected series, without duplicates.
    pub rejected: Vec<u64>,
}

/// A series of a frame that the memtable does not contain.
struct Unknown {
    key: SeriesKey,
    hash: u64,
}

impl<S: Store> Loaded<S> {
    /// Returns the seed of the series' hashes. Clients must not know this seed.
    pub(super) fn series_seed(&self) -> u64 {
        let settings = &self.state().settings;
        value_hash(settings.group << 16 ^ u64::from(settings.shard), &settings.database.0)
    }

    fn series_at_most(&self) -> u64 {
        let parts = self.manifest().parts().values().map(|part| part.series);
        parts.fold(self.log.rows, u64::saturating_add)
    }

    pub(super) fn series(&self, more: &SeriesSketch) -> u64 {
        let mut all = self.parts.sketch().clone();
        self.log.sketch.iter().chain([more]).for_each(|sketch| all.merge(sketch));
        // The sketch of a part may be unknown, but the number of the part's series is always known.
        let least = self.manifest().parts().values().map(|part| part.series).max().unwrap_or(0);
        let most = self.series_at_most().saturating_add(more.estimate());
        all.estimate().clamp(least, most.max(least))
    }

    fn count_log(&mut self) -> Result<(), Refusal> {
        if self.log.sketch.is_some() {
            return Ok(());
        }
        let (mut sketch, seed) = (SeriesSketch::default(), self.series_seed());
        if self.log.memtable.has_memtable() {
            let memtable = self.take_memtable()?;
            for (measurement, table) in memtable.tables() {
                let hashes = table.series().hashes(seed, measurement, table.tag_ids());
                hashes.into_iter().for_each(|hash| sketch.add(hash));
            }
            self.log.memtable.put(memtable);
        } else {
            // Counts one frame at a time, so that an evicted object needs no memtable for the
            // count.
            self.log.each_frame(&*self.store, |_, _, bytes| {
                // An error is ignored here. Queries that read the rows of the damaged frame return
                // the error.
                let _ = frame::decode_each(bytes, |table| count_series(&table, seed, &mut sketch));
                Ok(())
            })?;
        }
        self.log.sketch = Some(sketch);
        Ok(())
    }

    /// Returns the frame's series that are not in the memtable, as two lists. The first list
    /// contains the series that a part may contain. The second list contains the hashes of series
    /// that no part can contain, because one of their tags is not in the stored tag order.
    fn unknown_to(
        &mut self,
        memtable: &Memtable,
        tables: &[FrameTable],
    ) -> Result<(Vec<Unknown>, BTreeSet<u64>), Refusal> {
        let seed = self.series_seed();
        let (mut unknown, mut new) = (Vec::new(), BTreeSet::new());
        for table in tables {
            let hashes = series_hashes(table, seed);
            let known = memtable.table(table.measurement).map(|known| known.known_series(table));
            let order = self.columns.tag_order(&*self.store, table.measurement)?;
            let tags: BTreeMap<_, _> =
                table.tag_ids.iter().copied().zip(&table.block.series.tags).collect();
            let others = tags.iter().filter(|(id, _)| !order.contains(id));
            let others: Vec<_> = others.map(|(_, tag)| *tag).collect();
            for (at, hash) in hashes.into_iter().enumerate() {
                if known.as_ref().is_some_and(|known| known.get(at) == Some(&true)) {
                    continue;
                }
                if others.iter().any(|tag| !tag.get(at).is_empty()) {
                    new.insert(hash);
                    continue;
                }
                let values = order.iter().map(|id| tags.get(id).map_or("", |tag| tag.get(at)));
                unknown.push(Unknown { key: SeriesKey::new(table.measurement, values), hash });
            }
        }
        Ok((unknown, new))
    }
}

impl<S: Store> Shard<S> {
    pub(super) fn series_known(&mut self) -> Result<u64, Refusal> {
        let loaded = self.load()?;
        loaded.count_log()?;
        Ok(loaded.series(&SeriesSketch::default()))
    }

    /// Removes new series above the database's quota. Returns `None` if the whole frame can be
    /// stored.
    pub(super) fn trim_to_series_quota(
        &mut self,
        frame: &[u8],
        stamp: &Stamp,
    ) -> Result<Option<Trimmed>, Refusal> {
        let Some(meter) = &stamp.meter else { return Ok(None) };
        let Some(allowed) = meter.series else { return Ok(None) };
        let shards = u64::from(meter.shards.max(1));
        let share = with_slack(allowed, meter.shards).div_ceil(shards);
        let header = FrameHeader::read(frame)?;
        let loaded = self.load()?;
        if loaded.series_at_most().saturating_add(header.rows()) <= share {
            return Ok(None);
        }
        loaded.count_log()?;
        let (mut of_frame, seed) = (SeriesSketch::default(), loaded.series_seed());
        frame::decode_each(frame, |table| count_series(&table, seed, &mut of_frame))?;
        if loaded.series(&of_frame) <= share {
            return Ok(None);
        }
        let stored = loaded.series(&SeriesSketch::default());
        let current = stored.saturating_mul(shards);
        let over = SeriesExceeded { current, allowed, seed };
        self.trim(frame, over, share.saturating_sub(stored))
    }

    /// Removes the rows of new series from the frame, except the first `room` new series.
    fn trim(
        &mut self,
        frame: &[u8],
        over: SeriesExceeded,
        room: u64,
    ) -> Result<Option<Trimmed>, Refusal> {
        let tables = frame::decode(frame)?;
        let new = self.new_series(&tables)?;
        let (mut taken, mut rejected) = (BTreeSet::new(), BTreeSet::new());
        let mut kept = Vec::with_capacity(tables.len());
        for table in tables {
            let mut is_rejected = |hash: u64| {
                if new.contains(&hash) && !taken.contains(&hash) {
                    match (taken.len() as u64) < room {
                        true => taken.insert(hash),
                        false => rejected.insert(hash),
                    };
                }
                rejected.contains(&hash)
            };
            let hashes = series_hashes(&table, over.seed);
            let series = hashes.into_iter().map(&mut is_rejected).collect();
            let hidden = HiddenSeries { series, time: TimeRange::ALL };
            kept.push(tombstone::without(table, &[hidden]));
        }
        if rejected.is_empty() {
            return Ok(None);
        }
        let all = Selection::All;
        let tables = kept.iter().filter(|table| table.block.rows() > 0).map(|table| TableRef {
            measurement: table.measurement,
            tag_ids: &table.tag_ids,
            field_ids: &table.field_ids,
            block: &table.block,
            rows: &all,
        });
        let tables: Vec<TableRef<'_>> = tables.collect();
        let frame = (!tables.is_empty()).then(|| {
            let mut out = Vec::new();
            frame::encode(&tables, &mut out);
            out
        });
        Ok(Some(Trimmed { frame, over, rejected: rejected.into_iter().collect() }))
    }

    /// Returns the hashes of the frame's series that are neither in the memtable nor in a part.
    fn new_series(&mut self, tables: &[FrameTable]) -> Result<BTreeSet<u64>, Refusal> {
        let loaded = self.load()?;
        let memtable = loaded.take_memtable()?;
        let found = loaded.unknown_to(&memtable, tables);
        loaded.log.memtable.put(memtable);
        let (mut unknown, mut new) = found?;
        unknown.sort_by(|a, b| a.key.cmp(&b.key));
        unknown.dedup_by(|a, b| a.key == b.key);
        let loaded = self.loaded.as_ref().ok_or(Refusal::Stale)?;
        // Active series have recent rows, so the newest parts are searched first.
        let mut parts: Vec<&Part> = loaded.manifest().parts().values().collect();
        parts.sort_by_key(|part| std::cmp::Reverse(part.hi));
        let (stats, mut looks) = (Rc::default(), 0);
        for part in parts {
            if unknown.is_empty() {
                break;
            }
            let values = loaded.values(&self.reads, part, &stats);
            match remove_known(part, values, &mut unknown, &mut looks) {
                // The series of a damaged part count as new.
                Ok(()) | Err(ReadError::Damaged { .. }) => {}
                Err(error) => return Err(self.discard_state(error.into())),
            }
        }
        new.extend(unknown.into_iter().map(|unknown| unknown.hash));
        Ok(new)
    }
}

/// Removes the series that `part` contains from `unknown`, which must be sorted. Stops when
/// `LOOK_BYTES_MAX` is reached.
fn remove_known<S: Store>(
    part: &Part,
    values: CachedValues<'_, S>,
    unknown: &mut Vec<Unknown>,
    looks: &mut u64,
) -> Result<(), ReadError> {
    let is_counted = !part.sketch.registers().is_empty();
    let may_have = |hash: u64| !is_counted || part.sketch.may_have(hash);
    let Some(first) = unknown.iter().find(|unknown| may_have(unknown.hash)) else { return Ok(()) };
    let stats = Rc::clone(&values.stats);
    let mut cursor = PartCursor::new(values, part.id.0, Direction::Ascending, Some(&first.key))?;
    let mut left = Vec::with_capacity(unknown.len());
    let mut failure = None;
    for wanted in std::mem::take(unknown) {
        let work = stats.get().bytes_decoded.saturating_add(*looks * LOOK_BYTES);
        if failure.is_none() && work < LOOK_BYTES_MAX && may_have(wanted.hash) {
            *looks += 1;
            failure = cursor.seek(&wanted.key).err();
            if failure.is_none() && cursor.key() == Some(&wanted.key) {
                continue;
            }
        }
        left.push(wanted);
    }
    *unknown = left;
    failure.map_or(Ok(()), Err)
}
