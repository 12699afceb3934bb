//! Collects the rows of a window for functions that process all values of the window together.

use std::rc::Rc;

use xxhash_rust::xxh64::xxh64;

use super::join_limit::{CallSeries, append};
use crate::admission::{BufferMemory, QueryReservation};
use crate::error::{QueryError, Result};
use crate::operators::merge_rows::RowBatch;
use crate::plan::{CallBase, CallPlan, SelectNode, WholeWindowPlan};
use crate::result::{Column, Values};
use crate::scalar::repeat;
use crate::sort::sort;
use crate::whole_window::{
    Outcome, Points, RANK_BYTES, SORT_KEY_BYTES, WholeWindowFunction, combinations,
};
use crate::work::Work;
use tidemark_engine::batch::column::gather;
use tidemark_model::bug::OrBug;
use tidemark_model::limits::{WHOLE_WINDOW_BYTES_MAX, WHOLE_WINDOW_VALUES_MAX};
use tidemark_model::value::FieldValue;

/// The rows of a window, in the statement's direction.
#[derive(Debug, Default)]
struct WindowRows {
    times_ns: Vec<i64>,
    /// `None` if there are no rows.
    values: Option<Column>,
    /// The columns of the call's `aux` variables, then the tag arguments.
    others: Vec<Option<Column>>,
    /// A hash of each row's series, from which `sample` selects rows; empty for other functions.
    series: Vec<u64>,
}

/// Applies a function that reads all values of a window together, window by window.
#[derive(Debug)]
pub(crate) struct WholeWindowExecutor {
    node: Rc<SelectNode>,
    call: Rc<CallPlan>,
    plan: Rc<WholeWindowPlan>,
    work: Work,
    /// The start of the open window.
    window_ns: Option<i64>,
    window: WindowRows,
    /// The values of the complete windows.
    done: Option<CallSeries>,
    memory: BufferMemory,
}

impl WholeWindowExecutor {
    /// Returns `None` if the call does not need all values of a window together.
    pub(crate) fn new(
        node: &Rc<SelectNode>,
        call: &Rc<CallPlan>,
        reservation: &QueryReservation,
        work: &Work,
    ) -> Option<Self> {
        let CallBase::WholeWindow(plan) = &call.base else { return None };
        Some(Self {
            node: Rc::clone(node),
            call: Rc::clone(call),
            plan: Rc::clone(plan),
            work: work.clone(),
            window_ns: None,
            window: WindowRows::default(),
            done: None,
            memory: reservation.buffer(),
        })
    }

    /// Adds the next rows. `column` contains the call's values. Awaits only [`Work::spend`].
    ///
    /// # Errors
    /// [`QueryError::TooLarge`] if one window has too many values, [`QueryError::OutOfMemory`].
    pub(crate) async fn push(&mut self, batch: &RowBatch, column: &Column) -> Result<()> {
        let node = Rc::clone(&self.node);
        // The positions of the rows in a page fit in u32.
        let rows: Vec<u32> = (0..batch.times_ns.len() as u32)
            .filter(|&row| column.validity.is_valid(row as usize))
            .collect();
        let series = series_hashes(batch, &self.plan);
        let time_of = |position: usize| {
            let row = rows.get(position)?;
            batch.times_ns.get(*row as usize).copied()
        };
        let mut start = 0;
        while let Some(first) = time_of(start) {
            let window = node.window.as_ref().map_or(0, |window| window.start(first));
            if self.window_ns.is_some_and(|open| open != window) {
                self.close().await;
            }
            let mut end = start + 1;
            while let Some(time) = time_of(end) {
                if node.window.as_ref().is_some_and(|w| w.start(time) != window) {
                    break;
                }
                end += 1;
            }
            self.window_ns = Some(window);
            let of_window = rows.get(start..end).or_bug();
            self.take(batch, column, of_window);
            self.window.series.extend(gathered(&series, of_window));
            start = end;
            self.reserve().await?;
        }
        Ok(())
    }

    fn take(&mut self, batch: &RowBatch, column: &Column, rows: &[u32]) {
        let WindowRows { times_ns, values, others, .. } = &mut self.window;
        let before = times_ns.len();
        times_ns.extend(gather(&batch.times_ns, rows));
        append(values, Some(column), rows, before);
        let positions = self.call.aux.iter().chain(self.plan.tags.iter().flatten()).copied();
        let positions: Vec<usize> = positions.collect();
        others.resize(positions.len(), None);
        for (other, position) in others.iter_mut().zip(positions) {
            append(other, batch.columns.get(position).and_then(Option::as_ref), rows, before);
        }
    }

    /// Reserves memory for the rows of the window. If there are too many rows, instead drops the
    /// rows that the function can no longer select.
    async fn reserve(&mut self) -> Result<()> {
        if !self.window.exceeds(4) {
            // Computing the result copies the rows, or creates a sort key for each row.
            let bytes = self.window.bytes();
            let is_text = |column: &Column| matches!(column.values, Values::String(_));
            let rank_bytes =
                if self.window.values.as_ref().is_some_and(is_text) { RANK_BYTES } else { 0 };
            let keys_bytes = (SORT_KEY_BYTES + rank_bytes) * self.window.times_ns.len();
            return Ok(self.memory.set(bytes + bytes.max(keys_bytes))?);
        }
        let window = std::mem::take(&mut self.window);
        self.window = self.reduce(window).await;
        // If more than three quarters of the limit are still in use, the next rows would soon
        // repeat this expensive step.
        if self.window.exceeds(3) {
            return Err(QueryError::TooLarge {
                what: "a window of a function that needs all values of the window",
                limit: WHOLE_WINDOW_VALUES_MAX as u64,
                unit: "values, or 16 MB",
            });
        }
        Ok(())
    }

    /// Evaluates the open window.
    async fn close(&mut self) {
        let Some(window_ns) = self.window_ns.take() else { return };
        let window = std::mem::take(&mut self.window);
        let series = self.result(window_ns, window).await;
        series.into_iter().for_each(|series| series.append_to(&mut self.done));
    }

    /// Evaluates the last window, and returns the values of all windows. The group must have no
    /// more rows. Awaits only [`Work::spend`].
    pub(crate) async fn finish(&mut self) -> Option<CallSeries> {
        self.close().await;
        self.done.take()
    }

    /// Returns the rows that the function can still select.
    async fn reduce(&self, window: WindowRows) -> WindowRows {
        if !self.plan.function.chooses_again() {
            return window;
        }
        let (outcome, window) = self.evaluate(window).await;
        let Outcome::Rows(mut rows) = outcome else { return window };
        sort(&mut rows, Ord::cmp, &self.work).await;
        let kept = window.gather(&rows);
        if self.reads_ascending() { kept.reversed() } else { kept }
    }

    /// Returns the values of a complete window.
    async fn result(&self, window_ns: i64, window: WindowRows) -> Option<CallSeries> {
        let (outcome, window) = self.evaluate(window).await;
        let Self { node, call, plan, .. } = self;
        let window_ns = if node.window.is_some() { window_ns } else { node.whole_range_time_ns() };
        let single = |value: &FieldValue| {
            let (values, aux) = (Column::full(repeat(value, 1)), vec![None; call.aux.len()]);
            Some(CallSeries { times_ns: vec![window_ns], values, aux })
        };
        let mut rows = match outcome {
            Outcome::Rows(rows) if plan.counted => {
                return single(&FieldValue::Integer(rows.len() as i64));
            }
            Outcome::Rows(rows) => rows,
            Outcome::Value(value) => return single(&value?),
        };
        // In both directions, 1.x sorts points of top(), bottom() and sample() by ascending time,
        // and distinct values by their first time.
        let ordered = plan.keeps_times() || plan.function == WholeWindowFunction::Distinct;
        if node.direction.is_descending() && !ordered {
            rows.reverse();
        }
        let own_times = plan.keeps_times() || node.keeps_point_time;
        let times_ns = rows.iter().map(|&row| match window.times_ns.get(row as usize) {
            Some(&time) if own_times => time,
            _ => window_ns,
        });
        let aux = window.others.iter().take(call.aux.len());
        Some(CallSeries {
            times_ns: times_ns.collect(),
            values: window.values?.gather(&rows),
            aux: aux.map(|column| column.as_ref().map(|c| c.gather(&rows))).collect(),
        })
    }

    /// Returns the result, and the rows in the order in which the function reads them.
    async fn evaluate(&self, window: WindowRows) -> (Outcome, WindowRows) {
        let window = if self.reads_ascending() { window.reversed() } else { window };
        let Some(values) = &window.values else { return (Outcome::Value(None), window) };
        let tags = window.others.get(self.call.aux.len()..).or_bug();
        let combinations = match &self.plan.tags {
            Some(_) => combinations(tags, values.len(), &self.work).await,
            None => Vec::new(),
        };
        let points = Points {
            times_ns: &window.times_ns,
            values: &values.values,
            series: &window.series,
            combinations: &combinations,
        };
        let outcome = self.plan.function.evaluate(&points, &self.work).await;
        (outcome, window)
    }

    /// Whether a function reads the rows of a descending statement in ascending order. In 1.x, the
    /// reading order determines which of several equal values the function selects.
    fn reads_ascending(&self) -> bool {
        self.node.direction.is_descending() && self.plan.keeps_times()
    }
}

impl WindowRows {
    /// Whether the rows need more than `quarters` quarters of the limits.
    fn exceeds(&self, quarters: usize) -> bool {
        self.times_ns.len() > WHOLE_WINDOW_VALUES_MAX / 4 * quarters
            || self.bytes() > WHOLE_WINDOW_BYTES_MAX / 4 * quarters
    }

    fn bytes(&self) -> usize {
        let columns = self.values.iter().chain(self.others.iter().flatten());
        columns.map(Column::bytes).sum::<usize>() + 8 * (self.times_ns.len() + self.series.len())
    }

    fn gather(&self, rows: &[u32]) -> Self {
        let of_column = |column: &Option<Column>| column.as_ref().map(|c| c.gather(rows));
        Self {
            times_ns: gather(&self.times_ns, rows),
            values: of_column(&self.values),
            others: self.others.iter().map(of_column).collect(),
            series: gathered(&self.series, rows).collect(),
        }
    }

    fn reversed(self) -> Self {
        let rows: Vec<u32> = (0..self.times_ns.len() as u32).rev().collect();
        self.gather(&rows)
    }
}

/// Returns an empty result for functions other than `sample`.
fn series_hashes(batch: &RowBatch, plan: &WholeWindowPlan) -> Vec<u64> {
    if plan.series.is_empty() {
        return Vec::new();
    }
    let mut hashes = vec![0_u64; batch.times_ns.len()];
    for &(variable, name) in &plan.series {
        let Some(Some(column)) = batch.columns.get(variable) else { continue };
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

/// Returns the values at `rows` in the given order.
fn gathered<'a>(values: &'a [u64], rows: &'a [u32]) -> impl Iterator<Item = u64> + 'a {
    rows.iter().filter_map(|&row| values.get(row as usize).copied())
}
