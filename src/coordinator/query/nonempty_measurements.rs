//! Determines which measurements have rows, before a SELECT is compiled. The module searches only
//! measurements with conflicting types ([`compile::clashing`]).

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use super::shard_pages::{Merge, QueryRun, ReadCounts};
use super::sources::{SelectedPolicy, counts, shards_of};
use crate::admission::QueryReservation;
use crate::coordinator::session::Session;
use crate::influxql::ast::{NamePattern, SelectStatement, ShowMeasurementsStatement, Statement};
use crate::model::schema::PolicySchema;
use crate::query::compile::{self, ClashPosition, PolicyView};
use crate::query::error::QueryError;
use crate::query::metadata::{self, MetaContext, MetaExecutor, MetaPolicy};
use crate::query::result::SeriesChunk;

/// Returns the run that finds the measurements with rows, and the measurements to find; `None` if no
/// measurement has conflicting types.
pub(super) fn survey(
    select: &SelectStatement,
    session: &Session,
    selected: &[SelectedPolicy<'_>],
    reservation: &QueryReservation,
    now_ns: i64,
) -> Result<Option<(QueryRun, BTreeSet<ClashPosition>)>, QueryError> {
    let schemas = schemas(selected, None);
    let policies = views(selected, &schemas, now_ns);
    let clashing = compile::clashing(select, session.defaults(), &policies);
    if clashing.is_empty() {
        return Ok(None);
    }
    let run = list_nonempty(&clashing, selected, reservation, now_ns)?;
    Ok(Some((run, clashing.into_iter().collect())))
}

/// Removes the measurements for which the shards reported rows.
pub(super) fn remove_nonempty(places: &mut BTreeSet<ClashPosition>, chunk: &SeriesChunk) {
    for row in chunk.strings() {
        let Ok([name, _, position]) = <[String; 3]>::try_from(row) else { continue };
        if let Ok(position) = position.parse() {
            places.remove(&(position, name));
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

pub(super) fn views<'a>(
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

/// The position of each policy serves as its name.
fn list_nonempty(
    places: &[ClashPosition],
    selected: &[SelectedPolicy<'_>],
    reservation: &QueryReservation,
    now_ns: i64,
) -> Result<QueryRun, QueryError> {
    let mut schemas = vec![PolicySchema::default(); selected.len()];
    for (position, name) in places {
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
    let mut streams = Vec::with_capacity(plan.scans.len());
    for scan in &mut plan.scans {
        let place = scan.policy.parse().ok().and_then(|position: usize| selected.get(position));
        let Some(SelectedPolicy { loaded, policy, .. }) = place else { continue };
        let expires = policy.duration_ns > 0;
        scan.request.kept_from_ns = expires.then(|| policy.oldest_kept_ns(now_ns));
        streams.push(shards_of(loaded, policy, scan.request.time));
    }
    let merge = Merge::Summaries(Box::new(MetaExecutor::new(plan, &counts(&streams), reservation)));
    Ok(QueryRun { merge, streams, explain: None, reads: ReadCounts::new([u64::MAX; 2], None) })
}
