//! Tests jobs with more messages than one event may send, restores and continuous queries.

use std::collections::BTreeSet;

use super::Database;
use super::job::JobKind;
use tidemark_engine::protocol::backup::{RestoreStep, RestoredRest, Restoring};
use tidemark_engine::protocol::call::{Address, Platform, Reply, Step};
use tidemark_engine::protocol::continuous::{ContinuousQuery, RunEnd};
use tidemark_engine::protocol::database::{
    CreateDatabase, FromDatabase, PolicySpec, QuotaChange, ToDatabase,
};
use tidemark_engine::protocol::envelope;
use tidemark_engine::protocol::event::{EventHandler, EventId, Unavailable};
use tidemark_engine::protocol::grants::GrantsPush;
use tidemark_engine::protocol::local_platform::LocalPlatform;
use tidemark_engine::protocol::shard::{FromShard, ToShard};
use tidemark_engine::store::memory::MemoryStore;
use tidemark_model::configurable_limits::Limits;
use tidemark_model::ids::{ObjectId, PolicyId};
use tidemark_model::limits::{
    CALLS_RESERVED, CONTINUOUS_PAUSE_NS, CONTINUOUS_QUERIES_MAX, JOB_FAILURES_MAX,
    SHARDS_PER_GROUP_MAX, WIPE_DELAY_NS,
};
use tidemark_model::quota::Rates;

const SHARDS: u32 = 50;
const POLICIES: usize = 3;
const CALLS: u32 = 100;
const CALLS_BEFORE_END: usize = CALLS as usize - CALLS_RESERVED;

/// A Database, and shards that send the same reply to every message.
pub(super) struct Story {
    platform: LocalPlatform,
    store: MemoryStore,
    pub(super) database: Database<MemoryStore>,
    pub(super) shard_reply: FromShard,
    pub(super) messages: Vec<(ObjectId, ToShard)>,
}

impl Story {
    fn begin() -> Self {
        Self::with(SHARDS, POLICIES, 0)
    }

    pub(super) fn with(shards: u32, policies: usize, split_bytes: u64) -> Self {
        let store = MemoryStore::new();
        let database = Database::new(store.clone(), ObjectId("database".to_owned()));
        let database = database.splitting_at(split_bytes);
        let mut platform = LocalPlatform::at(0);
        let calls = |name: &str| (name == "CALLS_PER_REQUEST_MAX").then_some(CALLS);
        platform.limits = Limits::read(|row| Ok::<_, ()>(calls(row.name))).unwrap();
        let (shard_reply, messages) = (FromShard::Done, Vec::new());
        let mut story = Self { platform, store, database, shard_reply, messages };
        let create = CreateDatabase { name: "d".to_owned(), shards, ..CreateDatabase::default() };
        story.complete(&ToDatabase::Initialise(create));
        for policy in 1..policies {
            let name = Some(format!("p{policy}"));
            let spec = PolicySpec { name, ..PolicySpec::default() };
            let create = ToDatabase::CreatePolicy { spec, make_default: false };
            story.complete(&create);
        }
        story.messages.clear();
        story
    }

    fn complete(&mut self, message: &ToDatabase) {
        for _ in 0..20 {
            match self.ask(message) {
                FromDatabase::Done => return,
                reply => assert_eq!(reply, CHANGING),
            }
        }
        panic!("{message:?} does not end");
    }

    fn answer(&mut self, event_id: EventId, mut step: Step<Vec<u8>>) -> Vec<u8> {
        let mut count = 0;
        loop {
            let calls = match step {
                Step::Done(reply) => return reply,
                Step::Calls(calls) => calls,
            };
            count += calls.len();
            assert!(count <= CALLS_BEFORE_END, "{count} calls of one event");
            step = Step::Calls(Vec::new());
            for call in calls {
                let Address::Shard(shard) = call.to else { panic!("{:?}", call.to) };
                self.messages.push((shard, envelope::decode(&call.message).unwrap().1));
                let reply = Reply { id: call.id, result: Ok(envelope::encode(&self.shard_reply)) };
                step = self.database.resume(&self.platform, event_id, reply);
            }
        }
    }

    pub(super) fn ask(&mut self, message: &ToDatabase) -> FromDatabase {
        let (event_id, step) = self.database.begin(&self.platform, &envelope::encode(message));
        let reply = self.answer(event_id, step);
        envelope::decode(&reply).unwrap().1
    }

    fn alarms(&mut self) -> usize {
        for alarms in 0..20 {
            let due_ns = self.database.next_alarm_ns();
            if due_ns.is_none_or(|due_ns| due_ns > self.platform.now_ns()) {
                return alarms;
            }
            let (event_id, step) = self.database.alarm(&self.platform);
            self.answer(event_id, step);
        }
        panic!("alarms without an end");
    }

    pub(super) fn restart(&mut self) {
        self.database = Database::new(self.store.clone(), ObjectId("database".to_owned()));
        self.ask(&ToDatabase::Stats);
    }

    fn told_all(&mut self) -> usize {
        let messages = std::mem::take(&mut self.messages);
        let shards: BTreeSet<&ObjectId> = messages.iter().map(|(shard, _)| shard).collect();
        assert_eq!(shards.len(), POLICIES * SHARDS as usize);
        messages.len()
    }

    fn jobs(&self) -> Vec<&JobKind> {
        let rows = self.database.rows.iter();
        let jobs = rows.flat_map(|rows| rows.jobs.values()).map(|job| &job.kind);
        jobs.filter(|kind| **kind != JobKind::Maintain).collect()
    }
}

const CHANGING: FromDatabase = FromDatabase::Unavailable(Unavailable::Changing);

#[test]
fn large_statement_continues_in_alarm() {
    let rates = Rates::default();
    let set = QuotaChange::Database { rates, stored_bytes: Some(1 << 30), series: None };
    let set = ToDatabase::SetQuota(set);
    let mut story = Story::begin();
    assert_eq!(story.ask(&set), CHANGING);
    assert_eq!(story.messages.len(), CALLS_BEFORE_END / 32 * 32);
    // Progress survives an eviction, and no shard receives the message twice.
    story.restart();
    assert!(story.alarms() > 1);
    assert_eq!((story.told_all(), story.jobs()), (POLICIES * SHARDS as usize, Vec::new()));
    // A repeated request also continues a job.
    let mut story = Story::begin();
    let replies: Vec<FromDatabase> = (0..5).map(|_| story.ask(&set)).collect();
    assert_eq!(replies[..3], [CHANGING, CHANGING, CHANGING]);
    assert_eq!(replies[4], FromDatabase::Done);
    story.told_all();
}

#[test]
fn revocation_reaches_shards_across_events() {
    let mut story = Story::begin();
    let push = GrantsPush { sequence: 1, revokes: true, change: 1, ..GrantsPush::default() };
    assert_eq!(story.ask(&ToDatabase::Grants(Box::new(push))), CHANGING);
    assert!(story.alarms() > 1);
    assert_eq!((story.told_all(), story.jobs()), (POLICIES * SHARDS as usize, Vec::new()));
}

#[test]
fn dropped_database_wipes_pending_shards() {
    let mut story = Story::begin();
    let drop = ToDatabase::DropPolicy { name: "p1".to_owned() };
    assert_eq!(story.ask(&drop), FromDatabase::Done);
    story.messages.clear();
    assert_eq!(story.ask(&ToDatabase::Drop), CHANGING);
    story.alarms();
    let closed = story.messages.len();
    assert_eq!(closed, (POLICIES - 1) * SHARDS as usize);
    // The alarm does not try again to wipe the policy's shards.
    let rows = story.database.rows.iter_mut().flat_map(|rows| rows.jobs.values_mut());
    let wipes = rows.filter(|job| matches!(job.kind, JobKind::WipeShards { .. }));
    wipes.for_each(|job| job.failures = JOB_FAILURES_MAX);
    story.messages.clear();
    story.platform.pass(WIPE_DELAY_NS);
    assert!(story.alarms() > 1);
    assert!(story.messages.iter().all(|(_, message)| matches!(message, ToShard::Wipe)));
    assert_eq!(story.told_all(), POLICIES * SHARDS as usize);
    assert!(story.database.rows.is_none());
}

#[test]
fn request_of_earlier_restore_does_not_publish() {
    let mut story = Story::with(1, POLICIES, 0);
    let rows = story.database.rows.as_ref().unwrap();
    let policies: Vec<_> = rows.policies.rows.iter().map(|row| row.policy.clone()).collect();
    let earlier: Vec<PolicyId> = policies.iter().map(|policy| policy.id).collect();
    let send = |story: &mut Story, step| story.ask(&ToDatabase::Restore(Box::new(step)));
    let backup = || "d.1".to_owned();
    let begun = send(&mut story, RestoreStep::Begin { backup: backup(), policies });
    let FromDatabase::Restoring(Restoring::Filling { policies, .. }) = begun else {
        panic!("{begun:?}")
    };
    let fresh: Vec<PolicyId> = policies.iter().map(|policy| policy.id).collect();
    assert_ne!(fresh, earlier);
    let rest = RestoredRest { default_policy: Some(0), ..RestoredRest::default() };
    let finish = |policies: &[PolicyId]| {
        let (rest, policies) = (rest.clone(), policies.to_vec());
        RestoreStep::Finish { backup: backup(), rest, policies }
    };
    assert_eq!(send(&mut story, finish(&earlier)), CHANGING);
    let finished = FromDatabase::Restoring(Restoring::Finished);
    assert_eq!(send(&mut story, finish(&fresh)), finished);
    // The earlier request may be repeated after the publication.
    assert_eq!(send(&mut story, finish(&earlier)), finished);
}

fn continuous(name: &str) -> ContinuousQuery {
    ContinuousQuery {
        name: name.to_owned(),
        text: "not a statement".to_owned(),
        every_ns: 1,
        ..ContinuousQuery::default()
    }
}

#[test]
fn repeated_restore_keeps_limit_of_continuous_queries() {
    let mut story = Story::with(1, POLICIES, 0);
    let rows = story.database.rows.as_ref().unwrap();
    let policies: Vec<_> = rows.policies.rows.iter().map(|row| row.policy.clone()).collect();
    let backup = || "d.1".to_owned();
    let restore = |story: &mut Story| {
        let mut send = |step| story.ask(&ToDatabase::Restore(Box::new(step)));
        send(RestoreStep::Begin { backup: backup(), policies: policies.clone() });
        let continuous = ["restored 1", "restored 2"].map(continuous).to_vec();
        let rest = RestoredRest { continuous, ..RestoredRest::default() };
        send(RestoreStep::Finish { backup: backup(), rest, policies: Vec::new() })
    };
    let finished = FromDatabase::Restoring(Restoring::Finished);
    assert_eq!(restore(&mut story), finished);
    let drop = |name: &str| ToDatabase::DropContinuousQuery { name: name.to_owned() };
    story.complete(&drop("restored 1"));
    for number in 1..CONTINUOUS_QUERIES_MAX {
        let query = continuous(&format!("own {number}"));
        story.complete(&ToDatabase::CreateContinuousQuery { query });
    }
    let refused = restore(&mut story);
    let FromDatabase::Refused(refusal) = refused else { panic!("{refused:?}") };
    assert!(refusal.to_string().contains("at most 1000 continuous queries"), "{refusal}");
    story.complete(&drop("own 1"));
    assert_eq!(restore(&mut story), finished);
    let FromDatabase::ContinuousQueries(all) = story.ask(&ToDatabase::ContinuousQueries) else {
        panic!("the queries are not listed")
    };
    assert_eq!(all.len(), CONTINUOUS_QUERIES_MAX);
}

#[test]
fn continuous_query_pauses_after_complete_runs() {
    let mut story = Story::begin();
    story.complete(&ToDatabase::CreateContinuousQuery { query: continuous("c") });
    let ran = RunEnd::Ran { last_run_ns: 0, next_run_ns: 1 };
    let quarter_ns = CONTINUOUS_PAUSE_NS / 4;
    for (end, run_ns, pause_ns) in [
        (RunEnd::TooLarge(100), quarter_ns, 0),
        (ran, quarter_ns, 3 * quarter_ns),
        (ran, 5 * quarter_ns, 0),
    ] {
        let due = story.database.due_run(&story.platform, false).unwrap();
        story.platform.pass(run_ns);
        story.database.on_run_ended(&story.platform, &due.query, end);
        if pause_ns > 0 {
            story.platform.pass(pause_ns - 1);
            assert!(story.database.due_run(&story.platform, false).is_none());
            story.platform.pass(1);
        }
    }
    assert!(story.database.due_run(&story.platform, false).is_some());
}

#[test]
fn split_of_too_many_shards_fails() {
    let mut story = Story::with(SHARDS_PER_GROUP_MAX, POLICIES, 1);
    let rows = story.database.rows.as_ref().unwrap();
    let policy = &rows.policies.rows[0].policy;
    let grown = ToDatabase::Grown { policy: policy.id, group: policy.groups[0].id, bytes: 10 };
    story.ask(&grown);
    assert!(story.jobs().iter().any(|kind| matches!(kind, JobKind::Split(_))));
    for _ in 0..JOB_FAILURES_MAX + 2 {
        story.platform.pass(WIPE_DELAY_NS);
        story.alarms();
    }
    assert_eq!(story.jobs(), Vec::<&JobKind>::new());
}
