//! Every checksum of a database, shard after shard, a bounded number of steps per request.

use super::error::Error;
use super::load::{Load, Loaded, Progress, Want};
use super::operators;
use super::{Context, Machine};
use crate::protocol::call::{Address, CallFailure, Reply, Step};
use crate::protocol::envelope;
use crate::protocol::round::{Request, Round};
use crate::protocol::shard::{FromShard, ShardRefusal, ToShard};

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
    /// The shard and what is damaged there, in the words that queries use.
    pub damaged: Vec<(i64, String)>,
    /// `None`: every shard was walked to its end.
    pub resume: Option<Resume>,
}

/// A verification in progress.
#[derive(Debug)]
pub struct Verify {
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

impl Verify {
    /// Verifies `database` from `start` on; a shard that is gone meanwhile is passed over with
    /// those before it.
    pub fn new(database: &str, start: Option<Resume>) -> Self {
        Self {
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
    ) -> Step<Result<Report, Error>> {
        match self.load.step(context, reply) {
            Progress::Ask(request) => Step::Calls(self.round.start(vec![request])),
            Progress::Ready(Err(error)) => Step::Done(Err(error)),
            Progress::Ready(Ok(loaded)) => {
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

    fn ask(&mut self) -> Step<Result<Report, Error>> {
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

    fn learn(&mut self, reply: Result<Vec<u8>, CallFailure>) -> Step<Result<Report, Error>> {
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
        self.report.damaged.extend(damaged.into_iter().map(|block| (id, block)));
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
        match (&self.loaded, replies.pop()) {
            (Some(_), Some(reply)) => self.learn(reply),
            (_, reply) => self.load(context, reply),
        }
    }
}
