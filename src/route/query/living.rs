//! Which measurements have rows, where a SELECT's answer depends on it: asked of the shards before
//! the statement is compiled, and only of measurements whose types clash ([`compile::clashing`]).

use std::rc::Rc;
use std::sync::Arc;

use super::run::{Merge, Reads, Run};
use super::show::{counts, shards_of};
use super::{Found, Query, Question};
use crate::influxql::ast::{NamePattern, ShowMeasurementsStatement, Statement};
use crate::model::schema::PolicySchema;
use crate::query::compile::{self, ClashPlace, PolicyView};
use crate::query::error::QueryError;
use crate::query::metadata::{self, MetaContext, MetaExecutor, MetaPolicy};
use crate::query::result::SeriesChunk;
use crate::route::Context;
use crate::route::load::Loaded;

/// What is known of measurements whose types clash.
#[derive(Debug, Default)]
pub(super) enum Living {
    /// Nothing was asked.
    #[default]
    Unknown,
    /// The shards are being asked about these, of which those have rows that were learnt of.
    Asked(Vec<ClashPlace>),
    /// These have none.
    Known(Vec<ClashPlace>),
}

impl Living {
    /// Whether the answers of shards are about this.
    pub(super) fn is_asked(&self) -> bool {
        matches!(self, Self::Asked(_))
    }

    /// Takes in a piece of the list of those that have rows.
    pub(super) fn learn(&mut self, chunk: &SeriesChunk) {
        let Self::Asked(silent) = self else { return };
        for row in chunk.strings() {
            let [name, _, position] = row.as_slice() else { continue };
            silent.retain(|place| place.0.to_string() != *position || place.1 != *name);
        }
    }

    /// All that have rows were learnt of.
    pub(super) fn settle(&mut self) {
        if let Self::Asked(silent) = self {
            *self = Self::Known(std::mem::take(silent));
        }
    }

    /// The schemas of the policies without the measurements that have no rows.
    pub(super) fn schemas(&self, found: &[Found<'_>]) -> Vec<Rc<PolicySchema>> {
        let silent = match self {
            Self::Known(silent) => silent.as_slice(),
            Self::Unknown | Self::Asked(_) => &[],
        };
        let schemas = found.iter().filter_map(|(_, loaded, _)| Some(loaded.policy()?.1));
        let schemas = schemas.enumerate().map(|(position, schema)| {
            let own = || silent.iter().filter(|place| place.0 == position);
            if own().next().is_none() {
                return Rc::clone(schema);
            }
            let mut schema = PolicySchema::clone(schema);
            own().for_each(|(_, name)| drop(schema.measurements.remove(name)));
            Rc::new(schema)
        });
        schemas.collect()
    }
}

/// The policies as the planner sees them.
pub(super) fn views<'a>(
    found: &[Found<'_>],
    schemas: &'a [Rc<PolicySchema>],
    now_ns: i64,
) -> Vec<PolicyView<'a>> {
    let view = |((name, _, policy), schema): (&Found<'_>, &'a Rc<PolicySchema>)| PolicyView {
        name: name.clone(),
        schema,
        oldest_kept_ns: policy.oldest_kept_ns(now_ns),
    };
    found.iter().zip(schemas).map(view).collect()
}

impl Query {
    /// The run that asks which measurements have rows; `None` where that is known or of no matter.
    pub(super) fn survey(
        &mut self,
        context: &Context<'_>,
        loaded: &[Loaded],
    ) -> Option<Result<Box<Run>, QueryError>> {
        let (Question::Select(select), Living::Unknown) = (&self.question, &self.living) else {
            return None;
        };
        let found = self.found(loaded);
        let (schemas, now_ns) = (self.living.schemas(&found), context.platform.now_ns());
        let policies = views(&found, &schemas, now_ns);
        let clashing = compile::clashing(select, self.session.defaults(), &policies);
        if clashing.is_empty() {
            return None;
        }
        let run = ask(&clashing, &found, now_ns);
        self.living = Living::Asked(clashing);
        Some(run.map(Box::new))
    }
}

/// SHOW MEASUREMENTS of those places, each policy called by its position.
fn ask(places: &[ClashPlace], found: &[Found<'_>], now_ns: i64) -> Result<Run, QueryError> {
    let mut schemas = vec![PolicySchema::default(); found.len()];
    for (position, name) in places {
        let known = found.get(*position).and_then(|(_, loaded, _)| loaded.policy());
        let known = known.and_then(|(_, schema)| schema.measurements.get(name));
        if let (Some(known), Some(schema)) = (known, schemas.get_mut(*position)) {
            schema.measurements.insert(name.clone(), Arc::clone(known));
        }
    }
    let policies: Vec<MetaPolicy<'_>> = (found.iter().zip(&schemas).enumerate())
        .map(|(position, ((_, _, policy), schema))| MetaPolicy {
            name: position.to_string(),
            schema,
            group_duration_ns: policy.shard_group_duration_ns,
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
        let place = scan.policy.parse().ok().and_then(|position: usize| found.get(position));
        let Some((_, loaded, policy)) = place else { continue };
        let expires = policy.duration_ns > 0;
        scan.request.kept_from_ns = expires.then(|| policy.oldest_kept_ns(now_ns));
        streams.push(shards_of(loaded, policy, scan.request.time));
    }
    let merge = Merge::Summaries(Box::new(MetaExecutor::new(plan, &counts(&streams))));
    Ok(Run { merge, streams, explain: None, reads: Reads::new([u64::MAX; 2], None) })
}
