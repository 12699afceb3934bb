//! Collects the rows of a window for functions that process all values of the window together.

use std::collections::HashMap;
use std::rc::Rc;

use xxhash_rust::xxh64::xxh64;

use super::join_limit::{CallSeries, append};
use crate::admission::{HeldBytes, QueryReservation};
use crate::model::bug::OrBug;
use crate::model::limits::{GATHERED_BYTES_MAX, GATHERED_VALUES_MAX};
use crate::model::value::FieldValue;
use crate::query::error::{QueryError, Result};
use crate::query::operators::merge_rows::RowBatch;
use crate::query::plan::{CallBase, CallPlan, GatherPlan, SelectNode};
use crate::query::result::{Column, Values};
use crate::query::scalar::repeat;
use crate::query::work::Work;
use crate::scan::gathered::{GatheredFunction, Outcome, Points};

/// The work of copying and sorting one value, in the units of [`Work`].
const EVALUATION_WORK: usize = 2;

/// The rows ascend by time. The columns are those of [`GatherExecutor::others`].
struct WindowRows {
    times_ns: Vec<i64>,
    values: Column,
    others: Vec<Option<Column>>,
}

#[derive(Debug)]
pub(crate) struct GatherExecutor {
    node: Rc<SelectNode>,
    call: Rc<CallPlan>,
    plan: Rc<GatherPlan>,
    window_ns: Option<i64>,
    times_ns: Vec<i64>,
    values: Option<Column>,
    /// The columns of the call's `aux` slots, then the tag arguments.
    others: Vec<Option<Column>>,
    /// A hash of each row's series, from which `sample` selects rows; empty for other functions.
    series: Vec<u64>,
    done: Option<CallSeries>,
    held: HeldBytes,
    work: Work,
}

impl GatherExecutor {
    /// Returns `None` if the call does not need all values of a window together.
    pub(crate) fn new(
        node: &Rc<SelectNode>,
        call: &Rc<CallPlan>,
        room: &QueryReservation,
        work: &Work,
    ) -> Option<Self> {
        let CallBase::Gather(plan) = &call.base else { return None };
        let (node, call, plan) = (Rc::clone(node), Rc::clone(call), Rc::clone(plan));
        let (window_ns, values, done) = (None, None, None);
        let (times_ns, others, series) = (Vec::new(), Vec::new(), Vec::new());
        let (held, work) = (room.part(), work.clone());
        Some(Self {
            node,
            call,
            plan,
            window_ns,
            times_ns,
            values,
            others,
            series,
            done,
            held,
            work,
        })
    }

    /// Adds the next rows. `column` contains the call's values.
    ///
    /// # Errors
    /// [`QueryError::TooLarge`] if one window has too many values, [`QueryError::OutOfMemory`].
    pub(crate) fn push(&mut self, batch: &RowBatch, column: &Column) -> Result<()> {
        let node = Rc::clone(&self.node);
        // The positions of the rows in a page fit in u32.
        let rows: Vec<u32> = (0..batch.times_ns.len() as u32)
            .filter(|&row| column.validity.is_valid(row as usize))
            .collect();
        let series = series_hashes(batch, &self.plan);
        let mut start = 0;
        while start < rows.len() {
            let time_of = |position: usize| {
                let row = rows.get(position)?;
                batch.times_ns.get(*row as usize).copied()
            };
            let Some(first) = time_of(start) else { break };
            let window = node.window.as_ref().map_or(0, |window| window.start(first));
            let mut end = start + 1;
            while let Some(time) = time_of(end) {
                if node.window.as_ref().is_some_and(|w| w.start(time) != window) {
                    break;
                }
                end += 1;
            }
            if self.window_ns.is_some_and(|open| open != window) {
                self.close();
            }
            self.window_ns = Some(window);
            let of_window = rows.get(start..end).or_bug();
            self.take(batch, column, of_window);
            self.series.extend(pick(&series, of_window));
            self.check()?;
            start = end;
        }
        Ok(())
    }

    fn take(&mut self, batch: &RowBatch, column: &Column, rows: &[u32]) {
        let before = self.times_ns.len();
        let time = |&row: &u32| batch.times_ns.get(row as usize).copied();
        self.times_ns.extend(rows.iter().filter_map(time));
        append(&mut self.values, Some(column), rows, before);
        let slots = self.call.aux.iter().chain(self.plan.tags.iter().flatten()).copied();
        let slots: Vec<usize> = slots.collect();
        self.others.resize(slots.len(), None);
        for (other, slot) in self.others.iter_mut().zip(slots) {
            append(other, batch.slots.get(slot).and_then(Option::as_ref), rows, before);
        }
    }

    /// If the window has too many rows, drops rows that the function can no longer select.
    fn check(&mut self) -> Result<()> {
        let is_over = |this: &Self, of: usize| {
            this.times_ns.len() > GATHERED_VALUES_MAX / 4 * of
                || this.bytes() > GATHERED_BYTES_MAX / 4 * of
        };
        if !is_over(self, 4) {
            // Computing the result copies the rows, so their size counts twice.
            return Ok(self.held.set(2 * self.bytes())?);
        }
        let mut kept = match self.evaluate() {
            Some((Outcome::Rows(rows), _)) if self.plan.function.chooses_again() => rows,
            _ => (0..self.times_ns.len() as u32).collect(),
        };
        let last = self.times_ns.len().saturating_sub(1) as u32;
        if self.reads_ascending() {
            kept.iter_mut().for_each(|row| *row = last.saturating_sub(*row));
        }
        kept.sort();
        let time = |&row: &u32| self.times_ns.get(row as usize).copied();
        self.times_ns = kept.iter().filter_map(time).collect();
        self.series = pick(&self.series, &kept).collect();
        for column in self.values.iter_mut().chain(self.others.iter_mut().flatten()) {
            *column = column.gather(&kept);
        }
        // If more than three quarters of the limit are still in use, the next rows would soon
        // repeat this expensive step.
        if is_over(self, 3) {
            return Err(QueryError::TooLarge {
                what: "a window of a function that needs all values of the window",
                limit: GATHERED_VALUES_MAX as u64,
                unit: "values, or 16 MB",
            });
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        let columns = self.values.iter().chain(self.others.iter().flatten());
        columns.map(Column::bytes).sum::<usize>() + 8 * (self.times_ns.len() + self.series.len())
    }

    fn evaluate(&self) -> Option<(Outcome, WindowRows)> {
        let count = self.times_ns.len() as u32;
        self.work.add(EVALUATION_WORK * self.times_ns.len());
        let is_turned = self.reads_ascending();
        let turned: Vec<u32> =
            if is_turned { (0..count).rev().collect() } else { (0..count).collect() };
        let (mut times_ns, mut series) = (self.times_ns.clone(), self.series.clone());
        let values = self.values.as_ref()?.gather(&turned);
        let gather = |column: &Option<Column>| column.as_ref().map(|c| c.gather(&turned));
        let others: Vec<Option<Column>> = self.others.iter().map(gather).collect();
        if is_turned {
            times_ns.reverse();
            series.reverse();
        }
        let tags = others.get(self.call.aux.len()..).or_bug();
        let combinations = combinations(tags, &self.plan, count);
        let points = Points {
            times_ns: &times_ns,
            values: &values.values,
            series: &series,
            combinations: &combinations,
        };
        let outcome = self.plan.function.evaluate(&points);
        Some((outcome, WindowRows { times_ns, values, others }))
    }

    fn close(&mut self) {
        let answer = self.evaluate();
        (self.times_ns, self.others, self.values) = (Vec::new(), Vec::new(), None);
        self.series.clear();
        let (Some(window_ns), Some((outcome, WindowRows { times_ns, values, others }))) =
            (self.window_ns.take(), answer)
        else {
            return;
        };
        let (node, plan) = (Rc::clone(&self.node), &self.plan);
        let window_ns = if node.window.is_some() { window_ns } else { node.whole_range_time_ns() };
        let mut rows = match outcome {
            Outcome::Rows(rows) if plan.counted => {
                let count = FieldValue::Integer(rows.len() as i64);
                return self.add_value(window_ns, &count);
            }
            Outcome::Rows(rows) => rows,
            Outcome::Value(Some(value)) => return self.add_value(window_ns, &value),
            Outcome::Value(None) => return,
        };
        // In both directions, 1.x sorts points of top(), bottom() and sample() by ascending time,
        // and distinct values by their first time.
        let ordered = plan.keeps_times() || plan.function == GatheredFunction::Distinct;
        if node.descending && !ordered {
            rows.reverse();
        }
        let own_times = plan.keeps_times() || node.keeps_point_time;
        let times_ns = rows.iter().map(|&row| match times_ns.get(row as usize) {
            Some(&time) if own_times => time,
            _ => window_ns,
        });
        let aux = others.iter().take(self.call.aux.len());
        let series = CallSeries {
            times_ns: times_ns.collect(),
            values: values.gather(&rows),
            aux: aux.map(|column| column.as_ref().map(|c| c.gather(&rows))).collect(),
        };
        series.append_to(&mut self.done);
    }

    fn add_value(&mut self, window_ns: i64, value: &FieldValue) {
        let (values, aux) = (Column::full(repeat(value, 1)), vec![None; self.call.aux.len()]);
        CallSeries { times_ns: vec![window_ns], values, aux }.append_to(&mut self.done);
    }

    /// The group must have no more rows.
    pub(crate) fn finish(&mut self) -> Option<CallSeries> {
        self.close();
        self.done.take()
    }

    /// Whether a function reads the rows of a descending statement in ascending order. In 1.x, the
    /// reading order determines which of several equal values the function selects.
    fn reads_ascending(&self) -> bool {
        let in_order_of_statement = matches!(
            self.plan.function,
            GatheredFunction::Distinct
                | GatheredFunction::Median
                | GatheredFunction::Mode
                | GatheredFunction::Percentile(_)
        );
        self.node.descending && !in_order_of_statement
    }
}

/// Returns an empty result for functions other than `sample`.
fn series_hashes(batch: &RowBatch, plan: &GatherPlan) -> Vec<u64> {
    if plan.series.is_empty() {
        return Vec::new();
    }
    let mut hashes = vec![0_u64; batch.times_ns.len()];
    for &(slot, name) in &plan.series {
        let Some(Some(column)) = batch.slots.get(slot) else { continue };
        let Values::String(texts) = &column.values else { continue };
        let of_entries: Vec<u64> = texts.entries().map(|t| xxh64(t.as_bytes(), name)).collect();
        for (row, hash) in hashes.iter_mut().enumerate() {
            let entry =
                texts.codes().map_or(Some(row), |codes| codes.get(row).map(|&code| code as usize));
            let of_row = entry.and_then(|entry| of_entries.get(entry));
            // A missing tag does not change the hash, so a new tag of another series does not
            // change the selection.
            if let (Some(of_row), true) = (of_row, column.validity.is_valid(row)) {
                *hash = hash.wrapping_add(*of_row);
            }
        }
    }
    hashes
}

fn pick<'a>(values: &'a [u64], rows: &'a [u32]) -> impl Iterator<Item = u64> + 'a {
    rows.iter().filter_map(|&row| values.get(row as usize).copied())
}

/// Returns the number of each row's combination of tag arguments; empty without tag arguments.
fn combinations(tags: &[Option<Column>], plan: &GatherPlan, count: u32) -> Vec<u32> {
    if plan.tags.is_none() {
        return Vec::new();
    }
    let mut known: HashMap<Vec<Option<String>>, u32, foldhash::fast::FixedState> =
        HashMap::default();
    let cell = |row: u32| {
        let value = |column: &Option<Column>| match column.as_ref()?.get(row as usize)? {
            FieldValue::String(text) => Some(text.into_string()),
            other => Some(format!("{other:?}")),
        };
        tags.iter().map(value).collect::<Vec<_>>()
    };
    (0..count)
        .map(|row| {
            let next = known.len() as u32;
            *known.entry(cell(row)).or_insert(next)
        })
        .collect()
}
