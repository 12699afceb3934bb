//! Merges parts into fewer and larger parts, step by step. For each series, time and field, the
//! last write wins.
//!
//! [`choose`] selects the parts. [`start`] adds a job to the manifest. [`job`] reads and writes the
//! rows of a step. [`scrub`] removes hidden rows. Between two steps, other events such as flushes,
//! deletes and retention use the inputs. The last step replaces the inputs with the outputs.

pub mod choose;
pub(super) mod job;
mod scrub;
mod start;

pub(super) use scrub::due as scrub_due;

use super::Shard;
use super::attempts::AlarmTask;
use super::manifest::PartId;
use super::parts::{NewValue, listed};
use super::request::Refusal;
use crate::store::Store;

impl<S: Store> Shard<S> {
    /// Parts with a damaged block are excluded from later merges.
    pub(super) fn compact(&mut self, now_ns: i64) -> Result<(), Refusal> {
        let loaded = self.load()?;
        if loaded.manifest().job().is_none() {
            let merges = loaded.plan(now_ns).merges.clone();
            if merges.is_empty() || !self.start(merges)? {
                return self.done(AlarmTask::Compact);
            }
        }
        match self.step() {
            Err(Refusal::Damaged { .. }) => self.abandon(),
            Err(refusal) => Err(self.lost(refusal)),
            Ok(()) => Ok(()),
        }
    }

    /// If the step fails, the write continues, and the alarm retries the merge.
    pub(super) fn merge_if_too_many_parts(&mut self, now_ns: i64) -> Result<(), Refusal> {
        let loaded = self.load()?;
        let may_try = loaded.attempts.not_before(AlarmTask::Compact) <= now_ns;
        if may_try && loaded.plan(now_ns).is_crowded && self.compact(now_ns).is_err() {
            self.load()?;
        }
        Ok(())
    }

    /// Writes some groups, and stores the values that are full.
    fn step(&mut self) -> Result<(), Refusal> {
        let limits = self.limits;
        let loaded = self.load()?;
        let mut running = match loaded.running.take() {
            Some(running) => running,
            None => loaded.resume(&limits)?,
        };
        let (values, is_done) = running.advance(&limits)?;
        let numbers: Vec<_> = values.iter().map(|_| loaded.parts.new_value_number()).collect();
        let mut draft = loaded.draft();
        let mut is_changed = is_done || !loaded.parts.is_job_stored();
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
            // The heads of the stored values contain the ids of their parts, and thereby record the
            // progress of the job.
            loaded.store.atomically(|| put(&loaded.store))?;
            self.done(AlarmTask::Compact)?;
        }
        self.load()?.running = Some(running).filter(|_| !is_done);
        Ok(())
    }

    /// The inputs of the abandoned job remain unchanged.
    fn abandon(&mut self) -> Result<(), Refusal> {
        let loaded = self.load()?;
        loaded.running = None;
        let merges = loaded.manifest().job().map_or(&[][..], |job| &job.merges);
        let inputs: Vec<PartId> = merges.iter().flat_map(|m| &m.inputs).copied().collect();
        loaded.parts.exclude(inputs);
        self.change(Some(AlarmTask::Compact), |draft| draft.manifest.abandon())
    }
}
