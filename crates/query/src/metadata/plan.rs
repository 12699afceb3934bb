//! Lowers a SHOW statement to requests for summaries. A new SHOW statement about stored data needs
//! a [`Render`] and an arm of `read` in this module.

use std::rc::Rc;
use std::sync::Arc;

use super::cardinality::CardinalityCount;
use super::condition::{self, ConditionUse};
use super::name_filter::{KeyFilter, MeasurementFilter, NameTest, SourceTests};
use super::names::ColumnNames;
use super::render::Render;
use crate::compile::{condition_entries, has_time, split_time};
use crate::error::{QueryError, Result, invalid};
use crate::source::{Defaults, check_name};
use crate::work::{Work, complete};
use tidemark_engine::scan::request::{SummaryRequest, SummaryWant};
use tidemark_influxql::ast::{Expr, ListOf, Measurement, NamePattern, Source, Statement};
use tidemark_model::limits::{PAGE_BYTES_MAX, PLAN_ENTRIES_MAX, WORK_PER_NAME};
use tidemark_model::regex::{Patterns, RegexWork};
use tidemark_model::schema::{MeasurementSchema, PolicySchema};
use tidemark_model::time::{TimeRange, past_truncated_ns};

/// The maximum number of entries of the conditions in a scan of several measurements, as in
/// `PLAN_ENTRIES_MAX`.
const SCAN_ENTRIES_MAX: usize = 30_000;

/// The database that a SHOW statement reads.
#[derive(Debug)]
pub struct MetaContext<'a> {
    /// All policies of the database.
    pub policies: &'a [MetaPolicy<'a>],
    /// The name of the default policy, or of the last default policy if it was dropped.
    pub default_policy: &'a str,
    /// The request's `db` and `rp`.
    pub defaults: Defaults<'a>,
    /// The value of `now()`, in nanoseconds.
    pub now_ns: i64,
}

/// One policy of the database.
#[derive(Debug)]
pub struct MetaPolicy<'a> {
    /// The policy's name.
    pub name: String,
    /// The policy's measurements.
    pub schema: &'a PolicySchema,
    /// 1.x's shard group duration, in nanoseconds.
    pub group_duration_ns: i64,
}

/// A SHOW statement that is ready for execution.
#[derive(Clone, Debug)]
pub struct MetaPlan {
    /// The scans of the plan. Each scan is sent to every shard of the scan's policy, and lists
    /// measurements in ascending order of name.
    pub scans: Vec<MetaScan>,
    pub(super) render: Render,
    /// The work of the regexes in `render`. If it exceeds its limit, a result may be wrong.
    pub(super) regex_work: RegexWork,
    pub(super) limit: u64,
    pub(super) offset: u64,
}

/// A request for summaries of a policy, or of some of its measurements. The request is sent to each
/// of the policy's shards.
#[derive(Clone, Debug)]
pub struct MetaScan {
    /// The policy's name.
    pub policy: String,
    /// The request, without a resume key.
    pub request: SummaryRequest,
    pub(super) column_names: Vec<ColumnNames>,
    /// The measurements and the entries of their conditions.
    pub(super) entries: usize,
}

impl MetaPlan {
    /// Returns the number of rows that the result needs from each measurement, or `None` for all.
    pub(super) fn keep(&self) -> Option<usize> {
        match self.render {
            Render::Measurements(..) | Render::Count(_) => None,
            _ => keep(self.limit, self.offset),
        }
    }
}

impl MetaScan {
    /// Records that each series is stored in only one shard and occurs in only one scan.
    pub fn is_disjoint(&mut self) {
        if let SummaryWant::SeriesHashes { count_only, .. } = &mut self.request.want {
            *count_only = true;
        }
    }
}

struct ShowClauses<'a> {
    sources: &'a [Source],
    measurement: Option<&'a Measurement>,
    condition: Option<&'a Expr>,
    one_policy: bool,
    /// The policies of the ON clause.
    policy: &'a NamePattern,
    dimensions: &'a [Expr],
    limit: u64,
    offset: u64,
    regex_work: RegexWork,
}

/// Lowers a SHOW statement that [`super::database`] supports, without a pause.
///
/// # Errors
/// [`QueryError::Invalid`] with 1.x's text.
pub fn compile(statement: &Statement, context: &MetaContext<'_>) -> Result<MetaPlan> {
    let work = Work::default();
    complete(compile_in_turns(statement, context, &work), &work)
}

/// Lowers a SHOW statement like [`compile`], and awaits only [`Work::spend`].
pub async fn compile_in_turns(
    statement: &Statement,
    context: &MetaContext<'_>,
    work: &Work,
) -> Result<MetaPlan> {
    let (show, render) = read(statement, context)?;
    plan(&show, render, context, work).await
}

/// Returns the policies that FROM names.
pub(super) fn written_policies(sources: &[Source]) -> impl Iterator<Item = &str> {
    sources.iter().filter_map(|source| match source {
        Source::Measurement(measurement) => measurement.policy.as_deref(),
        Source::Subquery(_) => None,
    })
}

fn read<'a>(
    statement: &'a Statement,
    context: &MetaContext<'_>,
) -> Result<(ShowClauses<'a>, Render)> {
    let patterns = Patterns::limited();
    let show = |sources, condition, one_policy, limit, offset| ShowClauses {
        sources,
        measurement: None,
        condition,
        one_policy,
        policy: &NamePattern::Absent,
        dimensions: &[],
        limit,
        offset,
        regex_work: patterns.work().clone(),
    };
    Ok(match statement {
        Statement::ShowMeasurements(s) => {
            let refusal = "SHOW MEASUREMENTS doesn't support time in WHERE clause";
            if s.condition.as_ref().is_some_and(has_time) {
                return invalid(refusal);
            }
            let (rest, bounds) = split_time(s.condition.as_ref(), context.now_ns)?;
            if bounds != TimeRange::ALL {
                return invalid(refusal);
            }
            let filter = rest.as_ref().map(|rest| MeasurementFilter::new(rest, &patterns));
            let filter = filter.transpose()?;
            let mut show = show(&[], None, false, s.limit, s.offset);
            show.measurement = s.measurement.as_ref();
            show.policy = &s.policy;
            let database = match (&s.policy, &s.database) {
                (NamePattern::Absent, _) => None,
                (_, NamePattern::Name(database)) => Some(database.clone()),
                _ => Some(context.defaults.database.unwrap_or("").to_owned()),
            };
            (show, Render::Measurements(filter, database))
        }
        Statement::ShowList(s) => {
            let (one_policy, render) = match &s.of {
                ListOf::Series => (true, Render::Series),
                ListOf::FieldKeys => (true, Render::FieldKeys),
                ListOf::TagKeys(keys) => {
                    let keys = keys.as_ref().map(|keys| KeyFilter::new(keys, &patterns));
                    (false, Render::TagKeys(keys.transpose()?))
                }
                ListOf::TagValues(keys) => {
                    (false, Render::TagValues(KeyFilter::new(keys, &patterns)?))
                }
            };
            (show(&s.sources, s.condition.as_ref(), one_policy, s.limit, s.offset), render)
        }
        Statement::ShowCardinality(s) => {
            for source in &s.sources {
                if let Source::Measurement(measurement) = source {
                    check_name(measurement)?;
                }
            }
            let count = CardinalityCount::new(s, &patterns)?;
            if s.condition.as_ref().is_some_and(has_time)
                && let Some(refusal) = count.refuses_time()
            {
                return invalid(refusal);
            }
            let one_policy = !count.is_estimate;
            let mut show = show(&s.sources, s.condition.as_ref(), one_policy, s.limit, s.offset);
            show.dimensions = &s.dimensions;
            (show, Render::Count(count))
        }
        other => return Err(QueryError::Unsupported(other.to_string())),
    })
}

async fn plan(
    show: &ShowClauses<'_>,
    mut render: Render,
    context: &MetaContext<'_>,
    work: &Work,
) -> Result<MetaPlan> {
    let (condition, time) = split_time(show.condition, context.now_ns)?;
    let mut chosen = chosen(show, context)?;
    let measurements: usize = chosen.iter().map(|(_, measurements)| measurements.len()).sum();
    // The condition is lowered once for each measurement.
    let of_condition = condition.as_ref().map_or(0, condition_entries);
    if measurements.saturating_mul(of_condition) > PLAN_ENTRIES_MAX {
        return Err(QueryError::PlanTooLarge);
    }
    if let Render::Count(count) = &mut render {
        if time != TimeRange::ALL {
            match count.refuses_time() {
                Some(text) => return invalid(text),
                None => chosen.clear(),
            }
        }
        let mut schemas = chosen.iter().flat_map(|(_, m)| m.iter().map(|schema| schema.as_ref()));
        count.expand(show.dimensions, &mut schemas)?;
    }
    let purpose = match &render {
        Render::Count(count) => count.purpose(),
        Render::Series => ConditionUse::Series,
        _ => ConditionUse::List,
    };
    let mut scans = Vec::new();
    for (policy, measurements) in chosen {
        let policy_name = Rc::from(policy.name.as_str());
        for measurements in measurements.chunks(measurements_per_scan(of_condition)) {
            let mut column_names = Vec::with_capacity(measurements.len());
            let mut predicates = Vec::with_capacity(measurements.len());
            for schema in measurements {
                column_names.push(ColumnNames::new(schema, &policy_name, |key| render.wants(key)));
                let lowered = condition.as_ref().map(|c| condition::lower(c, schema, purpose));
                predicates.push(lowered.transpose()?);
                work.spend(WORK_PER_NAME + of_condition).await;
            }
            let request = SummaryRequest {
                measurements: measurements.iter().map(|schema| schema.id).collect(),
                time: match render {
                    // 1.x reads series as rows at time 0.
                    Render::Series if time.end_ns <= 0 => TimeRange::new(0, 0),
                    _ => whole_groups(time, policy.group_duration_ns),
                },
                kept_from_ns: None,
                predicates,
                want: want(&render, &column_names),
                resume: None,
                page_bytes: PAGE_BYTES_MAX,
                items_max: match render {
                    // The shards return these names in approximately the order of the result.
                    Render::TagValues(_) | Render::Series => {
                        keep(show.limit, show.offset).map(|keep| keep as u64)
                    }
                    _ => None,
                },
            };
            let entries = measurements.len() * (1 + of_condition);
            scans.push(MetaScan { policy: policy.name.clone(), request, column_names, entries });
        }
    }
    let ShowClauses { limit, offset, .. } = *show;
    Ok(MetaPlan { scans, render, regex_work: show.regex_work.clone(), limit, offset })
}

/// Returns the number of measurements of one scan. Each page of a scan copies and encodes the
/// conditions of all its measurements without a pause, so a long condition is divided into several
/// scans.
fn measurements_per_scan(of_condition: usize) -> usize {
    SCAN_ENTRIES_MAX
        .checked_div(of_condition)
        .map_or(usize::MAX, |measurements| measurements.max(1))
}

/// Returns the number of rows that the result needs from a measurement, or `None` without LIMIT.
pub(super) fn keep(limit: u64, offset: u64) -> Option<usize> {
    (limit > 0).then(|| usize::try_from(limit.saturating_add(offset)).unwrap_or(usize::MAX))
}

/// Extends a range to full shard groups, as in 1.x. A group of a week begins on
/// Monday.
fn whole_groups(time: TimeRange, group_duration_ns: i64) -> TimeRange {
    let width_ns = group_duration_ns.max(1);
    let before = |time_ns: i64| time_ns.saturating_sub(past_truncated_ns(time_ns, width_ns));
    let end_ns = match time.end_ns.checked_sub(1) {
        Some(last_ns) => before(last_ns).saturating_add(width_ns),
        None => time.end_ns,
    };
    TimeRange { start_ns: before(time.start_ns), end_ns }
}

fn want(render: &Render, column_names: &[ColumnNames]) -> SummaryWant {
    let tags = || {
        column_names.iter().map(|names| names.tags.iter().map(|(id, _)| *id).collect()).collect()
    };
    match render {
        Render::Count(count) => count.want(tags(), column_names),
        Render::Measurements(None, _) => SummaryWant::Measurements,
        Render::Measurements(Some(_), _) | Render::TagValues(_) => SummaryWant::TagValues(tags()),
        Render::Series => SummaryWant::Series(tags()),
        Render::TagKeys(_) | Render::FieldKeys => SummaryWant::Columns,
    }
}

type Chosen<'a> = Vec<(&'a MetaPolicy<'a>, Vec<&'a Arc<MeasurementSchema>>)>;

/// Returns the policies to read, with the selected measurements of each policy.
fn chosen<'a>(show: &ShowClauses<'_>, context: &MetaContext<'a>) -> Result<Chosen<'a>> {
    let default = context.defaults.policy.unwrap_or(context.default_policy);
    let patterns = Patterns::limited();
    let names = SourceTests::new(show.sources, &patterns)?;
    let extra = show.measurement.map(|of| NameTest::of_measurement(of, &patterns));
    let extra = extra.transpose()?.flatten();
    let known = |policy: &str| context.policies.iter().any(|known| known.name == policy);
    if show.one_policy {
        let is_qualified = written_policies(show.sources).count() == show.sources.len();
        let needs_default = show.sources.is_empty() || !is_qualified;
        let mut needed = written_policies(show.sources).chain(needs_default.then_some(default));
        if let Some(unknown) = needed.find(|policy| !known(policy)) {
            return Err(QueryError::PolicyNotFound(unknown.to_owned()));
        }
    }
    let mut chosen = Chosen::new();
    for policy in context.policies {
        if matches!(show.policy, NamePattern::Name(name) if *name != policy.name) {
            continue;
        }
        let here =
            |written: Option<&str>| !show.one_policy || written.unwrap_or(default) == policy.name;
        let named = names.within(here);
        // As in 1.x, a list of empty names selects every measurement of the policy.
        let all = named.has_only_empty_names();
        let wanted = |name: &str| {
            let listed = if names.is_empty() { here(None) } else { all || named.accepts(name) };
            listed && extra.as_ref().is_none_or(|test| test.accepts(name))
        };
        let measurements: Vec<&Arc<MeasurementSchema>> = (policy.schema.measurements.iter())
            .filter(|(name, _)| wanted(name))
            .map(|(_, schema)| schema)
            .collect();
        if !measurements.is_empty() {
            chosen.push((policy, measurements));
        }
    }
    patterns.work().check()?;
    Ok(chosen)
}
