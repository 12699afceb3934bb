//! Plans a SHOW statement: determines the shards to call.

use super::shard_pages::{Merge, PlannedRun, QueryRun, ReadCounts};
use super::sources::{counts, shards_of};
use crate::admission::QueryReservation;
use crate::coordinator::load_schemas::Loaded;
use crate::coordinator::session::Session;
use crate::influxql::ast::Statement;
use crate::model::grant::Scope;
use crate::model::schema::PolicySchema;
use crate::query::error::QueryError;
use crate::query::metadata::{self, MetaContext, MetaExecutor, MetaPolicy};

pub(super) fn plan_show(
    statement: &Statement,
    loaded: &[Loaded],
    session: &Session,
    scope: &Scope,
    reservation: &QueryReservation,
    now_ns: i64,
) -> Result<PlannedRun, QueryError> {
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
    let default = loaded.description.default_policy;
    let default = loaded.description.policies.iter().find(|policy| Some(policy.id) == default);
    let context = MetaContext {
        policies: &policies,
        default_policy: default.map_or("", |policy| &policy.name),
        defaults: session.defaults(),
        now_ns: session.now_ns,
    };
    let mut plan = metadata::compile(statement, &context)?;
    let mut streams = Vec::with_capacity(plan.scans.len());
    let is_alone = plan.scans.len() == 1;
    for scan in &mut plan.scans {
        let policy = loaded.description.policies.iter().find(|policy| policy.name == scan.policy);
        let kept_from_ns = policy.filter(|policy| policy.duration_ns > 0);
        scan.request.kept_from_ns = kept_from_ns.map(|policy| policy.oldest_kept_ns(now_ns));
        let groups = policy.into_iter().flat_map(|policy| &policy.groups);
        if is_alone && groups.filter(|g| g.range.overlaps(&scan.request.time)).count() <= 1 {
            scan.is_disjoint();
        }
        let shards = policy.map(|policy| shards_of(loaded, policy, scan.request.time));
        streams.push(shards.unwrap_or_default());
    }
    // A policy has no scan if the cache contains no measurement of the policy. Only the policy's
    // owner knows measurements that are missing in the cache.
    let scanned = |id| {
        let policy = loaded.description.policies.iter().find(|policy| policy.id == id);
        policy.is_some_and(|policy| plan.scans.iter().any(|scan| scan.policy == policy.name))
    };
    let reads_all_shards = loaded.schemas.iter().all(|(id, _)| scanned(*id));
    let merge = Merge::Summaries(Box::new(MetaExecutor::new(plan, &counts(&streams), reservation)));
    let reads = ReadCounts::new([u64::MAX; 2], None);
    let run = QueryRun { merge, streams, explain: None, reads };
    Ok(PlannedRun { run, reads_all_shards, columns: None })
}
