//! Executes SHOW QUERIES and KILL QUERY, and reports running queries. The Catalog has the list of
//! running queries. KILL QUERY also notifies the shards that the query reads.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;

use super::error::Error;
use super::session::{Cleanup, Session};
use super::{Context, Pieces};
use tidemark_engine::protocol::call::{Address, CallFailure};
use tidemark_engine::protocol::catalog::{FromCatalog, ToCatalog};
use tidemark_engine::protocol::envelope;
use tidemark_engine::protocol::live_queries::{LiveQuery, Precedence};
use tidemark_engine::protocol::round::Request;
use tidemark_engine::protocol::shard::ToShard;
use tidemark_influxql::duration;
use tidemark_model::ids::ObjectId;
use tidemark_model::limits::{CALLS_PER_ROUND_MAX, QUERY_REPORT_EVERY_NS, QUERY_SHARDS_NAMED_MAX};
use tidemark_model::time::{MS_NS, S_NS, US_NS};
use tidemark_query::result::{SeriesChunk, Values};

pub(super) fn show_queries() -> Pieces<SeriesChunk> {
    Pieces::once(|io| async move {
        match io.call_catalog(&ToCatalog::Queries).await? {
            FromCatalog::Queries(all) => {
                let now_ns = io.now_ns()?;
                Ok(Some(list(&all, now_ns)))
            }
            _ => Err(Error::unexpected_reply()),
        }
    })
}

pub(super) fn kill_query(id: u64) -> Pieces<SeriesChunk> {
    Pieces::once(move |io| async move {
        let FromCatalog::Queries(killed) = io.call_catalog(&ToCatalog::KillQuery { id }).await?
        else {
            return Err(Error::unexpected_reply());
        };
        let shards: Vec<ObjectId> = killed.into_iter().flat_map(|query| query.shards).collect();
        let message = envelope::encode(&ToShard::Kill { query: id });
        for shards in shards.chunks(CALLS_PER_ROUND_MAX) {
            let request =
                |shard: &ObjectId| Request::new(Address::Shard(shard.clone()), message.clone());
            // The replies do not matter: the query also ends at its next report, whose reply states
            // that the query was killed.
            io.calls(shards.iter().map(request).collect()).await;
        }
        Ok(None)
    })
}

fn list(all: &[LiveQuery], now_ns: i64) -> SeriesChunk {
    let columns = ["qid", "query", "database", "duration", "status", "user"];
    let ages: Vec<String> =
        all.iter().map(|query| age(now_ns.saturating_sub(query.started_ns))).collect();
    let status = |query: &LiveQuery| if query.killed { "killed" } else { "running" };
    let values = [
        Values::Integer(all.iter().map(|query| query.id.cast_signed()).collect()),
        Values::String(all.iter().map(|query| query.text.as_str()).collect()),
        Values::String(all.iter().map(|query| query.database.as_str()).collect()),
        Values::String(ages.iter().map(String::as_str).collect()),
        Values::String(all.iter().map(status).collect()),
        Values::String(all.iter().map(|query| query.user.as_str()).collect()),
    ];
    SeriesChunk::of_columns(None, &columns, values)
}

/// Formats an age as 1.x does: in whole seconds, or if the age is below a second, in whole
/// milliseconds or microseconds.
fn age(age_ns: i64) -> String {
    let units = [S_NS, MS_NS, US_NS, 1];
    let unit_ns = units.into_iter().find(|unit_ns| age_ns >= *unit_ns).unwrap_or(1);
    duration::format_go(age_ns / unit_ns * unit_ns)
}

/// The reports of a query for SHOW QUERIES. The first report is sent with the request for the
/// query's second page, further reports follow every few seconds, and the last report follows at
/// the end. A dropped query leaves its last report in [`Session::cleanup`].
#[derive(Debug)]
pub(super) struct LiveQueryReport {
    cleanup: Cleanup,
    /// 0 before the first report.
    id: Cell<u64>,
    /// The time of the request for the first page, in nanoseconds; 0 before that request.
    started_ns: Cell<i64>,
    reported_ns: Cell<i64>,
}

impl LiveQueryReport {
    pub(super) fn new(session: &Session) -> Self {
        let (id, started_ns, reported_ns) = Default::default();
        Self { cleanup: Rc::clone(&session.cleanup), id, started_ns, reported_ns }
    }

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

impl Drop for LiveQueryReport {
    fn drop(&mut self) {
        self.cleanup.borrow_mut().extend(self.end());
    }
}

/// Returns at most `QUERY_SHARDS_NAMED_MAX` of the shards, without duplicates.
pub(super) fn named_shards<'a>(shards: impl Iterator<Item = &'a ObjectId>) -> Vec<ObjectId> {
    let mut known = BTreeSet::new();
    shards.filter(|shard| known.insert(*shard)).take(QUERY_SHARDS_NAMED_MAX).cloned().collect()
}

/// Whether the reply to a report states that the query was killed. Returns `false` if the reply was
/// lost.
pub(super) fn is_killed(reply: Result<Vec<u8>, CallFailure>) -> bool {
    let reply = envelope::decode_reply::<FromCatalog>(reply);
    matches!(reply, Ok(FromCatalog::Reported { killed: true }))
}
