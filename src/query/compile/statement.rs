//! Checks a SELECT and its subqueries, without a schema (1.x `query.Compile`).

use super::arguments;
use super::dimensions;
use super::fields::{self, StatementCheck};
use super::fold::FoldContext;
use super::time_range;
use super::zone::Zone;
use crate::influxql::ast::{BinaryOp, Expr, Field, Fill, SelectStatement, Source};
use crate::model::limits::SUBQUERY_READINGS_MAX;
use crate::model::time::{MAX_TIME_NS, MIN_TIME_NS, TimeRange};
use crate::query::error::QueryError;
use crate::query::functions::Function;
use crate::query::transforms;

/// A SELECT that 1.x's compiler would accept.
#[derive(Debug)]
pub(crate) struct CheckedSelect<'a> {
    /// As written.
    pub(crate) select: &'a SelectStatement,
    /// WHERE without time, folded.
    pub(crate) condition: Option<Expr>,
    /// Times selected, narrowed by every outer statement.
    pub(crate) range: TimeRange,
    /// The times that the outermost statement reads at most: not even the window before a
    /// subquery's range is looked at outside of them (1.x `LocalShardMapping`).
    pub(crate) floor: TimeRange,
    /// Folded fields without `time`.
    pub(crate) fields: Vec<Field>,
    /// What the fields say.
    pub(crate) facts: StatementCheck,
    /// As it applies: a subquery's `null` is `none`.
    pub(crate) fill: Fill,
    /// Latest first; a subquery's is its outer statement's.
    pub(crate) descending: bool,
    /// It is a subquery.
    pub(crate) nested: bool,
    /// A subquery: for those functions around it that want the window before their range too,
    /// and so with that window; else for the others.
    pub(crate) before: bool,
    /// A subquery: how often its text is read. Functions of both kinds read it twice.
    pub(crate) readings: u32,
    /// `tz()`
    pub(crate) zone: Option<Zone>,
    /// The subqueries of FROM, in order, each as often as it is read.
    pub(crate) subqueries: Vec<CheckedSelect<'a>>,
}

impl CheckedSelect<'_> {
    /// Whether it reads nothing but subqueries.
    pub(crate) fn reads_only_subqueries(&self) -> bool {
        self.select.sources.iter().all(|source| matches!(source, Source::Subquery(_)))
    }

    /// What its subqueries are read for: functions that want the window before, or others.
    fn kinds(&self) -> Vec<bool> {
        let windows = !self.facts.interval.is_zero();
        let calls = self.fields.iter().flat_map(|field| calls_of(&field.expr));
        let mut kinds: Vec<bool> =
            calls.map(|name| windows && transforms::wants_window_before(name)).collect();
        kinds.sort_unstable();
        kinds.dedup();
        if kinds.is_empty() { vec![false] } else { kinds }
    }

    /// Its range with `windows` more, which come first.
    fn range_with(&self, windows: i64) -> TimeRange {
        let ns = self.facts.interval.every_ns.saturating_mul(windows);
        let TimeRange { mut start_ns, mut end_ns } = self.range;
        if self.descending {
            end_ns = end_ns.saturating_add(ns);
        } else {
            start_ns = start_ns.saturating_sub(ns);
        }
        let all = TimeRange::new(MIN_TIME_NS, MAX_TIME_NS.saturating_add(1));
        TimeRange::new(start_ns, end_ns).intersect(&all)
    }

    /// The times that a subquery may read for functions of that kind.
    fn range_for(&self, before: bool) -> TimeRange {
        self.range_with(i64::from(before)).intersect(&self.floor)
    }

    /// Checks the subqueries of FROM, each for what it is read for.
    fn check_subqueries(&mut self, now_ns: i64) -> Result<(), QueryError> {
        let kinds = self.kinds();
        let select = self.select;
        for source in &select.sources {
            let Source::Subquery(inner) = source else { continue };
            for &before in &kinds {
                let readings = self.readings.saturating_mul(kinds.len() as u32);
                if readings > SUBQUERY_READINGS_MAX {
                    return Err(QueryError::Readings { limit: SUBQUERY_READINGS_MAX });
                }
                let inner = check(inner, now_ns, Some((&*self, before, readings)))?;
                self.subqueries.push(inner);
            }
        }
        Ok(())
    }

    /// Whether the statement has a lower bound of time.
    pub(crate) fn has_lower_bound(&self) -> bool {
        self.range.start_ns > MIN_TIME_NS
    }
}

/// Checks `select`; `outer` is the statement that it is a subquery of, whether it is read for
/// functions that want the window before, and how often.
///
/// # Errors
/// [`QueryError::Invalid`] with 1.x's text, [`QueryError::Readings`].
pub(crate) fn check<'a>(
    select: &'a SelectStatement,
    now_ns: i64,
    outer: Option<(&CheckedSelect<'_>, bool, u32)>,
) -> Result<CheckedSelect<'a>, QueryError> {
    let zone = select.timezone.as_deref().map(Zone::find).transpose()?;
    let context = FoldContext { now_ns: Some(now_ns), math: false, zone: zone.as_ref() };
    let (condition, bounds) = time_range::split(select.condition.as_ref(), context)?;
    if let Some(condition) = &condition {
        check_condition(condition)?;
    }
    let mut facts = StatementCheck {
        interval: dimensions::check(select, now_ns, zone.as_ref())?,
        only_selectors: true,
        limit: select.limit,
        has_target: select.into.is_some(),
        ..StatementCheck::default()
    };
    let latest = if facts.interval.is_zero() { MAX_TIME_NS } else { now_ns };
    let mut range = TimeRange::new(
        bounds.min_ns.unwrap_or(MIN_TIME_NS),
        bounds.max_ns.unwrap_or(latest).saturating_add(1),
    );
    let mut fill = select.fill;
    // What is written is not filled with nulls, nor counts with zeros.
    if select.into.is_some() && fill == Fill::Null {
        fill = Fill::None;
    }
    let mut descending = select.descending();
    let mut floor = TimeRange::ALL;
    if let Some((outer, before, _)) = outer {
        floor =
            if outer.nested { outer.floor } else { outer.range_with(outer.facts.extra_intervals) };
        if select.order.is_some() && descending != outer.descending {
            return Err(QueryError::Invalid(
                "subqueries must be ordered in the same direction as the query itself".into(),
            ));
        }
        descending = outer.descending;
        range = range.intersect(&outer.range_for(before));
        if facts.interval.is_zero() && !outer.facts.interval.is_zero() {
            facts.interval = outer.facts.interval;
            facts.inherited_interval = true;
        }
        if !facts.interval.is_zero() && fill == Fill::Null {
            fill = Fill::None;
        }
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
        descending,
        nested: outer.is_some(),
        before: outer.is_some_and(|(_, before, _)| before),
        readings: outer.map_or(1, |(_, _, readings)| readings),
        zone,
        subqueries: Vec::new(),
    };
    checked.check_subqueries(now_ns)?;
    Ok(checked)
}

/// The outermost calls of an expression that are no mathematical functions.
fn calls_of(expr: &Expr) -> Vec<&str> {
    match expr {
        Expr::Call { name, args } if Function::mathematics(name).is_some() => {
            args.iter().flat_map(calls_of).collect()
        }
        Expr::Call { name, .. } => vec![name],
        Expr::Binary { left, right, .. } => {
            [left, right].into_iter().flat_map(|e| calls_of(e)).collect()
        }
        Expr::Paren(inner) => calls_of(inner),
        _ => Vec::new(),
    }
}

/// Only mathematical functions may be called in WHERE (1.x `validateCondition`), and a regex must
/// stand alone behind its operator (1.x panics on anything else while rewriting the condition).
fn check_condition(expr: &Expr) -> Result<(), QueryError> {
    match expr {
        Expr::Binary { op: BinaryOp::EqRegex | BinaryOp::NeRegex, right, .. }
            if !matches!(**right, Expr::Regex(_)) =>
        {
            Err(QueryError::Invalid(format!(
                "likely malformed statement, unable to rewrite: interface conversion: \
                 influxql.Expr is {}, not *influxql.RegexLiteral",
                right.go_type_name()
            )))
        }
        Expr::Binary { left, right, .. } => {
            check_condition(left)?;
            check_condition(right)
        }
        Expr::Paren(inner) => check_condition(inner),
        Expr::Call { name, args } => {
            if Function::mathematics(name).is_none() {
                return Err(QueryError::Invalid(format!(
                    "invalid function call in condition: {expr}"
                )));
            }
            // 1.x counts one argument for log() here, although it takes two.
            match name.as_str() {
                "log" => arguments::count_is(name, args, 1)?,
                _ => arguments::check_numbers(name, args)?,
            }
            args.iter().try_for_each(check_condition)
        }
        _ => Ok(()),
    }
}
