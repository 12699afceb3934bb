//! Writes the memtable into parts, one per time slot, and then moves the head of the log.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::Shard;
use super::attempts::AlarmTask;
use super::flush_size::ENOUGH;
use super::load::{ASIDE_KEYS, Damage, Loaded, wal_damage};
use super::manifest::{Manifest, Part};
use super::parts::{NewValue, listed, place};
use super::request::Refusal;
use super::slots::Slots;
use super::state::State;
use super::values::refusal;
use crate::batch::FrameTable;
use crate::batch::frame;
use crate::memtable::Memtable;
use crate::memtable::cursor::{Sorted, tag_order};
use crate::merge::cursor::Direction;
use crate::merge::hide::{HiddenRows, VisibleCursor};
use crate::merge::kway::Merge;
use crate::merge::sequences::{Extent, Sequences};
use crate::part::writer::{Groups, Limits, PartWriter};
use crate::store::row;
use crate::store::{Store, StoreResult, Table};
use crate::wal::Wal;
use tidemark_model::bug::OrBug;
use tidemark_model::ids::{ColumnId, MeasurementId};
use tidemark_model::time::TimeRange;

impl<S: Store> Shard<S> {
    /// Writes every frame of the log into parts, and moves the head of the log, in one transaction.
    /// Unreadable frames are copied to table `tombstone`.
    pub(super) fn flush(&mut self, now_ns: i64) -> Result<(), Refusal> {
        let loaded = self.load()?;
        if loaded.wal.frames().is_empty() && loaded.wal.damaged().is_empty() {
            return Ok(());
        }
        let memtable = self.memtable()?;
        let result = self.flush_memtable(&memtable, now_ns);
        if let Err(refusal) = result {
            return Err(self.lost(refusal));
        }
        let memtable = self.new_memtable();
        self.cache.put_memtable(memtable);
        Ok(())
    }

    fn flush_memtable(&mut self, memtable: &Memtable, now_ns: i64) -> Result<(), Refusal> {
        let limits = self.limits.part;
        let loaded = self.loaded.as_mut().ok_or(Refusal::Stale)?;
        let store = &*self.store;
        let head = loaded.wal.next_sequence() - 1;
        let mut manifest = loaded.manifest.clone();
        let slots = loaded.slots(memtable);
        manifest.width_ns = slots.width_ns;
        let touched = slots.of_times(times(memtable));
        let (values, parts) =
            loaded.write_parts(store, &mut manifest, memtable, &touched, limits)?;
        manifest.add(parts, &values.iter().map(NewValue::place).collect::<Vec<_>>());
        let aside: Vec<Damage> = loaded.wal.damaged().iter().map(wal_damage).collect();
        let schema_version = loaded.schema_version;
        // The times of writes before the object's last start are unknown.
        let last_ns = loaded.pace.last_ns().unwrap_or(now_ns);
        let change = |state: &mut State| {
            state.head = head;
            state.schema_version = schema_version;
            state.counters.flushes += 1;
            state.slot_writes.flushed(slots.width_ns, &touched, last_ns);
        };
        self.commit(manifest, Some(AlarmTask::Flush), change, |store, loaded| {
            values.iter().try_for_each(|value| value.put(store))?;
            loaded.columns.write_new(store)?;
            set_aside(store, &loaded.wal, &aside, loaded.next_aside)
        })?;
        let loaded = self.loaded.as_mut().ok_or(Refusal::Stale)?;
        loaded.columns.written();
        loaded.next_aside += aside.len() as u64 * ASIDE_KEYS;
        loaded.damaged.extend(aside);
        loaded.wal.release(head);
        loaded.log_series = 0;
        loaded.log_rows = 0;
        loaded.series.forget_log();
        loaded.forget_plan();
        Ok(())
    }

    pub(super) fn memtable(&mut self) -> Result<Memtable, Refusal> {
        if let Some(memtable) = self.cache.take_memtable() {
            return Ok(memtable);
        }
        let mut memtable = self.new_memtable();
        let evictable = self.evictable();
        let loaded = self.loaded.as_mut().ok_or(Refusal::Stale)?;
        self.budget.make_room(&evictable, loaded.wal.decoded_bytes() as usize);
        let sequences: Vec<u64> = loaded.wal.frames().keys().copied().collect();
        for sequence in sequences {
            let Some(bytes) = loaded.wal.read(&self.store, sequence)? else { continue };
            let mut failure = None;
            let mut add = |table: FrameTable| match loaded.hidden_of_frame(sequence, &table) {
                Ok(hidden) => memtable.append(&super::tombstone::without(table, &hidden)),
                Err(error) => failure = Some(error),
            };
            let frames = loaded.wal.frames();
            let decoded_bytes = frames.get(&sequence).map_or(0, |frame| frame.decoded_bytes);
            // If any table of a frame is damaged, no row of the frame is added. For a large frame,
            // a first pass therefore decodes all tables without keeping them.
            let added = match decoded_bytes > ENOUGH.decoded_bytes {
                true => frame::decode_each(&bytes, drop)
                    .and_then(|()| frame::decode_each(&bytes, &mut add)),
                false => frame::decode(&bytes).map(|tables| tables.into_iter().for_each(&mut add)),
            };
            if let Some(failure) = failure {
                return Err(failure);
            }
            if let Err(error) = added {
                loaded.wal.mark_damaged(sequence, &error.to_string());
            }
        }
        Ok(memtable)
    }

    pub(super) fn new_memtable(&self) -> Memtable {
        Memtable::new(self.budget.hash_seed())
    }
}

impl Loaded {
    fn slots(&self, memtable: &Memtable) -> Slots {
        let window_ns = self.state.settings.window_ns;
        let tables: Vec<_> = memtable.tables().map(|(_, table)| table.times_ns()).collect();
        let times_ns = tables.iter().flat_map(|times_ns| times_ns.iter());
        Slots::few(window_ns, self.manifest.parts().values(), times_ns)
    }

    fn write_parts<S: Store>(
        &mut self,
        store: &S,
        manifest: &mut Manifest,
        memtable: &Memtable,
        slots: &BTreeSet<i64>,
        limits: Limits,
    ) -> Result<(Vec<NewValue>, Vec<Part>), Refusal> {
        let orders = self.order_tags(store, memtable)?;
        let order_of = |measurement| orders.get(&measurement).cloned().or_bug();
        let sorted = Sorted::new(memtable, |measurement, _| order_of(measurement));
        // The replay of the log has removed the rows that tombstones hide.
        let hidden = Rc::new(HiddenRows::new(Vec::new(), self.retired.clone()));
        let (lo, hi) = (self.state.head + 1, self.wal.next_sequence() - 1);
        let sequences = Sequences { lo, hi, applied: hi };
        let mut writer = PartWriter::new(limits, self.series_seed());
        let mut written = Vec::new();
        for &slot in slots {
            let time = Slots::of(manifest.width_ns).time(slot);
            let time = time.intersect(&self.state.settings.range);
            writer.begin(manifest.new_part_id(self.salt).0, sequences);
            let inside = (slots.len() > 1).then(|| sorted.within(time));
            let rows = inside.as_ref().unwrap_or(&sorted);
            let cursor = rows.cursor(Direction::Ascending);
            let of = Extent { sequences, time: TimeRange::ALL };
            let hide = VisibleCursor::new(cursor, Rc::clone(&hidden), &of, Direction::Ascending);
            let merge = Merge::new(vec![(hi, hide.map_err(refusal)?)], Direction::Ascending);
            let groups = Groups::new(merge.map_err(refusal)?, limits, time, None);
            let mut groups = groups.map_err(refusal)?;
            while let Some(rows) = groups.next(&mut |of| Ok(order_of(of))).map_err(refusal)? {
                writer.add(&rows);
            }
            written.extend(writer.end());
        }
        let values = place(manifest, self.salt, writer.finish());
        let places: Vec<_> = values.iter().map(NewValue::place).collect();
        let parts = written.iter().map(|written| listed(written, sequences, &places)).collect();
        Ok((values, parts))
    }

    /// New tags of the memtable are added at the end of the stored order.
    fn order_tags<S: Store>(
        &mut self,
        store: &S,
        memtable: &Memtable,
    ) -> Result<BTreeMap<MeasurementId, Vec<ColumnId>>, Refusal> {
        let mut orders = BTreeMap::new();
        for (measurement, table) in memtable.tables() {
            let order = tag_order(self.columns.tag_order(store, measurement)?, table);
            self.columns.order_tags(store, measurement, &order)?;
            orders.insert(measurement, order);
        }
        Ok(orders)
    }
}

fn times(memtable: &Memtable) -> impl Iterator<Item = &i64> {
    memtable.tables().flat_map(|(_, table)| table.times_ns().iter())
}

/// The caller must call this function in a transaction.
fn set_aside<S: Store>(store: &S, wal: &Wal, aside: &[Damage], first_key: u64) -> StoreResult<()> {
    let mut key = first_key;
    for (damage, raw) in aside.iter().zip(wal.damaged()) {
        store.put(Table::Tombstone, key, &row::encode(damage)?, b"")?;
        for (part, &slot) in (1..ASIDE_KEYS).zip(&raw.slots) {
            let head = store.head(Table::Wal, slot)?.unwrap_or_default();
            let body = store.body(Table::Wal, slot)?.unwrap_or_default();
            store.put(Table::Tombstone, key + part, &head, &body)?;
        }
        key += ASIDE_KEYS;
    }
    Ok(())
}
