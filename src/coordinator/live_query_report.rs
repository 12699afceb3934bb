//! Reports a query for SHOW QUERIES. The first report is sent with the request for the query's
//! second page, further reports follow every few seconds, and the last report follows at the end.

use std::cell::Cell;

use super::Context;
use super::session::Session;
use crate::model::ids::ObjectId;
use crate::model::limits::QUERY_REPORT_EVERY_NS;
use crate::protocol::call::{Address, CallFailure};
use crate::protocol::catalog::{FromCatalog, ToCatalog};
use crate::protocol::envelope;
use crate::protocol::live_queries::{LiveQuery, Precedence};
use crate::protocol::round::Request;

#[derive(Debug, Default)]
pub(super) struct LiveQueryReport {
    /// 0 before the first report.
    id: Cell<u64>,
    /// The time of the request for the first page, in nanoseconds; 0 before that request.
    started_ns: Cell<i64>,
    reported_ns: Cell<i64>,
}

impl LiveQueryReport {
    /// Returns the precedence of a query's page requests after the query has read `rows` rows; 0
    /// for a query that is not listed.
    pub(super) fn precedence(&self, rows: u64) -> u64 {
        match self.id.get() {
            0 => 0,
            id => Precedence::of(id, rows).number(),
        }
    }

    /// Returns the report to send with the next pages, if the report is due. `further` is true if
    /// one of the pages is not the first page of its shard.
    pub(super) fn report(
        &self,
        context: &Context<'_>,
        session: &Session,
        further: bool,
        describe: impl FnOnce() -> (String, Vec<ObjectId>),
    ) -> Option<Request> {
        let now_ns = context.platform.now_ns();
        if self.started_ns.get() == 0 {
            self.started_ns.set(now_ns);
        }
        let started_ns = self.started_ns.get();
        let age_ns = now_ns.saturating_sub(self.reported_ns.get());
        let due = self.id.get() == 0 || age_ns >= QUERY_REPORT_EVERY_NS;
        if !(further && due) {
            return None;
        }
        if self.id.get() == 0 {
            self.id.set(Precedence::draw_id(started_ns, context.platform.random_u64()));
        }
        self.reported_ns.set(now_ns);
        let (text, shards) = describe();
        let principal = &session.principal;
        let report = ToCatalog::ReportQuery(Box::new(LiveQuery {
            id: self.id.get(),
            text,
            database: session.database.clone().unwrap_or_default(),
            user: if principal.user { principal.name.to_string() } else { String::new() },
            started_ns,
            shards,
            killed: false,
        }));
        Some(Request::new(Address::Catalog, envelope::encode(&report)))
    }

    pub(super) fn end(&self) -> Option<Request> {
        let id = self.id.take();
        let message = envelope::encode(&ToCatalog::EndQuery { id });
        (id != 0).then(|| Request::new(Address::Catalog, message))
    }
}

/// Whether the reply to a report states that the query was killed. Returns `false` if the reply was
/// lost.
pub(super) fn is_killed(reply: Result<Vec<u8>, CallFailure>) -> bool {
    let reply = envelope::decode_reply::<FromCatalog>(reply);
    matches!(reply, Ok(FromCatalog::Reported { killed: true }))
}
