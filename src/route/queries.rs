//! SHOW QUERIES and KILL QUERY: the Catalog lists, the shards are told.

use super::ask::Ask;
use super::error::Error;
use super::{Context, Machine};
use crate::influxql::duration;
use crate::model::ids::ObjectId;
use crate::model::limits::CALLS_PER_ROUND_MAX;
use crate::model::time::{MS_NS, S_NS, US_NS};
use crate::protocol::call::{Address, Reply, Step};
use crate::protocol::catalog::{FromCatalog, ToCatalog};
use crate::protocol::envelope;
use crate::protocol::queries::LiveQuery;
use crate::protocol::round::{Request, Round};
use crate::protocol::shard::ToShard;
use crate::query::result::{Column, ResultColumn, SeriesChunk, Values};

/// Such a statement in progress. Answers as [`super::statement::Execution`] does.
#[derive(Debug)]
pub(super) struct Queries {
    stage: Stage,
    /// The query to be killed; `None` lists.
    kill: Option<u64>,
    round: Round,
}

#[derive(Debug)]
enum Stage {
    Ask(Ask),
    /// Shards that are not told yet.
    Tell(Vec<ObjectId>),
    Finished,
}

type Answer = Result<Option<SeriesChunk>, Error>;

impl Queries {
    /// SHOW QUERIES, or KILL QUERY of `kill`.
    pub(super) fn new(kill: Option<u64>) -> Self {
        let message = match kill {
            None => ToCatalog::Queries,
            Some(id) => ToCatalog::KillQuery { id },
        };
        Self { stage: Stage::Ask(Ask::catalog(&message)), kill, round: Round::default() }
    }

    fn learn(&mut self, context: &Context<'_>, reply: Result<Vec<u8>, Error>) -> Step<Answer> {
        let reply = match reply {
            Ok(reply) => envelope::decode_reply::<FromCatalog>(Ok(reply)).map_err(Error::from),
            Err(error) => Err(error),
        };
        match (reply, self.kill) {
            (Ok(FromCatalog::Queries(all)), None) => {
                Step::Done(Ok(Some(list(&all, context.platform.now_ns()))))
            }
            (Ok(FromCatalog::Queries(killed)), Some(id)) => {
                self.tell(id, killed.into_iter().flat_map(|query| query.shards).collect())
            }
            (Ok(FromCatalog::Refused(why)), _) => Step::Done(Err(Error::Catalog(why))),
            (Ok(FromCatalog::Unavailable(why)), _) => Step::Done(Err(why.into())),
            (Ok(_), _) => Step::Done(Err(Error::unexpected_reply())),
            (Err(error), _) => Step::Done(Err(error)),
        }
    }

    /// Tells the next shards. What they answer does not matter: one that cannot be reached sends
    /// no page either, and the query's next report is told too.
    fn tell(&mut self, query: u64, mut shards: Vec<ObjectId>) -> Step<Answer> {
        let rest = shards.split_off(shards.len().min(CALLS_PER_ROUND_MAX));
        if shards.is_empty() {
            return Step::Done(Ok(None));
        }
        self.stage = Stage::Tell(rest);
        let message = envelope::encode(&ToShard::Kill { query });
        let request = |shard| Request::new(Address::Shard(shard), message.clone());
        Step::Calls(self.round.start(shards.into_iter().map(request).collect()))
    }
}

impl Machine for Queries {
    type Answer = Answer;

    fn step(&mut self, context: &mut Context<'_>, reply: Option<Reply>) -> Step<Answer> {
        match std::mem::replace(&mut self.stage, Stage::Finished) {
            Stage::Ask(mut ask) => match ask.step(context, reply) {
                Step::Calls(calls) => {
                    self.stage = Stage::Ask(ask);
                    Step::Calls(calls)
                }
                Step::Done(reply) => self.learn(context, reply),
            },
            Stage::Tell(rest) => match reply.and_then(|reply| self.round.take(reply)) {
                Some(_) => self.tell(self.kill.unwrap_or_default(), rest),
                None => {
                    self.stage = Stage::Tell(rest);
                    Step::Calls(Vec::new())
                }
            },
            Stage::Finished => Step::Done(Ok(None)),
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
