//! A query's way in: its text, and whether all of its statements may run.

use super::entrance::Then;
use super::{Ceiling, Exchange, Service, State, Target};
use crate::api::action::Action;
use crate::api::error::ApiError;
use crate::api::form::QUERY_BODY_PER_TEXT;
use crate::api::params::QueryParams;
use crate::api::query::{self, Querying};
use crate::model::limit::Limit;
use crate::protocol::call::Platform;

impl Exchange {
    pub(super) fn begin_query(
        &mut self,
        service: &mut Service,
        platform: &dyn Platform,
    ) -> Result<Action, ApiError> {
        if self.head.method == "GET" {
            let params = QueryParams::parse(&self.head, &self.url, None)?;
            return self.run_query(service, platform, params);
        }
        let settings = service.settings.as_ref().map_err(Clone::clone)?;
        let mut ceiling = Ceiling::of(&settings.limits, Limit::QueryTextBytes);
        ceiling.bytes *= QUERY_BODY_PER_TEXT;
        self.read_body(service, platform, ceiling, Target::Query)
    }

    pub(super) fn run_query(
        &mut self,
        service: &mut Service,
        platform: &dyn Platform,
        params: QueryParams,
    ) -> Result<Action, ApiError> {
        let settings = service.settings.as_ref().map_err(Clone::clone)?;
        let accept = query::accepted(&self.head, &params);
        self.record.database.clone_from(&params.database);
        let querying = Querying::new(params, accept, settings, platform.now_ns())?;
        self.authorise(service, platform, Box::new(querying))
    }

    /// Runs a query if its caller may: all of its statements, or none.
    pub(super) fn authorise(
        &mut self,
        service: &mut Service,
        platform: &dyn Platform,
        mut querying: Box<Querying>,
    ) -> Result<Action, ApiError> {
        if let Err(refusal) = querying.authorise(&self.principal) {
            return self.refuse(service, platform, refusal, Then::Run(querying));
        }
        self.state = State::Querying(querying);
        self.step(service, platform, None)
    }
}
