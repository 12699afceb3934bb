//! The values of a series at the steps of an evaluation.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::error::Error;
use super::labels::Labels;
use super::sample::{STALE_BITS, is_stale};

/// A series at consecutive steps.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) labels: Labels,
    /// The step of the first value.
    first: usize,
    /// The values. A step without a value has the stale marker, which no computation returns.
    values: Vec<f64>,
}

const NO_VALUE: f64 = f64::from_bits(STALE_BITS);

impl Row {
    pub(crate) fn new(labels: Labels) -> Self {
        Self { labels, first: 0, values: vec![] }
    }

    /// Creates a row with the same value at `steps` steps.
    pub(crate) fn constant(labels: Labels, value: f64, steps: usize) -> Self {
        Self { labels, first: 0, values: vec![value; steps] }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Returns the number of values in memory.
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    pub(crate) fn get(&self, step: usize) -> Option<f64> {
        let value = step.checked_sub(self.first).and_then(|at| self.values.get(at));
        value.copied().filter(|value| !is_stale(*value))
    }

    /// Adds a value after the last one.
    pub(crate) fn push(&mut self, step: usize, value: f64) {
        if self.values.is_empty() {
            self.first = step;
        }
        self.values.resize(step.saturating_sub(self.first), NO_VALUE);
        self.values.push(value);
    }

    /// Sets a value at any step.
    pub(crate) fn set(&mut self, step: usize, value: f64) {
        if self.values.is_empty() || step >= self.first + self.values.len() {
            return self.push(step, value);
        }
        if step < self.first {
            let missing = std::iter::repeat_n(NO_VALUE, self.first - step);
            self.values.splice(0..0, missing);
            self.first = step;
        }
        if let Some(slot) = self.values.get_mut(step - self.first) {
            *slot = value;
        }
    }

    /// Returns steps and values.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, f64)> {
        let steps = self.first..;
        steps.zip(self.values.iter().copied()).filter(|(_, value)| !is_stale(*value))
    }

    /// Replaces each value. Without a new value, the step has no value.
    pub(crate) fn map(&mut self, mut new: impl FnMut(usize, f64) -> Option<f64>) {
        for (step, value) in (self.first..).zip(&mut self.values) {
            if !is_stale(*value) {
                *value = new(step, *value).unwrap_or(NO_VALUE);
            }
        }
    }

    /// Removes the steps without a value at both ends.
    fn trim(&mut self) {
        let kept = self.values.iter().rposition(|value| !is_stale(*value)).map_or(0, |at| at + 1);
        self.values.truncate(kept);
    }

    /// Adds the values of `other`. Returns whether no step has a value in both rows.
    fn merge(&mut self, other: &Self) -> bool {
        for (step, value) in other.iter() {
            if self.get(step).is_some() {
                return false;
            }
            self.set(step, value);
        }
        true
    }
}

/// Positions by labels.
pub(crate) type ByLabels = HashMap<Labels, usize, FixedState>;

/// Returns the position of `labels`, which is `next` if the labels are new.
pub(crate) fn position(known: &mut ByLabels, labels: Labels) -> usize {
    let next = known.len();
    *known.entry(labels).or_insert(next)
}

/// Removes rows without values, and merges rows with equal labels.
///
/// # Errors
/// [`Error::Execution`] if two rows with equal labels have a value at the same step.
pub(crate) fn merged(rows: Vec<Row>) -> Result<Vec<Row>, Error> {
    let mut known = ByLabels::default();
    let mut result: Vec<Row> = Vec::with_capacity(rows.len());
    for mut row in rows {
        row.trim();
        if row.is_empty() {
            continue;
        }
        let Some(other) = result.get_mut(position(&mut known, row.labels.clone())) else {
            result.push(row);
            continue;
        };
        if !other.merge(&row) {
            let message = "vector cannot contain metrics with the same labelset";
            return Err(Error::Execution(message.to_owned()));
        }
    }
    Ok(result)
}

/// Returns the number of values in memory.
pub(crate) fn total_len(rows: &[Row]) -> usize {
    rows.iter().map(Row::len).sum()
}
