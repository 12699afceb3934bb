//! Serves `GET /metrics?db=…`, which returns the counters of a database's objects for Prometheus,
//! and `GET /metrics/targets`. InfluxDB 1.x has neither.
//!
//! Each database is scraped separately, because a scrape of all databases would wake all objects at
//! the same time.

mod exposition;
mod targets;

use crate::api::action::Action;
use crate::api::error::ApiResult;
use crate::api::http::Response;
use crate::api::isolate_state::Isolate;
use crate::api::routes::handler::{Incoming, PendingRequest, Responder};
use crate::coordinator::diagnostics::diagnostics;
use crate::coordinator::{Machine, Parts};
use crate::influxql::ast::Statement;
use crate::protocol::call::{Reply, Step};
use crate::query::result::SeriesChunk;
use exposition::Exposition;

pub use targets::begin_targets;

#[derive(Debug)]
struct Metrics {
    database: String,
    exposition: Exposition,
    machine: Parts<SeriesChunk>,
    chunks: Vec<SeriesChunk>,
}

/// Parses the request of `GET /metrics`.
pub fn begin(request: &Incoming<'_>) -> ApiResult<PendingRequest> {
    let missing = "name the database with the parameter db; /metrics/targets lists the \
                   databases whose metrics the caller may read";
    let database = request.required("db", missing)?;
    let statement = Statement::ShowStats { database: Some(database.clone()), module: None };
    let metrics = Metrics {
        database: database.clone(),
        exposition: Exposition::negotiate(request.head.header("accept")),
        machine: diagnostics(statement),
        chunks: Vec::new(),
    };
    Ok(PendingRequest::new(|_, _, _| Ok(Box::new(metrics))).on(&database, None))
}

impl Responder for Metrics {
    fn step(&mut self, isolate: &mut Isolate<'_>, mut reply: Option<Reply>) -> ApiResult<Action> {
        loop {
            match self.machine.step(&mut isolate.context(), reply.take()) {
                Step::Calls(calls) => return Ok(Action::Calls(calls)),
                Step::Done(chunk) => match chunk? {
                    Some(chunk) => self.chunks.push(chunk),
                    None => {
                        let durations = isolate.service.durations.as_mut();
                        let durations = durations.and_then(|all| all.of(&self.database));
                        let timed = durations.as_ref().map(|own| (self.database.as_str(), own));
                        let body = self.exposition.text(&self.chunks, timed);
                        let response = Response::ok(self.exposition.content_type(), body);
                        return Ok(Action::Respond(response));
                    }
                },
            }
        }
    }
}
