//! Checks a SELECT and its subqueries without a schema (1.x `query.Compile`).

use std::collections::{BTreeMap, BTreeSet};

use super::dimensions;
use super::fields::{self, StatementCheck};
use super::fold::FoldContext;
use super::local_time::Zone;
use super::{arguments, nodes, operands, time_range};
use crate::error::{QueryError, Result, invalid};
use crate::plan::extended;
use crate::transforms;
use tidemark_engine::merge::cursor::Direction;
use tidemark_engine::scan::math::MathFunction;
use tidemark_influxql::ast::{BinaryOp, Expr, Field, Fill, SelectStatement, Source};
use tidemark_model::limits::{SUBQUERY_COMPILATIONS_MAX, SUBQUERY_PARTS_MAX};
use tidemark_model::time::{MAX_TIME_NS, MIN_TIME_NS, TimeRange};

/// The state that a statement shares with its subqueries.
#[derive(Debug)]
pub(crate) struct Shared {
    now_ns: i64,
    /// The number of parts that were checked: sources, operands and operators.
    pub(super) parts: usize,
    /// The number of these parts in subqueries ([`SUBQUERY_PARTS_MAX`]).
    subquery_parts: usize,
    zones: BTreeMap<String, Zone>,
}

impl Shared {
    pub(crate) fn new(now_ns: i64) -> Self {
        Self { now_ns, parts: 0, subquery_parts: 0, zones: BTreeMap::new() }
    }

    fn add_parts(&mut self, select: &SelectStatement, is_subquery: bool) -> Result<()> {
        let fields = select.fields.iter().map(|field| &field.expr).chain(&select.condition);
        let exprs = fields.chain(&select.dimensions);
        let parts = select.sources.len() + exprs.map(nodes).sum::<usize>();
        self.parts += parts;
        self.subquery_parts += if is_subquery { parts } else { 0 };
        let is_valid = self.subquery_parts <= SUBQUERY_PARTS_MAX;
        if is_valid { Ok(()) } else { Err(QueryError::SubqueriesTooLarge) }
    }

    fn zone(&mut self, name: &str) -> Result<Zone> {
        if let Some(zone) = self.zones.get(name) {
            return Ok(zone.clone());
        }
        let zone = Zone::find(name)?;
        self.zones.insert(name.to_owned(), zone.clone());
        Ok(zone)
    }
}

/// A SELECT that satisfies the rules that need no schema.
#[derive(Debug)]
pub(crate) struct CheckedSelect<'a> {
    pub(crate) select: &'a SelectStatement,
    pub(crate) condition: Option<Expr>,
    /// The selected range, intersected with every outer statement's range.
    pub(crate) range: TimeRange,
    /// The widest range that the outermost statement reads. A subquery never reads outside this
    /// range, even for the window before its own range (1.x `LocalShardMapping`).
    pub(crate) floor: TimeRange,
    pub(crate) fields: Vec<Field>,
    pub(crate) facts: StatementCheck,
    /// The effective fill method. In a subquery, `null` becomes `none`.
    pub(crate) fill: Fill,
    pub(crate) direction: Direction,
    /// For a subquery, the number of windows before the outer range that its rows include, because
    /// the outer functions read these windows.
    pub(crate) windows_before: u32,
    /// The number of times that the subquery is compiled and executed: once for each number of
    /// windows that functions of the outer statement read before their range.
    pub(crate) compilations: u32,
    pub(crate) zone: Option<Zone>,
    pub(crate) subqueries: Vec<CheckedSelect<'a>>,
}

impl CheckedSelect<'_> {
    pub(crate) fn reads_only_subqueries(&self) -> bool {
        self.select.sources.iter().all(|source| matches!(source, Source::Subquery(_)))
    }

    /// Returns the numbers of windows that the functions read before the range.
    pub(crate) fn windows_before_range(&self) -> BTreeSet<u32> {
        let has_windows = !self.facts.interval.is_zero();
        let calls = self.fields.iter().flat_map(|field| calls_of(&field.expr));
        let numbers: BTreeSet<u32> =
            calls.map(|call| if has_windows { windows_before(call) } else { 0 }).collect();
        if numbers.is_empty() { [0].into() } else { numbers }
    }

    /// Returns the range with `windows` windows before its start, or after its end if times
    /// descend.
    fn range_with(&self, windows: i64) -> TimeRange {
        let ns = self.facts.interval.every_ns.saturating_mul(windows);
        let all = TimeRange::new(MIN_TIME_NS, MAX_TIME_NS.saturating_add(1));
        extended(self.range, ns, self.direction).intersect(&all)
    }

    fn check_subqueries(&mut self, shared: &mut Shared) -> Result<()> {
        let numbers = self.windows_before_range();
        let select = self.select;
        for source in &select.sources {
            let Source::Subquery(inner) = source else { continue };
            for &windows_before in &numbers {
                let compilations = self.compilations.saturating_mul(numbers.len() as u32);
                if compilations > SUBQUERY_COMPILATIONS_MAX {
                    return Err(QueryError::Readings { limit: SUBQUERY_COMPILATIONS_MAX });
                }
                let inner = check(inner, shared, Some((&*self, windows_before, compilations)))?;
                self.subqueries.push(inner);
            }
        }
        Ok(())
    }

    pub(crate) fn has_lower_bound(&self) -> bool {
        self.range.start_ns > MIN_TIME_NS
    }
}

/// Checks `select`. For a subquery, `outer` contains the outer statement, the number of windows
/// that the outer functions read before their range, and the number of executions.
pub(crate) fn check<'a>(
    select: &'a SelectStatement,
    shared: &mut Shared,
    outer: Option<(&CheckedSelect<'_>, u32, u32)>,
) -> Result<CheckedSelect<'a>> {
    shared.add_parts(select, outer.is_some())?;
    let now_ns = shared.now_ns;
    let zone = select.timezone.as_deref().map(|name| shared.zone(name)).transpose()?;
    let context = FoldContext { now_ns: Some(now_ns), math: false, zone: zone.as_ref() };
    let (condition, bounds) = time_range::split(select.condition.as_ref(), context)?;
    if let Some(condition) = &condition {
        check_condition(condition)?;
    }
    let mut facts = StatementCheck {
        interval: dimensions::check(select, now_ns, zone.as_ref())?,
        only_selectors: true,
        nested: outer.is_some(),
        limit: select.limit,
        has_target: select.into.is_some(),
        ..StatementCheck::default()
    };
    let has_windows = !facts.interval.is_zero();
    let mut range = TimeRange::new(
        bounds.min_ns.unwrap_or(MIN_TIME_NS),
        bounds.max_ns.unwrap_or(MAX_TIME_NS).saturating_add(1),
    );
    let mut fill = select.fill;
    // With INTO, empty windows produce neither nulls nor zero counts.
    if select.into.is_some() && fill == Fill::Null {
        fill = Fill::None;
    }
    let mut direction = Direction::descending_if(select.descending());
    let mut floor = TimeRange::ALL;
    if let Some((outer, windows_before, _)) = outer {
        floor = outer.floor;
        if select.order.is_some() && direction != outer.direction {
            return invalid("subqueries must be ordered in the same direction as the query itself");
        }
        direction = outer.direction;
        range = range.intersect(&outer.range_with(windows_before.into()));
        if facts.interval.is_zero() && !outer.facts.interval.is_zero() {
            facts.interval = outer.facts.interval;
            facts.inherited_interval = true;
        }
        if !facts.interval.is_zero() && fill == Fill::Null {
            fill = Fill::None;
        }
    }
    // As in 1.x, the current time also replaces a subquery's own bound at the last permitted time,
    // but not such a bound of the outermost statement.
    let is_bound = outer.is_none() && bounds.max_ns.is_some();
    if has_windows && !is_bound && range.end_ns > MAX_TIME_NS {
        range.end_ns = now_ns.saturating_add(1);
    }
    let fields = fields::check(select, &mut facts)?;
    let mut checked = CheckedSelect {
        select,
        condition,
        range,
        floor,
        fields,
        facts,
        fill,
        direction,
        windows_before: outer.map_or(0, |(_, windows_before, _)| windows_before),
        compilations: outer.map_or(1, |(_, _, compilations)| compilations),
        zone,
        subqueries: Vec::new(),
    };
    if outer.is_none() {
        let extra = checked.facts.extra_intervals;
        // In 1.x, the start of the range overflows, and 1.x then reads no points.
        let overflows =
            has_windows && !direction.is_descending() && extra > 0 && !checked.has_lower_bound();
        checked.floor = if overflows { TimeRange::new(0, 0) } else { checked.range_with(extra) };
    }
    checked.check_subqueries(shared)?;
    Ok(checked)
}

/// Returns the number of windows that nested calls read before the range. Each transformation reads
/// another window (1.x `buildExprIterator`).
fn windows_before(call: &Expr) -> u32 {
    let Expr::Call { name, args } = call else { return 0 };
    u32::from(transforms::reads_window_before(name)) + args.first().map_or(0, windows_before)
}

/// Returns the outermost calls, except mathematical functions.
fn calls_of(expr: &Expr) -> Vec<&Expr> {
    match expr {
        Expr::Call { name, .. } if MathFunction::named(name).is_none() => vec![expr],
        _ => operands(expr).flat_map(calls_of).collect(),
    }
}

/// Checks that WHERE calls only mathematical functions (1.x `validateCondition`). Also checks that
/// the right side of a regex operator is a regex; on any other right side, 1.x panics.
fn check_condition(expr: &Expr) -> Result<()> {
    match expr {
        Expr::Binary { op: BinaryOp::EqRegex | BinaryOp::NeRegex, right, .. }
            if !matches!(**right, Expr::Regex(_)) =>
        {
            return invalid(format!(
                "likely malformed statement, unable to rewrite: interface conversion: \
                 influxql.Expr is {}, not *influxql.RegexLiteral",
                right.go_type_name()
            ));
        }
        Expr::Call { name, .. } if MathFunction::named(name).is_none() => {
            return invalid(format!("invalid function call in condition: {expr}"));
        }
        // In WHERE, 1.x expects one argument for log(), although log() has two parameters.
        Expr::Call { name, args } if name == "log" => arguments::count_is(name, args, 1)?,
        Expr::Call { name, args } => arguments::check_numbers(name, args)?,
        _ => {}
    }
    operands(expr).try_for_each(check_condition)
}
