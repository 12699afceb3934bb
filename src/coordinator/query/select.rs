//! Plans a SELECT: compiles it against the schemas of its policies, and determines the shards of
//! each scan.

use std::collections::BTreeSet;

use super::nonempty_measurements::{schemas, views};
use super::shard_pages::{Merge, PlanPages, PlannedRun, QueryRun, ReadCounts};
use super::sources::{SelectedPolicy, counts, shards_of};
use crate::admission::QueryReservation;
use crate::coordinator::Context;
use crate::coordinator::explain::Explain;
use crate::coordinator::session::Session;
use crate::influxql::ast::SelectStatement;
use crate::model::configurable_limits::Limit;
use crate::model::limits::UNLIMITED;
use crate::query::compile::{self, ClashPosition};
use crate::query::error::QueryError;
use crate::query::executor::{Executor, RowPosition};
use crate::query::plan::PlannedScan;

pub(super) struct SelectPlanner<'a> {
    pub(super) context: &'a Context<'a>,
    pub(super) select: &'a SelectStatement,
    pub(super) session: &'a Session,
    pub(super) explain: Option<bool>,
    /// The measurements without rows, if they are known.
    pub(super) empty: Option<&'a BTreeSet<ClashPosition>>,
    pub(super) after: Option<&'a RowPosition>,
    pub(super) reservation: &'a QueryReservation,
}

impl SelectPlanner<'_> {
    pub(super) fn plan(&self, selected: &[SelectedPolicy<'_>]) -> Result<PlannedRun, QueryError> {
        let schemas = schemas(selected, self.empty);
        let platform = self.context.platform;
        let policies = views(selected, &schemas, platform.now_ns());
        let plan = compile::compile(
            self.select,
            &compile::Context {
                defaults: self.session.defaults(),
                now_ns: self.session.now_ns,
                limits: platform.limits(),
                policies: &policies,
            },
        )?;
        self.session.work.add(plan.work);
        let mut requested = vec![false; selected.len()];
        let mut streams = Vec::with_capacity(plan.scans.len());
        for scan in &plan.scans {
            let position = selected.iter().position(|of| of.name == scan.source);
            let source = position.and_then(|position| selected.get(position));
            let shards = source.map(|of| shards_of(of.loaded, of.policy, scan.request.time));
            let shards = shards.unwrap_or_default();
            if let Some(requested) = position.and_then(|position| requested.get_mut(position)) {
                *requested |= !shards.is_empty();
            }
            streams.push(shards);
        }
        let explain = self.explain.map(|analyze| {
            let schema_of = |scan: &PlannedScan| {
                let source = selected.iter().find(|of| of.name == scan.source);
                source.and_then(|of| of.loaded.policy()).map(|(_, schema)| schema.as_ref())
            };
            let now_ns = platform.now_ns();
            let text = self.select.to_string();
            Box::new(Explain::new(analyze, text, &plan, &schema_of, &counts(&streams), now_ns))
        });
        let limits = platform.limits();
        let limits = [Limit::Series, Limit::Points].map(|limit| limits.get(limit) as u64);
        let columns = self.explain.is_none().then(|| plan.result_columns());
        let (mut merge, mut afterwards) = (None, None);
        if self.explain == Some(false)
            || (self.explain.is_none() && limits[0] < u64::from(UNLIMITED))
        {
            let requests = plan.scans.iter().map(|scan| scan.request.clone()).collect();
            merge = Some(Merge::Plan(PlanPages::new(requests, &counts(&streams))));
        }
        if self.explain != Some(false) {
            let mut executor = Box::new(Executor::new(
                plan,
                &counts(&streams),
                self.reservation,
                &self.session.work,
            ));
            if let Some(row) = self.after {
                executor.begin_after(row);
            }
            match merge {
                // As in 1.x, a query with too many series reads no rows.
                Some(_) => afterwards = Some(executor),
                None => merge = Some(Merge::Rows(executor)),
            }
        }
        let merge = merge.unwrap_or(Merge::Plan(PlanPages::default()));
        let reads = ReadCounts::new(limits, afterwards);
        let run = QueryRun { merge, streams, explain, reads };
        Ok(PlannedRun {
            run,
            reads_all_shards: requested.into_iter().all(|requested| requested),
            columns,
        })
    }
}
