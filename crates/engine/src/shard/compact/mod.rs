//! Merges parts into fewer and larger parts, step by step. For each series, time and field, the
//! last write wins.
//!
//! [`choose`] selects the parts. [`Shard::start`] adds a job to the manifest. [`job`] reads and
//! writes the rows of a step. [`scrub`] removes hidden rows. Between two steps, other events such
//! as flushes, deletes and retention use the inputs. The last step replaces the inputs with the
//! outputs.

pub mod choose;
pub(super) mod job;
mod scrub;

use job::Running;
pub(super) use scrub::due as scrub_due;

use super::Shard;
use super::attempts::AlarmTask;
use super::manifest::{Merge, Part, PartId};
use super::parts::{NewValue, listed};
use super::refusal::Refusal;
use super::slots::Slots;
use super::step_limits::SERIES_CELLS;
use crate::store::Store;

const OUTPUTS_MAX: u64 = 4_096;
/// The number of keys to reserve in addition to one key for each input value. An output needs
/// another key if its last value is not full.
const KEYS_BESIDE: u32 = 4;

impl<S: Store> Shard<S> {
    /// Runs one step of the running job, or starts a job with the merges that are due. If the step
    /// finds a damaged block or a row with too much text, all inputs of the job are excluded from
    /// later merges.
    pub(super) fn compact(&mut self, now_ns: i64) -> Result<(), Refusal> {
        let loaded = self.load()?;
        if loaded.manifest().job().is_none() {
            let merges = loaded.due_work(now_ns).merges.clone();
            if merges.is_empty() || !self.start(merges)? {
                return self.done(AlarmTask::Compact);
            }
        }
        match self.step() {
            Err(Refusal::Damaged { .. } | Refusal::Invalid(_)) => self.abandon(),
            Err(refusal) => Err(self.discard_state(refusal)),
            Ok(()) => Ok(()),
        }
    }

    /// Runs a merge step before a write if too many parts are unmerged. If the step fails, the
    /// write continues, and the alarm retries the merge.
    pub(super) fn merge_if_too_many_parts(&mut self, now_ns: i64) -> Result<(), Refusal> {
        let loaded = self.load()?;
        let may_try = loaded.attempts.not_before(AlarmTask::Compact) <= now_ns;
        if may_try && loaded.due_work(now_ns).is_crowded && self.compact(now_ns).is_err() {
            self.load()?;
        }
        Ok(())
    }

    /// Adds a job with these merges to the manifest. Returns `false` if no merge has parts.
    ///
    /// The manifest of a job with few cells is changed only in memory, to save a row write. If the
    /// object restarts, the job is lost and chosen again. In the stored manifest, the keys of such
    /// a job's values are free.
    pub(super) fn start(&mut self, merges: Vec<Vec<PartId>>) -> Result<bool, Refusal> {
        let step_cells = self.limits.step_cells;
        let loaded = self.load()?;
        let known = loaded.deletions.last_sequence();
        let mut draft = loaded.draft();
        let manifest = &mut draft.manifest;
        let slots = Slots::of(manifest.width_ns);
        let (mut started, mut cells, mut keys) = (Vec::new(), 0_u64, KEYS_BESIDE);
        for mut inputs in merges {
            inputs.sort();
            let parts = inputs.iter().filter_map(|id| loaded.manifest().parts().get(id));
            let parts: Vec<&Part> = parts.collect();
            let Some((first, last)) = slots.span(parts.iter().copied()) else { continue };
            let count = last.abs_diff(first);
            if count >= OUTPUTS_MAX {
                loaded.parts.exclude(inputs);
                continue;
            }
            let outputs = count as u32 + 1;
            let applied = parts.iter().map(|part| part.applied).max().unwrap_or_default();
            let cells_of =
                |part: &Part| part.cells.saturating_add(part.series.saturating_mul(SERIES_CELLS));
            cells = parts.iter().fold(cells, |sum, part| sum.saturating_add(cells_of(part)));
            keys =
                parts.iter().fold(keys, |sum, part| sum.saturating_add(part.values.len() as u32));
            let first_output = manifest.give_ids(loaded.parts.salt, outputs);
            let applied = applied.max(known);
            started.push(Merge { inputs, first_output, outputs, applied });
        }
        if started.is_empty() {
            return Ok(false);
        }
        manifest.start(started, keys);
        if cells <= step_cells {
            loaded.parts.replace(draft.manifest, false);
            return Ok(true);
        }
        self.commit(draft, None, |_| Ok(()))?;
        Ok(true)
    }

    /// Writes some groups, and stores the values that are full.
    fn step(&mut self) -> Result<(), Refusal> {
        let limits = self.limits;
        let loaded = self.load()?;
        let mut running = match loaded.running.take() {
            Some(running) => running,
            None => {
                let (hidden, seed) = (loaded.hidden_rows(None)?, loaded.series_seed());
                let range = loaded.state().settings.range;
                Running::load(&loaded.store, &loaded.parts, hidden, range, &limits, seed)?
            }
        };
        let (values, is_done) = running.advance(&limits)?;
        let numbers: Vec<_> = values.iter().map(|_| loaded.parts.new_value_number()).collect();
        let mut draft = loaded.draft();
        let mut is_changed = is_done || !loaded.parts.is_job_stored;
        let mut new = Vec::with_capacity(values.len());
        for (value, number) in values.into_iter().zip(numbers) {
            let key = running.next_key().unwrap_or_else(|| {
                is_changed = true;
                draft.manifest.reserve()
            });
            new.push(NewValue::new(value, number, key));
        }
        running.places.extend(new.iter().map(NewValue::place));
        if is_done {
            let outputs = running.ended.iter();
            let outputs = outputs.map(|(w, sequences)| listed(w, *sequences, &running.places));
            draft.manifest.finish(outputs.collect::<Vec<_>>(), &running.places);
        }
        let put = |store: &S| new.iter().try_for_each(|value| value.put(store));
        if is_changed {
            draft.state.counters.compactions += u64::from(is_done);
            self.commit(draft, Some(AlarmTask::Compact), |loaded| put(&loaded.store))?;
        } else {
            // The heads of the stored values record the progress of the job, because they contain
            // the ids of the output parts.
            loaded.store.atomically(|| put(&loaded.store))?;
            self.done(AlarmTask::Compact)?;
        }
        self.load()?.running = Some(running).filter(|_| !is_done);
        Ok(())
    }

    /// Ends the running job without a result, and excludes its inputs from later merges.
    fn abandon(&mut self) -> Result<(), Refusal> {
        let loaded = self.load()?;
        loaded.running = None;
        let merges = loaded.manifest().job().map_or(&[][..], |job| &job.merges);
        let inputs: Vec<PartId> = merges.iter().flat_map(|m| &m.inputs).copied().collect();
        loaded.parts.exclude(inputs);
        self.change(Some(AlarmTask::Compact), |draft| draft.manifest.abandon())
    }
}
