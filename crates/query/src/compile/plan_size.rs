//! Counts a plan's size, and rejects a part that would exceed a limit before the part is created.

use std::cell::Cell;

use super::{nodes, operands};
use crate::error::{QueryError, Result};
use crate::plan::CallSource;
use crate::work::Work;
use tidemark_engine::scan::math::MathFunction;
use tidemark_influxql::ast::Expr;
use tidemark_model::configurable_limits::{Limit, Limits};
use tidemark_model::limits::{
    ENTRIES_PER_CALL, ENTRIES_PER_CONDITION, PLAN_ENTRIES_MAX, WORK_PER_NAME,
};
use tidemark_model::regex::Patterns;

/// The maximum memory of the compiled regexes of names and of their states between two uses, in
/// bytes.
pub(super) const PATTERNS_BYTES_MAX: usize = 4 << 20;

/// Counters for the parts of a plan that is being compiled, and for the work of the compiler.
#[derive(Debug)]
pub(super) struct PlanSize {
    limits: Limits,
    sources: Cell<usize>,
    columns: Cell<usize>,
    entries: Cell<usize>,
    /// The units of `work` that the compiler has already added.
    spent: Cell<usize>,
    work: Work,
    /// The regexes that select names. Subqueries share the compiled regexes.
    pub(super) patterns: Patterns,
}

impl PlanSize {
    pub(super) fn new(limits: Limits, work: &Work) -> Self {
        let [sources, columns, entries, spent] = [0; 4].map(Cell::new);
        let (work, patterns) = (work.clone(), Patterns::limited());
        Self { limits, sources, columns, entries, spent, work, patterns }
    }

    /// Adds `units` of work and the work of compiled regexes, and lets the statement pause.
    pub(super) async fn spend(&self, units: usize) {
        self.spent.set(self.spent.get().saturating_add(units));
        self.work.spend(units.saturating_add(self.patterns.take_work())).await;
    }

    /// Adds the work of one step of the compiler for `count` columns, and lets the statement pause.
    pub(super) async fn spend_columns(&self, count: usize) {
        self.spend(count.saturating_mul(WORK_PER_NAME)).await;
    }

    pub(super) fn add_sources(&self, count: usize) -> Result<()> {
        let advice = "name fewer measurements in FROM";
        self.add(&self.sources, count, Limit::Sources, advice)
    }

    pub(super) fn add_columns(&self, expr: &Expr, count: usize) -> Result<()> {
        let each = calls(expr).max(1);
        let advice = "name the needed fields instead of * or a regular expression";
        self.add(&self.columns, count.saturating_mul(each), Limit::Columns, advice)
    }

    fn add(
        &self,
        counter: &Cell<usize>,
        count: usize,
        limit: Limit,
        advice: &'static str,
    ) -> Result<()> {
        let before = counter.get();
        let after = before.saturating_add(count);
        self.limits
            .check(limit, before, after)
            .map_err(|error| QueryError::Exceeded { error, advice })?;
        counter.set(after);
        Ok(())
    }

    /// Adds parts that exist once for each source or once for each tag.
    pub(super) fn add_entries(&self, count: usize) -> Result<()> {
        self.entries.set(self.entries.get().saturating_add(count));
        if self.entries.get() > PLAN_ENTRIES_MAX { Err(QueryError::PlanTooLarge) } else { Ok(()) }
    }

    /// Adds the calls of one source.
    pub(super) fn add_calls(&self, calls: &[CallSource]) -> Result<()> {
        self.add_entries(calls.iter().map(|call| ENTRIES_PER_CALL + call.aux.len()).sum())
    }

    /// Returns the work of creating the plan that is not added yet, in the units of
    /// [`crate::work`].
    pub(super) fn remaining_work(&self) -> usize {
        let names = self.sources.get().saturating_add(self.columns.get());
        let all = names.saturating_mul(WORK_PER_NAME).saturating_add(self.entries.get());
        all.saturating_sub(self.spent.get())
    }
}

fn calls(expr: &Expr) -> usize {
    let own = match expr {
        Expr::Call { name, .. } => usize::from(MathFunction::named(name).is_none()),
        _ => 0,
    };
    own + operands(expr).map(calls).sum::<usize>()
}

/// Returns the number of entries that a condition counts for each measurement.
pub(crate) fn condition_entries(condition: &Expr) -> usize {
    nodes(condition).saturating_mul(ENTRIES_PER_CONDITION)
}
