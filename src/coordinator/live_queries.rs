//! Carries out SHOW QUERIES, which the Catalog answers, and KILL QUERY, which the Catalog notes and
//! the shards that the query reads are told.

use super::error::Error;
use super::single_call::SingleCall;
use super::{Context, RoundMachine, Turn};
use crate::influxql::duration;
use crate::model::ids::ObjectId;
use crate::model::limits::CALLS_PER_ROUND_MAX;
use crate::model::time::{MS_NS, S_NS, US_NS};
use crate::protocol::call::Address;
use crate::protocol::catalog::{FromCatalog, ToCatalog};
use crate::protocol::envelope;
use crate::protocol::live_queries::LiveQuery;
use crate::protocol::round::{Next, Replies, Request, Round};
use crate::protocol::shard::ToShard;
use crate::query::result::{Column, ResultColumn, SeriesChunk, Values};

/// Such a statement in progress. Answers as [`super::statement::Execution`] does.
#[derive(Debug)]
pub(super) struct Queries {
    stage: QueriesStage,
    /// The query to be killed; `None` lists.
    kill: Option<u64>,
    round: Round,
}

#[derive(Debug)]
enum QueriesStage {
    Ask(Box<SingleCall>),
    /// Shards that are not told yet.
    Tell(Vec<ObjectId>),
    Finished,
}

impl Queries {
    /// SHOW QUERIES, or KILL QUERY of `kill`.
    pub(super) fn new(kill: Option<u64>) -> Self {
        let message = match kill {
            None => ToCatalog::Queries,
            Some(id) => ToCatalog::KillQuery { id },
        };
        Self {
            stage: QueriesStage::Ask(Box::new(SingleCall::catalog(&message))),
            kill,
            round: Round::default(),
        }
    }

    fn learn(&mut self, context: &Context<'_>, reply: Vec<u8>) -> Turn<Option<SeriesChunk>> {
        match (envelope::decode_reply::<FromCatalog>(Ok(reply))?, self.kill) {
            (FromCatalog::Queries(all), None) => {
                Ok(Next::Reply(Some(list(&all, context.platform.now_ns()))))
            }
            (FromCatalog::Queries(killed), Some(id)) => {
                Ok(self.tell(id, killed.into_iter().flat_map(|query| query.shards).collect()))
            }
            (FromCatalog::Refused(why), _) => Err(Error::Catalog(why)),
            (FromCatalog::Unavailable(why), _) => Err(why.into()),
            _ => Err(Error::unexpected_reply()),
        }
    }

    /// Tells the next shards. What they answer does not matter: one that cannot be reached sends
    /// no page either, and the query's next report is told too.
    fn tell(&mut self, query: u64, mut shards: Vec<ObjectId>) -> Next<Option<SeriesChunk>> {
        let rest = shards.split_off(shards.len().min(CALLS_PER_ROUND_MAX));
        if shards.is_empty() {
            return Next::Reply(None);
        }
        self.stage = QueriesStage::Tell(rest);
        let message = envelope::encode(&ToShard::Kill { query });
        let request = |shard| Request::new(Address::Shard(shard), message.clone());
        Next::Calls(shards.into_iter().map(request).collect())
    }
}

impl RoundMachine for Queries {
    type Reply = Option<SeriesChunk>;

    fn round(&mut self) -> &mut Round {
        &mut self.round
    }

    fn go_on(&mut self, context: &mut Context<'_>, replies: Replies) -> Turn<Option<SeriesChunk>> {
        match std::mem::replace(&mut self.stage, QueriesStage::Finished) {
            QueriesStage::Ask(mut ask) => match ask.go_on(context, replies)? {
                Next::Calls(requests) => {
                    self.stage = QueriesStage::Ask(ask);
                    Ok(Next::Calls(requests))
                }
                Next::Reply(reply) => self.learn(context, reply),
            },
            QueriesStage::Tell(rest) => Ok(self.tell(self.kill.unwrap_or_default(), rest)),
            QueriesStage::Finished => Ok(Next::Reply(None)),
        }
    }
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
    SeriesChunk {
        name: None,
        tags: [].into(),
        columns: columns.iter().map(|name| (*name).to_owned()).collect(),
        values: values.map(|v| ResultColumn::Values(Column::full(v))).into(),
        rows: all.len(),
        partial: false,
        zone: [].into(),
    }
}

/// Whole seconds, else whole milliseconds, else whole microseconds (1.x).
fn age(age_ns: i64) -> String {
    let units = [S_NS, MS_NS, US_NS, 1];
    let unit_ns = units.into_iter().find(|unit_ns| age_ns >= *unit_ns).unwrap_or(1);
    duration::format_go(age_ns / unit_ns * unit_ns)
}
