//! The state in memory of the running job, such as its position and the next groups of rows.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use crate::merge::cursor::{Direction, ReadError};
use crate::merge::hide::{HiddenRows, VisibleCursor};
use crate::merge::kway;
use crate::merge::sequences::Sequences;
use crate::part::cursor::PartCursor;
use crate::part::writer::{Groups, LastRow, PartWriter, Resumed, Value, Written};
use crate::shard::columns;
use crate::shard::manifest::{Job, Key, Number, Part};
use crate::shard::parts::Parts;
use crate::shard::refusal::Refusal;
use crate::shard::slots::Slots;
use crate::shard::step_limits::{
    BYTES_PER_CELL, COLUMN_CELLS, GROUP_CELLS, Limits, SERIES_CELLS, SKIPPED_SERIES_CELLS,
};
use crate::shard::values::{PartRows, StreamedValues, ValueRow, read_error};
use crate::store::{Store, StoreError, Table};
use tidemark_model::ids::{ColumnId, MeasurementId};
use tidemark_model::time::TimeRange;

/// The maximum number of body bytes for all cursors of a merge. SQLite always reads a whole body,
/// even if the cursor needs only a part.
const CURSORS_BYTES_MAX: u32 = 4_500_000;
const CURSOR_BYTES_MIN: u32 = 64 << 10;

/// Returns a cursor's share of `CURSORS_BYTES_MAX`. The share is proportional to the part's bytes,
/// because each output reads about this share of its rows from the part.
fn share(bytes: u64, all_bytes: u64) -> u32 {
    let share = u64::from(CURSORS_BYTES_MAX) * bytes / all_bytes.max(1);
    (share as u32).max(CURSOR_BYTES_MIN)
}

/// The groups of a merge's output.
type OutputGroups<S> = Groups<VisibleCursor<PartCursor<StreamedValues<S>>>>;

/// The running job.
pub(in crate::shard) struct Running<S> {
    store: Rc<S>,
    job: Job,
    /// A job that fits into one event is not stored in the manifest.
    has_steps: bool,
    inputs: Vec<Vec<(Part, PartRows)>>,
    hidden: Rc<HiddenRows>,
    tag_orders: BTreeMap<MeasurementId, Vec<ColumnId>>,
    range: TimeRange,
    /// The current output: the index of its merge in the job, and the index of its slot in the
    /// merge.
    at: (usize, u32),
    /// `None` before the start of the current output.
    rows: Option<OutputGroups<S>>,
    /// The last row of the current output that an interrupted job has already written.
    resume_after: Option<LastRow>,
    writer: PartWriter,
    pub(super) ended: Vec<(Written, Sequences)>,
    pub(super) places: Vec<(Number, Key)>,
    keys: VecDeque<Key>,
}

impl<S: Store> Running<S> {
    /// Loads the running job of the manifest. After a restart of the object, the job continues
    /// after the last value that was written. `range` is the range of the shard, and `seed` is the
    /// seed of the series' hashes.
    pub(super) fn load(
        store: &Rc<S>,
        parts: &Parts,
        hidden: Rc<HiddenRows>,
        range: TimeRange,
        limits: &Limits,
        seed: u64,
    ) -> Result<Self, Refusal> {
        let manifest = parts.manifest();
        let job = manifest.job().cloned().unwrap_or_default();
        let input = |id| {
            let part = manifest.parts().get(id)?.clone();
            let rows = PartRows::of(manifest, &part);
            Some((part, rows))
        };
        let inputs = job.merges.iter().map(|m| m.inputs.iter().filter_map(input).collect());
        let mut running = Self {
            tag_orders: BTreeMap::new(),
            inputs: inputs.collect(),
            hidden,
            range,
            at: (0, 0),
            rows: None,
            resume_after: None,
            writer: PartWriter::new(limits.part, seed),
            ended: Vec::new(),
            places: Vec::new(),
            keys: job.keys.iter().copied().collect(),
            job,
            has_steps: parts.is_job_stored,
            store: Rc::clone(store),
        };
        running.resume(limits, seed)?;
        Ok(running)
    }

    pub(super) fn next_key(&mut self) -> Option<Key> {
        self.keys.pop_front()
    }

    /// Writes groups until the step has processed enough cells or a value is full, because storing
    /// the value needs a second copy in memory. Returns the full values in order, and whether the
    /// job is complete.
    pub(super) fn advance(&mut self, limits: &Limits) -> Result<(Vec<Value>, bool), Refusal> {
        let mut cells = 0;
        while cells < limits.step_cells {
            if self.has_steps && self.writer.has_closed() {
                break;
            }
            if self.rows.is_none() && !self.begin(limits)? {
                let writer = std::mem::take(&mut self.writer);
                return Ok((writer.finish(), true));
            }
            let Some(rows) = &mut self.rows else { break };
            let (store, orders) = (&*self.store, &mut self.tag_orders);
            let group = rows.next(&mut |measurement| {
                if let Some(known) = orders.get(&measurement) {
                    return Ok(known.clone());
                }
                let read = columns::read_tag_order(store, measurement).map_err(read_error)?;
                orders.insert(measurement, read.clone());
                Ok(read)
            });
            match group? {
                Some(group) => {
                    cells += group.cells().max(group.bytes() as u64 / BYTES_PER_CELL) + GROUP_CELLS;
                    cells += group.series() as u64 * SERIES_CELLS;
                    cells += group.columns() as u64 * COLUMN_CELLS;
                    self.writer.add(&group);
                }
                None if rows.is_paused() => cells += limits.skipped_max() * SKIPPED_SERIES_CELLS,
                None => {
                    let sequences = self.sequences();
                    self.ended.extend(self.writer.end().map(|written| (written, sequences)));
                    self.rows = None;
                    self.next_output();
                }
            }
        }
        Ok((self.writer.take_closed(), false))
    }

    /// Skips outputs whose time range overlaps no input. Returns `false` if no output is left.
    fn begin(&mut self, limits: &Limits) -> Result<bool, ReadError> {
        while let Some(merge) = self.job.merges.get(self.at.0) {
            let inputs = self.inputs.get(self.at.0).map_or(&[][..], Vec::as_slice);
            let time = self.time(inputs);
            let overlaps = |(part, _): &&(Part, PartRows)| part.extent().time.overlaps(&time);
            let inside: Vec<&(Part, PartRows)> = inputs.iter().filter(overlaps).collect();
            if inside.is_empty() {
                self.next_output();
                continue;
            }
            let (resume_after, id) = (self.resume_after.take(), merge.output(self.at.1).0);
            let all_bytes: u64 = inside.iter().map(|(part, _)| part.bytes).sum();
            let mut cursors = Vec::with_capacity(inside.len());
            for (part, rows) in inside {
                let memory_bytes = share(part.bytes, all_bytes);
                let values =
                    StreamedValues::new(Rc::clone(&self.store), rows.clone(), memory_bytes);
                let from = resume_after.as_ref().map(|last| &last.key);
                let cursor = PartCursor::new(values, part.id.0, Direction::Ascending, from)?;
                let hidden = Rc::clone(&self.hidden);
                cursors.push((part.hi, VisibleCursor::of_merge(cursor, hidden, &part.extent())?));
            }
            let merged = kway::Merge::new(cursors, Direction::Ascending)?;
            let rows = Groups::new(merged, limits.part, time, resume_after.as_ref())?;
            self.rows = Some(rows.pausing_after(limits.skipped_max() as usize));
            if resume_after.is_none() {
                let sequences = self.sequences();
                self.writer.begin(id, sequences);
            }
            return Ok(true);
        }
        Ok(false)
    }

    fn next_output(&mut self) {
        self.at.1 += 1;
        if self.job.merges.get(self.at.0).is_some_and(|merge| self.at.1 >= merge.outputs) {
            self.at = (self.at.0 + 1, 0);
        }
    }

    fn time(&self, inputs: &[(Part, PartRows)]) -> TimeRange {
        let slots = Slots::of(self.job.width_ns);
        let first = slots.span(inputs.iter().map(|(part, _)| part)).map_or(0, |(first, _)| first);
        slots.time(first.saturating_add(i64::from(self.at.1))).intersect(&self.range)
    }

    fn sequences(&self) -> Sequences {
        let inputs = self.inputs.get(self.at.0).into_iter().flatten();
        let known = self.job.merges.get(self.at.0).map_or(0, |merge| merge.applied);
        let all = Sequences::of_merge(inputs.map(|(part, _)| part.sequences()), known);
        all.unwrap_or(Sequences { lo: 0, hi: 0, applied: known })
    }

    fn resume(&mut self, limits: &Limits, seed: u64) -> Result<(), Refusal> {
        let mut rows = Vec::new();
        for key in &self.keys {
            match ValueRow::of_job(&*self.store, *key)? {
                Some((row, parts)) if parts.iter().all(|id| self.has_output(*id)) => rows.push(row),
                _ => break,
            }
        }
        if rows.is_empty() {
            return Ok(());
        }
        let count = rows.len();
        let written = PartRows(rows.into());
        let mut values =
            StreamedValues::new(Rc::clone(&self.store), written.clone(), CURSOR_BYTES_MIN);
        let resumed = PartWriter::resume(limits.part, seed, &mut values)?;
        let Resumed { writer, ended, open, values } = resumed;
        self.writer = writer;
        for value in 0..values {
            let number = written.get(value)?.number;
            self.places.extend(self.keys.pop_front().map(|key| (number, key)));
        }
        // Old values under the remaining keys are deleted. Otherwise, a later restart could read
        // these values as a continuation of the new values.
        let again = self.keys.iter().take(count - values).copied();
        let delete = || self.store.delete_keys(Table::Value, again);
        self.store.atomically::<(), StoreError>(delete)?;
        for written in ended {
            self.go_to(written.id);
            let sequences = self.sequences();
            self.ended.push((written, sequences));
            self.next_output();
        }
        if let Some((id, last)) = open {
            self.go_to(id);
            self.resume_after = Some(last);
        }
        Ok(())
    }

    fn has_output(&self, id: u64) -> bool {
        let has = |merge: &crate::shard::manifest::Merge| {
            (0..merge.outputs).any(|at| merge.output(at).0 == id)
        };
        self.job.merges.iter().any(has)
    }

    fn go_to(&mut self, id: u64) {
        while let Some(merge) = self.job.merges.get(self.at.0)
            && merge.output(self.at.1).0 != id
        {
            self.next_output();
        }
    }
}
