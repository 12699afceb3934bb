//! Plans a SELECT or SHOW: compiles the statement against the schemas of its policies, and
//! determines the shards of each scan. If measurements have conflicting types, a search before the
//! plan finds the measurements with rows ([`compile::clashing`]).

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use super::shard_pages::{Merge, PlanPages, QueryRun, ReadCounts, ScanStreams};
use super::{ExplainKind, Query};
use crate::Io;
use crate::cache::find_policy;
use crate::error::Result;
use crate::explain::Explain;
use crate::load_schemas::Loaded;
use crate::session::Session;
use tidemark_engine::protocol::shard::Stamp;
use tidemark_engine::scan::request::{Output, Predicate, ScanRequest};
use tidemark_influxql::ast::{NamePattern, SelectStatement, ShowMeasurementsStatement, Statement};
use tidemark_model::configurable_limits::Limit;
use tidemark_model::grant::Scope;
use tidemark_model::ids::ObjectId;
use tidemark_model::limits::{SHARDS_REQUESTED_AT_ONCE_MAX, UNLIMITED};
use tidemark_model::schema::PolicySchema;
use tidemark_model::shard_map::Policy;
use tidemark_model::time::TimeRange;
use tidemark_query::admission::QueryReservation;
use tidemark_query::compile::{self, ClashPosition, PolicyView};
use tidemark_query::error::QueryError;
use tidemark_query::executor::Executor;
use tidemark_query::metadata::{self, MetaContext, MetaExecutor, MetaPolicy};
use tidemark_query::plan::PlannedScan;
use tidemark_query::result::SeriesChunk;
use tidemark_query::source::SourceName;
use tidemark_query::work::Work;

/// The work of planning the shards of a scan, in addition to one unit for each shard and policy.
const SCAN_WORK: usize = 5;

/// `empty` contains the measurements without rows, if they are known. Awaits only [`Work::spend`].
pub(super) async fn plan_select(
    query: &Query,
    select: &SelectStatement,
    io: &Io,
    selected: &[SelectedPolicy<'_>],
    empty: Option<&BTreeSet<ClashPosition>>,
    reservation: &QueryReservation,
) -> Result<QueryRun> {
    let Query { session, explain, after, .. } = query;
    let work = &session.work;
    let (limits, now_ns) =
        io.with(|context| (context.platform.limits(), context.platform.now_ns()))?;
    let schemas = schemas(selected, empty);
    let policies = views(selected, &schemas, now_ns);
    let compiled = compile::Context {
        defaults: session.defaults(),
        now_ns: session.now_ns,
        limits,
        policies: &policies,
    };
    let plan = compile::compile_in_turns(select, &compiled, work).await?;
    let source = |scan: &PlannedScan| selected.iter().find(|of| *of.name == scan.source);
    let max = [Limit::Series, Limit::Points].map(|limit| limits.get(limit) as u64);
    let counts_series = explain.is_none() && max[0] < u64::from(UNLIMITED);
    let mut streams = ScanStreams::new(reservation, explain.is_some() || counts_series);
    for scan in &plan.scans {
        let shards = source(scan).map(|of| shards_of(of.loaded, of.policy, scan.request.time));
        let shards = shards.unwrap_or_default();
        work.spend(SCAN_WORK + selected.len() + shards.len()).await;
        streams.add_scan(shards)?;
    }
    // With several policies, the executor may return rows before it has read a page of each policy.
    let reads_all_shards = selected.len() == 1 && streams.lists.iter().any(|list| !list.is_empty());
    let counts = streams.counts();
    let schema_of = |scan: &PlannedScan| {
        source(scan).and_then(|of| of.loaded.policy()).map(|(_, schema)| schema.as_ref())
    };
    let explained = match *explain {
        Some(kind) => {
            // The planning ends here.
            let (text, planned_ns) = (select.to_string(), io.now_ns()?);
            let analyze = kind == ExplainKind::Analyze;
            let explain =
                Explain::new(analyze, text, &plan, &schema_of, &counts, planned_ns, work).await;
            Some(Box::new(explain))
        }
        None => None,
    };
    let columns = explain.is_none().then(|| plan.result_columns());
    let reads_rows = *explain != Some(ExplainKind::Plan);
    let mut requests = Vec::new();
    if !reads_rows || counts_series {
        for scan in &plan.scans {
            work.spend(scan.request.predicate.as_ref().map_or(1, conditions)).await;
            requests.push(plan_request(&scan.request));
        }
    }
    let executor = reads_rows.then(|| {
        let mut executor = Box::new(Executor::new(plan, &counts, reservation, &session.work));
        if let Some(row) = after {
            executor.begin_after(row);
        }
        executor
    });
    let merge = match executor {
        Some(executor) if !counts_series => Merge::Rows(executor),
        // As in 1.x, a query with too many series reads no rows.
        executor => Merge::Plan(PlanPages::new(requests, &counts, executor)),
    };
    let reads = ReadCounts::new(max);
    Ok(QueryRun { merge, streams, explain: explained, reads, reads_all_shards, columns })
}

/// Returns the number of conditions and operators in `predicate`.
fn conditions(predicate: &Predicate) -> usize {
    match predicate {
        Predicate::And(a, b) | Predicate::Or(a, b) | Predicate::Differ(a, b) => {
            1 + conditions(a) + conditions(b)
        }
        _ => 1,
    }
}

/// Returns the request for the plan of a scan. A shard reads no columns for the plan.
fn plan_request(request: &ScanRequest) -> ScanRequest {
    let &ScanRequest { measurement, time, direction, page_bytes, .. } = request;
    let predicate = request.predicate.clone();
    let (fields, tags) = (Vec::new(), Vec::new());
    let output = Output::Rows { fields, tags, limit: None, every_row: false };
    let all = ScanRequest::new(measurement, output);
    ScanRequest { time, predicate, direction, page_bytes, ..all }
}

/// Awaits only [`Work::spend`].
pub(super) async fn plan_show(
    statement: &Statement,
    loaded: &[Loaded],
    session: &Session,
    scope: &Scope,
    reservation: &QueryReservation,
    now_ns: i64,
) -> Result<QueryRun, QueryError> {
    let loaded: &Loaded = loaded.first().ok_or(QueryError::DatabaseRequired)?;
    let unreadable = PolicySchema::default();
    let mut policies = Vec::new();
    for (id, schema) in &loaded.schemas {
        let policy = loaded.description.policies.iter().find(|policy| policy.id == *id);
        policies.extend(policy.map(|policy| MetaPolicy {
            name: policy.name.clone(),
            // An unreadable policy is treated as empty.
            schema: if scope.covers(&policy.name) { schema.as_ref() } else { &unreadable },
            group_duration_ns: policy.shard_group_duration_ns,
        }));
    }
    let default = find_policy(&loaded.description, None);
    let context = MetaContext {
        policies: &policies,
        default_policy: default
            .map(|policy| policy.name.as_str())
            .or(loaded.description.dropped_default.as_deref())
            .unwrap_or_default(),
        defaults: session.defaults(),
        now_ns: session.now_ns,
    };
    let mut plan = metadata::compile_in_turns(statement, &context, &session.work).await?;
    let mut streams = ScanStreams::new(reservation, false);
    let first = plan.scans.first().map(|scan| scan.policy.clone());
    let is_alone = plan.scans.iter().all(|scan| Some(&scan.policy) == first.as_ref());
    for scan in &mut plan.scans {
        let policy = loaded.description.policies.iter().find(|policy| policy.name == scan.policy);
        let kept_from_ns = policy.filter(|policy| policy.duration_ns > 0);
        scan.request.kept_from_ns = kept_from_ns.map(|policy| policy.oldest_kept_ns(now_ns));
        let groups = policy.into_iter().flat_map(|policy| &policy.groups);
        if is_alone && groups.filter(|g| g.range.overlaps(&scan.request.time)).count() <= 1 {
            scan.is_disjoint();
        }
        let shards = policy.map(|policy| shards_of(loaded, policy, scan.request.time));
        streams.add_scan(shards.unwrap_or_default())?;
    }
    // A policy has no scan if the cached schema contains no measurement of the policy. Then no
    // shard can report that the cache is outdated, and only the Database knows newer measurements.
    // After a new policy was created, only the last group of one other policy reports this.
    let scanned = |id| {
        let policy = loaded.description.policies.iter().find(|policy| policy.id == id);
        policy.is_some_and(|policy| {
            let last = policy.groups.last().map(|group| group.range);
            plan.scans.iter().any(|scan| {
                scan.policy == policy.name
                    && last.is_some_and(|last| last.overlaps(&scan.request.time))
            })
        })
    };
    // The executor requests a page of these shards before it returns rows.
    let shards: usize = streams.lists.iter().map(|shards| shards.len()).sum();
    let is_short = is_alone || shards <= SHARDS_REQUESTED_AT_ONCE_MAX;
    let reads_all_shards = is_short && loaded.schemas.iter().all(|(id, _)| scanned(*id));
    let executor = MetaExecutor::new(plan, &streams.counts(), reservation, &session.work);
    let merge = Merge::Summaries(Box::new(executor));
    let reads = ReadCounts::new([u64::MAX; 2]);
    Ok(QueryRun { merge, streams, explain: None, reads, reads_all_shards, columns: None })
}

/// Returns the run that finds the measurements with rows, and the measurements to find; `None` if
/// no measurement has conflicting types. Awaits only [`Work::spend`].
pub(super) async fn plan_search(
    select: &SelectStatement,
    session: &Session,
    selected: &[SelectedPolicy<'_>],
    reservation: &QueryReservation,
    now_ns: i64,
) -> Result<Option<(QueryRun, BTreeSet<ClashPosition>)>, QueryError> {
    let schemas = schemas(selected, None);
    let policies = views(selected, &schemas, now_ns);
    let clashing = compile::clashing(select, session.defaults(), &policies, &session.work).await;
    if clashing.is_empty() {
        return Ok(None);
    }
    let run = list_nonempty(&clashing, selected, reservation, &session.work, now_ns)?;
    Ok(Some((run, clashing.into_iter().collect())))
}

/// Removes the measurements for which the shards reported rows.
pub(super) fn remove_nonempty(clashes: &mut BTreeSet<ClashPosition>, chunk: &SeriesChunk) {
    for row in chunk.strings() {
        let Ok([name, _, position]) = <[String; 3]>::try_from(row) else { continue };
        if let Ok(position) = position.parse() {
            clashes.remove(&(position, name));
        }
    }
}

/// Returns the schemas without the measurements in `empty`.
pub(super) fn schemas(
    selected: &[SelectedPolicy<'_>],
    empty: Option<&BTreeSet<ClashPosition>>,
) -> Vec<Rc<PolicySchema>> {
    let schemas = selected.iter().filter_map(|of| Some(of.loaded.policy()?.1));
    let schemas = schemas.enumerate().map(|(position, schema)| {
        let own = || empty.into_iter().flatten().filter(|place| place.0 == position);
        if own().next().is_none() {
            return Rc::clone(schema);
        }
        let mut schema = PolicySchema::clone(schema);
        own().for_each(|(_, name)| drop(schema.measurements.remove(name)));
        Rc::new(schema)
    });
    schemas.collect()
}

fn views<'a>(
    selected: &[SelectedPolicy<'_>],
    schemas: &'a [Rc<PolicySchema>],
    now_ns: i64,
) -> Vec<PolicyView<'a>> {
    let view = |(of, schema): (&SelectedPolicy<'_>, &'a Rc<PolicySchema>)| PolicyView {
        name: of.name.clone(),
        schema,
        oldest_kept_ns: of.policy.oldest_kept_ns(now_ns),
    };
    selected.iter().zip(schemas).map(view).collect()
}

/// Creates a query that lists the measurements with rows. The position of each policy serves as the
/// policy's name.
fn list_nonempty(
    clashes: &[ClashPosition],
    selected: &[SelectedPolicy<'_>],
    reservation: &QueryReservation,
    work: &Work,
    now_ns: i64,
) -> Result<QueryRun, QueryError> {
    let mut schemas = vec![PolicySchema::default(); selected.len()];
    for (position, name) in clashes {
        let known = selected.get(*position).and_then(|of| of.loaded.policy());
        let known = known.and_then(|(_, schema)| schema.measurements.get(name));
        if let (Some(known), Some(schema)) = (known, schemas.get_mut(*position)) {
            schema.measurements.insert(name.clone(), Arc::clone(known));
        }
    }
    let policies: Vec<MetaPolicy<'_>> = (selected.iter().zip(&schemas).enumerate())
        .map(|(position, (of, schema))| MetaPolicy {
            name: position.to_string(),
            schema,
            group_duration_ns: of.policy.shard_group_duration_ns,
        })
        .collect();
    let show = Statement::ShowMeasurements(Box::new(ShowMeasurementsStatement {
        database: NamePattern::Name(String::new()),
        policy: NamePattern::All,
        measurement: None,
        condition: None,
        order: None,
        limit: 0,
        offset: 0,
    }));
    let defaults = Default::default();
    let context = MetaContext { policies: &policies, default_policy: "", defaults, now_ns };
    let mut plan = metadata::compile(&show, &context)?;
    let mut streams = ScanStreams::new(reservation, false);
    for scan in &mut plan.scans {
        let of_scan = scan.policy.parse().ok().and_then(|position: usize| selected.get(position));
        let Some(SelectedPolicy { loaded, policy, .. }) = of_scan else { continue };
        let expires = policy.duration_ns > 0;
        scan.request.kept_from_ns = expires.then(|| policy.oldest_kept_ns(now_ns));
        streams.add_scan(shards_of(loaded, policy, scan.request.time))?;
    }
    let executor = MetaExecutor::new(plan, &streams.counts(), reservation, work);
    let merge = Merge::Summaries(Box::new(executor));
    let reads = ReadCounts::new([u64::MAX; 2]);
    // This plan need not detect an outdated cache, because the shards of the following plan do.
    let reads_all_shards = false;
    Ok(QueryRun { merge, streams, explain: None, reads, reads_all_shards, columns: None })
}

pub(super) struct SelectedPolicy<'l> {
    /// The name, as spelled in the statement.
    pub(super) name: &'l SourceName,
    pub(super) loaded: &'l Loaded,
    pub(super) policy: &'l Policy,
}

pub(super) fn selected_policies<'l>(
    sources: &'l [SourceName],
    loaded: &'l [Loaded],
) -> Vec<SelectedPolicy<'l>> {
    let selected = |(name, loaded): (&'l SourceName, &'l Loaded)| {
        let (policy, _) = loaded.policy()?;
        Some(SelectedPolicy { name, loaded, policy })
    };
    sources.iter().zip(loaded).filter_map(selected).collect()
}

/// Returns every shard of `policy` that may contain rows within `time`, with the stamp of the
/// loaded state.
pub(crate) fn shards_of(
    loaded: &Loaded,
    policy: &Policy,
    time: TimeRange,
) -> Vec<(ObjectId, Stamp)> {
    let stamp = loaded.stamp(policy.id);
    let groups = policy.groups.iter().filter(|group| group.range.overlaps(&time));
    let stamped = groups.flat_map(|group| {
        let stamp = Stamp { meter: loaded.meter(group.shards.len()), ..stamp };
        group.shards.iter().map(move |shard| (shard.clone(), stamp))
    });
    stamped.collect()
}
