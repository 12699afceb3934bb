//! Checks the invariants of a manifest.

use std::collections::BTreeSet;

use super::{Manifest, PartId};

/// A violated invariant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvariantError {
    /// A part's last sequence or time precedes its first.
    #[error("part {0:?} ends before it begins")]
    Backwards(PartId),
    /// Two parts overlap in time and in write sequences, so their order is unknown.
    #[error("parts {0:?} and {1:?} overlap in time and sequence")]
    Interleaved(PartId, PartId),
    /// A listed or held value has no row.
    #[error("the value with key {0} has no row")]
    NoRow(u64),
    /// A row belongs to two values, has a key that was never assigned, or is in use although it is
    /// free or reserved.
    #[error("value row {0} is used twice, or was never assigned")]
    Row(u64),
    /// A job's input does not exist, or belongs to two merges.
    #[error("part {0:?} cannot be an input of a merge job")]
    Input(PartId),
}

impl Manifest {
    /// Checks all invariants.
    pub fn check(&self) -> Result<(), InvariantError> {
        for part in self.parts.values() {
            if part.lo > part.hi || part.min_ns > part.max_ns {
                return Err(InvariantError::Backwards(part.id));
            }
        }
        self.check_order()?;
        self.check_rows()?;
        let mut inputs = BTreeSet::new();
        for &id in self.job.iter().flat_map(|job| job.merges.iter().flat_map(|m| &m.inputs)) {
            if !self.parts.contains_key(&id) || !inputs.insert(id) {
                return Err(InvariantError::Input(id));
            }
        }
        Ok(())
    }

    fn check_order(&self) -> Result<(), InvariantError> {
        // A large number of parts is spread over many slots, so few parts overlap in time.
        let mut by_time: Vec<&super::Part> = self.parts.values().collect();
        by_time.sort_by_key(|part| part.min_ns);
        for (at, part) in by_time.iter().enumerate() {
            let later = by_time.iter().skip(at + 1);
            let mut overlapping = later.take_while(|other| other.min_ns <= part.max_ns);
            if let Some(other) =
                overlapping.find(|other| other.extent().clashes_with(&part.extent()))
            {
                return Err(InvariantError::Interleaved(part.id, other.id));
            }
        }
        Ok(())
    }

    /// Each listed or held value must have a row, and no row may have two uses.
    fn check_rows(&self) -> Result<(), InvariantError> {
        let listed = self.parts.values().map(|part| &part.values);
        let listed = listed.chain(self.holds.iter().map(|hold| &hold.numbers));
        for number in listed.flat_map(super::Runs::iter) {
            if !self.keys.contains_key(&super::Number(number)) {
                return Err(InvariantError::NoRow(number));
            }
        }
        let reserved = self.job.iter().flat_map(|job| job.keys.iter());
        let mut given: Vec<u64> =
            self.keys.values().copied().chain(self.dead.iter()).chain(reserved).collect();
        given.sort();
        let twice = given.windows(2).find(|pair| matches!(pair, [a, b] if a == b));
        let unknown = given.last().filter(|&&last| last >= self.next_key);
        match twice.and_then(|pair| pair.first()).or(unknown) {
            Some(&key) => Err(InvariantError::Row(key)),
            None => Ok(()),
        }
    }
}
