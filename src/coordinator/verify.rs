//! Checks every checksum of a database: of the Catalog's rows, of the Database's own, then of shard
//! after shard. A request does a bounded number of steps and says where the next one goes on.

use super::diagnostics;
use super::error::Error;
use super::load_schemas::{Load, Loaded, Want};
use super::{Context, RoundMachine, Turn};
use crate::protocol::call::Address;
use crate::protocol::catalog::{FromCatalog, ToCatalog};
use crate::protocol::database::{FromDatabase, ToDatabase};
use crate::protocol::envelope::{self, Wire};
use crate::protocol::round::{CallResult, Next, Replies, Round};
use crate::protocol::shard::{FromShard, ShardRefusal, ToShard, VerifyPage};

/// Steps of one request; each checks 8 MB and what is left of a value.
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
    stage: VerifyStage,
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
enum VerifyStage {
    Start,
    Catalog,
    Object,
    Database,
    Map,
    Shard,
}

impl Verify {
    /// Verifies `database` from `start` on; a shard that is gone meanwhile is passed over with
    /// those before it.
    pub fn new(database: &str, start: Option<Resume>) -> Self {
        Self {
            database: database.to_owned(),
            // Whoever goes on has seen the rows before the first shard's.
            stage: if start.is_some() { VerifyStage::Database } else { VerifyStage::Start },
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

    fn load(&mut self, context: &mut Context<'_>, replies: Replies) -> Turn<Report> {
        self.stage = VerifyStage::Map;
        match self.load.go_on(context, replies) {
            Ok(Next::Calls(requests)) => Ok(Next::Calls(requests)),
            Err(error) => self.end(error),
            Ok(Next::Reply(loaded)) => {
                self.stage = VerifyStage::Shard;
                if let Some((id, page)) = self.start {
                    let mut ids = diagnostics::shards(&loaded).map(|shard| shard.id());
                    self.shard = ids.position(|known| known >= id).unwrap_or(usize::MAX);
                    self.page = page;
                }
                self.loaded = Some(loaded);
                self.ask()
            }
        }
    }

    /// What was found says why it ends; otherwise the error does.
    fn end(&mut self, error: Error) -> Turn<Report> {
        let report = std::mem::take(&mut self.report);
        if report.damaged.is_empty() { Err(error) } else { Ok(Next::Reply(report)) }
    }

    fn call(&mut self, stage: VerifyStage, to: Address, message: &impl Wire) -> Turn<Report> {
        self.stage = stage;
        Ok(Next::call(to, message))
    }

    /// Takes in the rows of the Catalog or the Database.
    fn add_rows(&mut self, page: VerifyPage, whose: &str) {
        self.report.blocks += page.blocks;
        self.report.bytes += page.bytes;
        let damaged = page.damaged.into_iter().map(|row| (None, format!("{whose}: {row}")));
        self.report.damaged.extend(damaged);
    }

    fn learn_catalog(&mut self, reply: CallResult) -> Turn<Report> {
        match envelope::decode_reply::<FromCatalog>(reply) {
            Ok(FromCatalog::Verified(page)) => {
                self.add_rows(page, "catalog");
                let name = self.database.clone();
                self.call(VerifyStage::Object, Address::Catalog, &ToCatalog::Resolve { name })
            }
            Ok(FromCatalog::Resolved { object: Some(object) }) => {
                let to = Address::Database(object);
                self.call(VerifyStage::Database, to, &ToDatabase::Verify)
            }
            Ok(FromCatalog::Resolved { object: None }) => {
                Err(Error::DatabaseNotFound(self.database.clone()))
            }
            Ok(FromCatalog::Unavailable(why)) => self.end(why.into()),
            Ok(_) => Err(Error::unexpected_reply()),
            Err(failure) => self.end(failure.into()),
        }
    }

    fn learn_database(
        &mut self,
        context: &mut Context<'_>,
        reply: Option<CallResult>,
    ) -> Turn<Report> {
        match reply.map(envelope::decode_reply::<FromDatabase>) {
            Some(Ok(FromDatabase::Verified(page))) => self.add_rows(page, "database"),
            // Nobody was asked, or it was dropped meanwhile: the map tells.
            None | Some(Ok(FromDatabase::NotOpen)) => {}
            Some(Ok(FromDatabase::Unavailable(why))) => return self.end(why.into()),
            Some(Ok(_)) => return Err(Error::unexpected_reply()),
            Some(Err(failure)) => return self.end(failure.into()),
        }
        self.load(context, Vec::new())
    }

    fn ask(&mut self) -> Turn<Report> {
        let shard = self.loaded.as_ref().and_then(|of| diagnostics::shards(of).nth(self.shard));
        let object = shard.as_ref().and_then(|shard| shard.group.shards.get(shard.position));
        let (Some(shard), Some(object)) = (&shard, object) else {
            return Ok(Next::Reply(std::mem::take(&mut self.report)));
        };
        if self.steps >= STEPS_PER_REQUEST {
            self.report.resume = Some((shard.id(), self.page));
            return Ok(Next::Reply(std::mem::take(&mut self.report)));
        }
        self.steps += 1;
        let to = Address::Shard(object.clone());
        Ok(Next::call(to, &ToShard::Verify { resume: self.page }))
    }

    fn learn(&mut self, reply: CallResult) -> Turn<Report> {
        let id = self.loaded.as_ref().and_then(|of| diagnostics::shards(of).nth(self.shard));
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
            Ok(FromShard::Unavailable(why)) => return Err(why.into()),
            Ok(_) => return Err(Error::unexpected_reply()),
            Err(failure) => return Err(failure.into()),
        };
        self.report.damaged.extend(damaged.into_iter().map(|block| (Some(id), block)));
        self.page = resume;
        if resume.is_none() {
            self.shard += 1;
        }
        self.ask()
    }
}

impl RoundMachine for Verify {
    type Reply = Report;

    fn round(&mut self) -> &mut Round {
        &mut self.round
    }

    fn go_on(&mut self, context: &mut Context<'_>, mut replies: Replies) -> Turn<Report> {
        match (self.stage, replies.pop()) {
            (VerifyStage::Catalog | VerifyStage::Object, Some(reply)) => self.learn_catalog(reply),
            (VerifyStage::Database, reply) => self.learn_database(context, reply),
            (VerifyStage::Shard, Some(reply)) => self.learn(reply),
            (VerifyStage::Map, reply) => self.load(context, Vec::from_iter(reply)),
            (_, _) => self.call(VerifyStage::Catalog, Address::Catalog, &ToCatalog::Verify),
        }
    }
}
