//! Executes SHOW QUERIES and KILL QUERY. The Catalog has the list of running queries. KILL QUERY
//! also notifies the shards that the query reads.

use super::Parts;
use super::error::Error;
use super::single_call::call_catalog;
use crate::influxql::duration;
use crate::model::ids::ObjectId;
use crate::model::limits::CALLS_PER_ROUND_MAX;
use crate::model::time::{MS_NS, S_NS, US_NS};
use crate::protocol::call::Address;
use crate::protocol::catalog::{FromCatalog, ToCatalog};
use crate::protocol::envelope;
use crate::protocol::live_queries::LiveQuery;
use crate::protocol::round::Request;
use crate::protocol::shard::ToShard;
use crate::query::result::{SeriesChunk, Values};

pub(super) fn show_queries() -> Parts<SeriesChunk> {
    Parts::once(|io| async move {
        match call_catalog(&io, &ToCatalog::Queries).await? {
            FromCatalog::Queries(all) => {
                let now_ns = io.with(|context| context.platform.now_ns())?;
                Ok(Some(list(&all, now_ns)))
            }
            _ => Err(Error::unexpected_reply()),
        }
    })
}

pub(super) fn kill_query(id: u64) -> Parts<SeriesChunk> {
    Parts::once(move |io| async move {
        let FromCatalog::Queries(killed) = call_catalog(&io, &ToCatalog::KillQuery { id }).await?
        else {
            return Err(Error::unexpected_reply());
        };
        let shards: Vec<ObjectId> = killed.into_iter().flat_map(|query| query.shards).collect();
        let message = envelope::encode(&ToShard::Kill { query: id });
        for shards in shards.chunks(CALLS_PER_ROUND_MAX) {
            let request =
                |shard: &ObjectId| Request::new(Address::Shard(shard.clone()), message.clone());
            // The replies are ignored. An unreachable shard cannot send a page either, and the
            // reply to the query's next report states that the query was killed.
            io.calls(shards.iter().map(request).collect()).await;
        }
        Ok(None)
    })
}

fn list(all: &[LiveQuery], now_ns: i64) -> SeriesChunk {
    let columns = ["qid", "query", "database", "duration", "status", "user"];
    let texts = |text: &dyn Fn(&LiveQuery) -> String| {
        let texts: Vec<String> = all.iter().map(text).collect();
        Values::String(texts.iter().map(String::as_str).collect())
    };
    let status = |query: &LiveQuery| if query.killed { "killed" } else { "running" }.to_owned();
    let values = [
        Values::Integer(all.iter().map(|query| query.id.cast_signed()).collect()),
        texts(&|query| query.text.clone()),
        texts(&|query| query.database.clone()),
        texts(&|query| age(now_ns.saturating_sub(query.started_ns))),
        texts(&status),
        texts(&|query| query.user.clone()),
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
