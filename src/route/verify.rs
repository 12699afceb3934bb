//! Every checksum of a database: the Catalog's rows, the Database's own, then shard after shard, a
//! bounded number of steps per request.

use super::error::Error;
use super::load::{Load, Loaded, Progress, Want};
use super::operators;
use super::{Context, Machine};
use crate::protocol::call::{Address, CallFailure, Reply, Step};
use crate::protocol::catalog::{FromCatalog, ToCatalog};
use crate::protocol::database::{FromDatabase, ToDatabase};
use crate::protocol::envelope;
use crate::protocol::round::{Request, Round};
use crate::protocol::shard::{FromShard, ShardRefusal, ToShard, VerifyPage};

/// Steps of one request; each checks 8 MB and what is left of a directory row.
const STEPS_PER_REQUEST: u32 = 16;

/// Where the next request goes on: a shard by the number that SHOW SHARDS gives it, and the key of
/// its next step (`None`: from its start).
pub type Resume = (i64, Option<u64>);

/// What one request read and found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Blocks whose checksum was computed.
    pub blocks: u64,
    /// Bytes read.
    pub bytes: u64,
    /// What is damaged, in the words that queries use, and the shard that has it; `None` for rows
    /// of the Catalog and the Database.
    pub damaged: Vec<(Option<i64>, String)>,
    /// `None`: every shard was walked to its end.
    pub resume: Option<Resume>,
}

/// A verification in progress.
#[derive(Debug)]
pub struct Verify {
    database: String,
    stage: Stage,
    load: Load,
    loaded: Option<Loaded>,
    /// Position of the shard that is asked, among all of the database.
    shard: usize,
    start: Option<Resume>,
    page: Option<u64>,
    steps: u32,
    report: Report,
    round: Round,
}

/// Whose reply is waited for.
#[derive(Clone, Copy, Debug)]
enum Stage {
    Start,
    Catalog,
    Object,
    Database,
    Map,
    Shard,
}

type Next = Step<Result<Report, Error>>;

impl Verify {
    /// Verifies `database` from `start` on; a shard that is gone meanwhile is passed over with
    /// those before it.
    pub fn new(database: &str, start: Option<Resume>) -> Self {
        Self {
            database: database.to_owned(),
            // Whoever goes on has seen the rows before the first shard's.
            stage: if start.is_some() { Stage::Database } else { Stage::Start },
            load: Load::from_owner(database, Want::Nothing),
            loaded: None,
            shard: 0,
            start,
            page: None,
            steps: 0,
            report: Report::default(),
            round: Round::default(),
        }
    }

    fn load(
        &mut self,
        context: &mut Context<'_>,
        reply: Option<Result<Vec<u8>, CallFailure>>,
    ) -> Next {
        self.stage = Stage::Map;
        match self.load.step(context, reply) {
            Progress::Ask(request) => Step::Calls(self.round.start(vec![request])),
            Progress::Ready(Err(error)) => self.end(error),
            Progress::Ready(Ok(loaded)) => {
                self.stage = Stage::Shard;
                if let Some((id, page)) = self.start {
                    let mut ids = operators::shards(&loaded).map(|shard| shard.id());
                    self.shard = ids.position(|known| known >= id).unwrap_or(usize::MAX);
                    self.page = page;
                }
                self.loaded = Some(loaded);
                self.ask()
            }
        }
    }

    /// What was found says why it ends; otherwise the error does.
    fn end(&mut self, error: Error) -> Next {
        let report = std::mem::take(&mut self.report);
        Step::Done(if report.damaged.is_empty() { Err(error) } else { Ok(report) })
    }

    fn call(&mut self, stage: Stage, to: Address, message: Vec<u8>) -> Next {
        self.stage = stage;
        Step::Calls(self.round.start(vec![Request::new(to, message)]))
    }

    /// Takes in the rows of the Catalog or the Database.
    fn add_rows(&mut self, page: VerifyPage, whose: &str) {
        self.report.blocks += page.blocks;
        self.report.bytes += page.bytes;
        let damaged = page.damaged.into_iter().map(|row| (None, format!("{whose}: {row}")));
        self.report.damaged.extend(damaged);
    }

    fn learn_catalog(&mut self, reply: Result<Vec<u8>, CallFailure>) -> Next {
        match envelope::decode_reply::<FromCatalog>(reply) {
            Ok(FromCatalog::Verified(page)) => {
                self.add_rows(page, "catalog");
                let name = self.database.clone();
                let message = envelope::encode(&ToCatalog::Resolve { name });
                self.call(Stage::Object, Address::Catalog, message)
            }
            Ok(FromCatalog::Resolved { object: Some(object) }) => {
                let message = envelope::encode(&ToDatabase::Verify);
                self.call(Stage::Database, Address::Database(object), message)
            }
            Ok(FromCatalog::Resolved { object: None }) => {
                Step::Done(Err(Error::DatabaseNotFound(self.database.clone())))
            }
            Ok(FromCatalog::Unavailable(why)) => self.end(why.into()),
            Ok(_) => Step::Done(Err(Error::unexpected_reply())),
            Err(failure) => self.end(failure.into()),
        }
    }

    fn learn_database(
        &mut self,
        context: &mut Context<'_>,
        reply: Option<Result<Vec<u8>, CallFailure>>,
    ) -> Next {
        match reply.map(envelope::decode_reply::<FromDatabase>) {
            Some(Ok(FromDatabase::Verified(page))) => self.add_rows(page, "database"),
            // Nobody was asked, or it was dropped meanwhile: the map tells.
            None | Some(Ok(FromDatabase::NotOpen)) => {}
            Some(Ok(FromDatabase::Unavailable(why))) => return self.end(why.into()),
            Some(Ok(_)) => return Step::Done(Err(Error::unexpected_reply())),
            Some(Err(failure)) => return self.end(failure.into()),
        }
        self.load(context, None)
    }

    fn ask(&mut self) -> Next {
        let shard = self.loaded.as_ref().and_then(|of| operators::shards(of).nth(self.shard));
        let object = shard.as_ref().and_then(|shard| shard.group.shards.get(shard.position));
        let (Some(shard), Some(object)) = (&shard, object) else {
            return Step::Done(Ok(std::mem::take(&mut self.report)));
        };
        if self.steps >= STEPS_PER_REQUEST {
            self.report.resume = Some((shard.id(), self.page));
            return Step::Done(Ok(std::mem::take(&mut self.report)));
        }
        self.steps += 1;
        let message = envelope::encode(&ToShard::Verify { resume: self.page });
        let request = Request::new(Address::Shard(object.clone()), message);
        Step::Calls(self.round.start(vec![request]))
    }

    fn learn(&mut self, reply: Result<Vec<u8>, CallFailure>) -> Next {
        let id = self.loaded.as_ref().and_then(|of| operators::shards(of).nth(self.shard));
        let id = id.map_or(0, |shard| shard.id());
        let (damaged, resume) = match envelope::decode_reply::<FromShard>(reply) {
            Ok(FromShard::Verified(page)) => {
                self.report.blocks += page.blocks;
                self.report.bytes += page.bytes;
                (page.damaged, page.resume)
            }
            Ok(FromShard::Refused(ShardRefusal::Damaged { block })) => (vec![block], None),
            // Dropped since the map was read.
            Ok(FromShard::Stale) => (Vec::new(), None),
            Ok(FromShard::Unavailable(why)) => return Step::Done(Err(why.into())),
            Ok(_) => return Step::Done(Err(Error::unexpected_reply())),
            Err(failure) => return Step::Done(Err(failure.into())),
        };
        self.report.damaged.extend(damaged.into_iter().map(|block| (Some(id), block)));
        self.page = resume;
        if resume.is_none() {
            self.shard += 1;
        }
        self.ask()
    }
}

impl Machine for Verify {
    type Answer = Result<Report, Error>;

    fn step(&mut self, context: &mut Context<'_>, reply: Option<Reply>) -> Step<Self::Answer> {
        let Some(mut replies) = self.round.resume(reply) else { return Step::Calls(Vec::new()) };
        match (self.stage, replies.pop()) {
            (Stage::Catalog | Stage::Object, Some(reply)) => self.learn_catalog(reply),
            (Stage::Database, reply) => self.learn_database(context, reply),
            (Stage::Shard, Some(reply)) => self.learn(reply),
            (Stage::Map, reply) => self.load(context, reply),
            (_, _) => {
                self.call(Stage::Catalog, Address::Catalog, envelope::encode(&ToCatalog::Verify))
            }
        }
    }
}
