//! Tests the rules of `protocol/PROTOCOL.md` in whole deployments. All components run in one
//! process. Each rule has at least one test.

use std::collections::BTreeMap;

use tidemark_coordinator::Context;
use tidemark_coordinator::Task;
use tidemark_coordinator::create_drop::{Change, Changed, execute};
use tidemark_coordinator::error::Error;
use tidemark_coordinator::grants::Principal;
use tidemark_coordinator::write::rejections::LineRefusal;
use tidemark_coordinator::write::{self, Created, WriteOutcome, WriteRequest};
use tidemark_engine::batch::from_lines::from_lines;
use tidemark_engine::protocol::call::{Address, Call, CallFailure, Reply, Step};
use tidemark_engine::protocol::database::{
    ColumnSet, CreateDatabase, FromDatabase, PolicyChange, PolicyRefusal, PolicySpec, QuotaChange,
    RegisterRefusal, ToDatabase,
};
use tidemark_engine::protocol::envelope;
use tidemark_engine::protocol::event::Unavailable;
use tidemark_engine::protocol::shard::{FromShard, ToShard};
use tidemark_engine::store::Store;
use tidemark_line_protocol::{Options, TimestampUnit};
use tidemark_model::ids::{ObjectId, PolicyId};
use tidemark_model::quota::Rates;
use tidemark_model::time::{H_NS, Precision, S_NS};
use tidemark_model::value::{FieldType, FieldValue};
use tidemark_query::admission::QueryMemory;
use tidemark_query::metadata;

use crate::world::platform::START_NS;
use crate::world::{Client, Edge, Faults, World, stub_shard};

pub(crate) fn world(seed: u64) -> World {
    stub_shard::reset();
    World::new(seed, stub_shard::make)
}

pub(crate) fn create(name: &str, shards: u32, policy: Option<PolicySpec>) -> Task<Changed> {
    let name = name.to_owned();
    let create = CreateDatabase { name, policy, shards, location: None, jurisdiction: None };
    change(Change::CreateDatabase(create))
}

/// Returns a task that executes a change.
pub(crate) fn change(change: Change) -> Task<Changed> {
    Task::new(|io| async move { execute(&io, change).await })
}

pub(crate) fn drop_database(name: &str) -> Task<Changed> {
    change(Change::DropDatabase { name: name.to_owned() })
}

pub(crate) fn write(database: &str, lines: &str) -> Task<WriteOutcome> {
    write_task(write_request(database, lines))
}

pub(crate) fn write_task(request: WriteRequest) -> Task<WriteOutcome> {
    Task::new(|io| async move { write::write(&io, request).await })
}

pub(crate) fn write_request(database: &str, lines: &str) -> WriteRequest {
    let options = Options::new(TimestampUnit::Fixed(Precision::Nanosecond), START_NS);
    let (batch, rejected) = from_lines(lines.as_bytes(), options, 1).unwrap();
    assert_eq!(rejected.count, 0, "{lines}");
    let database = database.to_owned();
    WriteRequest {
        database,
        policy: None,
        policy_id: None,
        principal: Principal::admin(),
        batch,
        auto_create: None,
        all_or_nothing: false,
    }
}

/// Returns a write whose caller may create the database. A created database keeps points for an
/// hour.
fn write_or_create(database: &str, policy: Option<&str>, lines: &str) -> Task<WriteOutcome> {
    let spec = PolicySpec { duration_ns: Some(H_NS), ..PolicySpec::default() };
    let create = CreateDatabase {
        name: database.to_owned(),
        policy: Some(spec),
        shards: 1,
        location: None,
        jurisdiction: None,
    };
    let mut request = write_request(database, lines);
    request.policy = policy.map(str::to_owned);
    request.auto_create = Some(create);
    write_task(request)
}

fn alter(database: &str, name: &str, duration_ns: i64) -> Task<Changed> {
    let duration_ns = Some(duration_ns);
    let spec = PolicyChange { name: name.to_owned(), duration_ns, ..PolicyChange::default() };
    let database = database.to_owned();
    change(Change::within(&database, ToDatabase::AlterPolicy { spec, make_default: false }))
}

pub(crate) fn kept(points: u64) -> Result<WriteOutcome, Error> {
    Ok(WriteOutcome { points_written: points, ..WriteOutcome::default() })
}

pub(crate) fn ask(world: &mut World, to: Address, message: Vec<u8>) -> Vec<u8> {
    struct Ask(Option<Call>, std::rc::Rc<std::cell::RefCell<Vec<u8>>>);
    impl Client for Ask {
        fn step(
            &mut self,
            _: &crate::world::platform::TestPlatform,
            reply: Option<Reply>,
        ) -> Option<Vec<Call>> {
            match reply {
                None => self.0.take().map(|call| vec![call]),
                Some(reply) => {
                    *self.1.borrow_mut() = reply.result.unwrap();
                    None
                }
            }
        }
    }
    let answer = std::rc::Rc::default();
    let call = Call { id: 1, to, location: None, message };
    world.start(Ask(Some(call), std::rc::Rc::clone(&answer)));
    while world.deliver() {}
    answer.take()
}

fn call_database(world: &mut World, object: &ObjectId, message: &ToDatabase) -> FromDatabase {
    let reply = ask(world, Address::Database(object.clone()), envelope::encode(message));
    envelope::decode(&reply).unwrap().1
}

/// Returns the values by time in all shards that have been opened and not closed.
fn visible(world: &World) -> BTreeMap<i64, Vec<FieldValue>> {
    let mut points: BTreeMap<i64, Vec<FieldValue>> = BTreeMap::new();
    for id in world.shard_ids() {
        let stored = stub_shard::stored(&id);
        let stored = stored.borrow();
        if stored.settings.is_some() && !stored.closed {
            for ((_, _, time_ns), fields) in &stored.points {
                points.entry(*time_ns).or_default().extend(fields.values().cloned());
            }
        }
    }
    points
}

fn open_shards(world: &World) -> usize {
    let ids = world.shard_ids().into_iter();
    let open = ids.filter(|id| {
        let stored = stub_shard::stored(id);
        let stored = stored.borrow();
        stored.settings.is_some() && !stored.closed
    });
    open.count()
}

#[test]
fn rule_1_uninitialised_database_rejects_messages() {
    let mut world = world(1);
    let object = ObjectId("never opened".into());
    let register = ToDatabase::Register {
        policy: PolicyId(1),
        sets: vec![ColumnSet { measurement: "m".into(), tags: vec![], fields: vec![] }],
        generation: 1,
    };
    let spec = PolicySpec { name: Some("p".into()), ..PolicySpec::default() };
    for message in [
        ToDatabase::Describe,
        ToDatabase::Schema { policy: PolicyId(1), after_version: 0 },
        register,
        ToDatabase::CreatePolicy { spec, make_default: true },
        ToDatabase::DropPolicy { name: "p".into() },
        ToDatabase::Drop,
    ] {
        assert_eq!(call_database(&mut world, &object, &message), FromDatabase::NotOpen);
        let store = world.store(&Address::Database(object.clone()));
        assert_eq!(store.is_open(), Ok(false), "{message:?} wrote something");
    }
}

#[test]
fn rule_2_shard_reports_stale_generation() {
    let mut world = world(2);
    let (a, b) = (Edge::default(), Edge::default());
    let old = START_NS - 3 * H_NS;
    world.run(&a, create("db", 1, None)).unwrap();
    assert_eq!(world.run(&b, write("db", &format!("m f=1 {old}"))), kept(1));
    // Edge b has the old retention in its cache, but its shard has the new retention.
    let shorter = PolicyChange {
        name: "autogen".into(),
        duration_ns: Some(2 * H_NS),
        shard_group_duration_ns: Some(H_NS),
        ..PolicyChange::default()
    };
    let message = ToDatabase::AlterPolicy { spec: shorter, make_default: false };
    world.run(&a, change(Change::within("db", message))).unwrap();
    let outcome = world.run(&b, write("db", &format!("m f=1 {old}\nm f=2 {START_NS}"))).unwrap();
    assert_eq!((outcome.points_written, outcome.rejected.outside_retention), (1, 1));
    let cause = outcome.rejected.named.first().map(|named| (named.line, named.cause.clone()));
    let oldest_kept_ns = START_NS - 2 * H_NS;
    let expected = LineRefusal::Retention { measurement: "m".into(), oldest_kept_ns, time_ns: old };
    assert_eq!(cause, Some((1, expected)));
}

/// A stale edge must not store points outside of a limit that another edge has set.
#[test]
fn rule_2_stale_edge_applies_new_write_limits() {
    let mut world = world(2);
    let edges: Vec<Edge> = (0..3).map(|_| Edge::default()).collect();
    world.run(&edges[0], create("db", 2, None)).unwrap();
    let (past, future) = (START_NS - 3 * H_NS, START_NS + 3 * H_NS);
    let lines = format!("m f=1 {past}\nm f=2 {START_NS}\nm f=3 {future}");
    for edge in &edges {
        assert_eq!(world.run(edge, write("db", &lines)), kept(3));
    }
    for (limits, rejected) in [
        ((Some(2 * H_NS), Some(2 * H_NS)), 2),
        ((Some(0), None), 1),
        ((None, Some(4 * H_NS)), 0),
        ((Some(H_NS), Some(0)), 1),
        ((Some(0), Some(0)), 0),
    ] {
        let (future_limit_ns, past_limit_ns) = limits;
        let name = "autogen".into();
        let spec = PolicyChange { name, future_limit_ns, past_limit_ns, ..PolicyChange::default() };
        let message = ToDatabase::AlterPolicy { spec, make_default: false };
        world.run(&edges[0], change(Change::within("db", message))).unwrap();
        for edge in &edges[1..] {
            let outcome = world.run(edge, write("db", &lines)).unwrap();
            let found = (outcome.points_written, outcome.rejected.outside_window);
            assert_eq!(found, (3 - rejected, rejected), "{limits:?}");
        }
    }
}

#[test]
fn rule_7_concurrent_creations_agree() {
    let (mut made, mut met) = (0, 0);
    for seed in 0..200 {
        let mut world = world(seed);
        let (a, b, c) = (Edge::default(), Edge::default(), Edge::default());
        let line = format!("m f=1 {START_NS}");
        let by_hand = world.start_task(&a, create("db", 1, None));
        let first = world.start_task(&b, write_or_create("db", None, &line));
        let second = world.start_task(&c, write_or_create("db", Some("p"), &line));
        while world.deliver() {}
        let Ok(outcome) = first.take().unwrap() else { panic!("{seed}: a write to no policy") };
        assert_eq!(outcome.points_written, 1);
        let second = second.take().unwrap();
        let p = Created { policy: "p".into(), duration_ns: H_NS };
        match &second {
            Ok(outcome) => assert_eq!(outcome.created, Some(p), "{seed}"),
            Err(error) => assert_eq!(*error, Error::PolicyNotFound("p".into()), "{seed}"),
        }
        let creators = usize::from(outcome.created.is_some()) + usize::from(second.is_ok());
        assert!(creators < 2, "{seed}");
        let by_hand = by_hand.take().unwrap();
        assert!(by_hand.is_ok(), "{seed}: {by_hand:?}");
        made += creators;
        met += usize::from(creators == 0);
    }
    assert!(made > 20 && met > 20, "{made} {met}");
}

#[test]
fn rule_3_stale_edge_uses_recreated_database() {
    let mut world = world(3);
    let (a, b) = (Edge::default(), Edge::default());
    world.run(&a, create("db", 2, None)).unwrap();
    assert_eq!(world.run(&b, write("db", "m f=1 1")), kept(1));
    assert_eq!(world.run(&a, drop_database("db")), Ok(Changed { existed: true }));
    assert_eq!(visible(&world), BTreeMap::new());
    let missing = Err(Error::DatabaseNotFound("db".into()));
    assert_eq!(world.run(&b, write("db", "m f=2 2")), missing);
    world.run(&a, create("db", 2, None)).unwrap();
    assert_eq!(world.run(&b, write("db", "m f=3i 3")), kept(1), "another type in another life");
    assert_eq!(visible(&world), BTreeMap::from([(3, vec![FieldValue::Integer(3)])]));
}

/// Runs a task. `answer` returns the reply to each of its calls.
pub(crate) fn script<T>(
    world: &mut World,
    edge: &Edge,
    task: &mut Task<T>,
    mut answer: impl FnMut(&mut World, &Call) -> Result<Vec<u8>, CallFailure>,
) -> Result<T, Error> {
    let mut open = Vec::new();
    let mut reply = None;
    loop {
        let platform = world.platform.clone();
        let mut cache = edge.cache.borrow_mut();
        let queries = &QueryMemory::default();
        let mut context = Context { cache: &mut cache, queries, platform: &platform };
        let step = task.step(&mut context, reply);
        drop(cache);
        match step {
            Step::Done(answer) => return answer,
            Step::Calls(calls) => open.extend(calls),
        }
        let call = open.pop().expect("a call to be answered");
        reply = Some(Reply { id: call.id, result: answer(world, &call) });
    }
}

#[test]
fn rule_4_rejected_frames_retry_at_most_twice() {
    for refusals in 1..=4 {
        let mut world = world(4);
        let edge = Edge::default();
        world.run(&edge, create("db", 2, None)).unwrap();
        let hosts = ["a", "b", "c", "d", "e", "f"];
        let lines: Vec<String> = hosts.iter().map(|host| format!("m,host={host} f=1 1")).collect();
        world.run(&edge, write("db", &lines.join("\n"))).unwrap();
        let mut appended: BTreeMap<ObjectId, u32> = BTreeMap::new();
        let mut left = refusals;
        let mut refused = None;
        let mut task = write("db", &lines.join("\n"));
        let answer = script(&mut world, &edge, &mut task, |world, call| {
            let Address::Shard(id) = &call.to else {
                return Ok(ask(world, call.to.clone(), call.message.clone()));
            };
            *appended.entry(id.clone()).or_default() += 1;
            if left > 0 && refused.get_or_insert_with(|| id.clone()) == id {
                left -= 1;
                return Ok(envelope::encode(&FromShard::OutOfRange));
            }
            Ok(ask(world, call.to.clone(), call.message.clone()))
        });
        let mut counts: Vec<u32> = appended.into_values().collect();
        counts.sort_unstable();
        if refusals <= 2 {
            assert_eq!((answer, counts), (kept(6), vec![1, refusals + 1]));
        } else {
            let changing = Err(Error::Unavailable(Unavailable::Changing));
            assert_eq!((answer, counts), (changing, vec![1, 3]));
        }
    }
}

/// A retry of some frames must not count their points again.
#[test]
fn rule_4_frames_count_write_once() {
    const POINTS: u64 = 400_000;
    let lines: String = (0..POINTS).map(|time_ns| format!("m f=1 {time_ns}\n")).collect();
    for refused in 0..3 {
        let mut world = world(4);
        let edge = Edge::default();
        world.run(&edge, create("db", 1, None)).unwrap();
        world.run(&edge, write("db", "m f=1 1")).unwrap();
        let rates = Rates { points: Some(1), ..Rates::default() };
        let quota = QuotaChange::Database { rates, stored_bytes: None, series: None };
        let quota = change(Change::within("db", ToDatabase::SetQuota(quota)));
        world.run(&edge, quota).unwrap();
        let (mut appends, mut counted) = (0, Vec::new());
        let mut task = write("db", &lines);
        let answer = script(&mut world, &edge, &mut task, |world, call| {
            if !matches!(call.to, Address::Shard(_)) {
                return Ok(ask(world, call.to.clone(), call.message.clone()));
            }
            let message = envelope::decode::<ToShard>(&call.message).unwrap().1;
            let ToShard::Append { stamp, .. } = message else { panic!("{message:?}") };
            appends += 1;
            if appends == refused + 1 {
                return Ok(envelope::encode(&FromShard::OutOfRange));
            }
            let meter = stamp.meter.unwrap();
            counted.push((meter.points, meter.request_milli));
            Ok(envelope::encode(&FromShard::appended(1)))
        });
        assert_eq!(answer, kept(POINTS));
        assert_eq!(counted, [(POINTS, 1_000), (0, 0), (0, 0)], "frame {refused} was refused");
    }
}

#[test]
fn rule_5_first_column_registration_wins() {
    let mut winners = BTreeMap::new();
    for seed in 0..100 {
        let mut world = world(seed);
        let (a, b) = (Edge::default(), Edge::default());
        world.run(&a, create("db", 1, None)).unwrap();
        let first = world.start_task(&a, write("db", "m f=1,g=1 1\nm other=1 2"));
        let second = world.start_task(&b, write("db", "m h=1 3\nm f=1i 4"));
        while world.deliver() {}
        let (first, second) = (first.take().unwrap().unwrap(), second.take().unwrap().unwrap());
        let lines = |outcome: &WriteOutcome| -> Vec<u32> {
            outcome.rejected.named.iter().map(|named| named.line).collect()
        };
        let mut times: Vec<i64> = visible(&world).into_keys().collect();
        match (lines(&first).as_slice(), lines(&second).as_slice()) {
            ([], [2]) => {
                assert_eq!(times, [1, 2, 3]);
                let cause = LineRefusal::Columns(RegisterRefusal::TypeConflict {
                    measurement: "m".into(),
                    field: "f".into(),
                    existing: FieldType::Float,
                    requested: FieldType::Integer,
                });
                assert_eq!(second.rejected.named.first().map(|n| &n.cause), Some(&cause));
                *winners.entry("a").or_insert(0) += 1;
            }
            ([1], []) => {
                times.sort_unstable();
                assert_eq!(times, [2, 3, 4]);
                // The rejected line registered no column, so that the name g can still be used.
                assert_eq!(world.run(&a, write("db", "m g=true 9")), kept(1));
                *winners.entry("b").or_insert(0) += 1;
            }
            other => panic!("seed {seed}: {other:?}"),
        }
    }
    assert_eq!(winners.len(), 2, "both orders were tried: {winners:?}");
}

#[test]
fn rule_5_first_line_decides_column_type() {
    let mut world = world(5);
    let edge = Edge::default();
    world.run(&edge, create("db", 1, None)).unwrap();
    let outcome = world.run(&edge, write("db", "m f=1 1\nm f=2i 2\nm f=3 3\nm f=4i,g=1 4"));
    let outcome = outcome.unwrap();
    let lines: Vec<u32> = outcome.rejected.named.iter().map(|named| named.line).collect();
    assert_eq!((outcome.points_written, lines), (2, vec![2, 4]));
    assert_eq!(visible(&world).into_keys().collect::<Vec<_>>(), [1, 3]);
}

#[test]
fn rule_6_cached_rejections_are_verified() {
    let mut world = world(6);
    let (a, b) = (Edge::default(), Edge::default());
    let short = PolicySpec { duration_ns: Some(H_NS), ..PolicySpec::default() };
    world.run(&a, create("db", 1, Some(short))).unwrap();
    assert_eq!(world.run(&b, write("db", &format!("m f=1 {START_NS}"))), kept(1));
    world.run(&a, alter("db", "autogen", 0)).unwrap();
    assert_eq!(world.run(&b, write("db", "m f=1 7")), kept(1));
    // Edge b does not have this policy in its cache.
    let spec = PolicySpec { name: Some("p".into()), ..PolicySpec::default() };
    let database = "db".to_owned();
    let message = ToDatabase::CreatePolicy { spec, make_default: false };
    world.run(&a, change(Change::within(&database, message))).unwrap();
    let mut request = write_request("db", "m f=1i 8");
    request.policy = Some("p".into());
    assert_eq!(world.run(&b, write_task(request.clone())), kept(1));
    request.policy = Some("q".into());
    let missing = Err(Error::PolicyNotFound("q".into()));
    assert_eq!(world.run(&b, write_task(request)), missing);
}

#[test]
fn rule_7_repeated_create_completes_interrupted_create() {
    for seed in 0..300 {
        let mut world = world(seed);
        let edge = Edge::default();
        world.faults = Faults { lost: 15, repeated: 15, crashed: 15, ..Faults::default() };
        let spec = PolicySpec { duration_ns: Some(2 * H_NS), ..PolicySpec::default() };
        for _ in 0..3 {
            let _ = world.run(&edge, create("db", 2, Some(spec.clone())));
        }
        world.faults = Faults::default();
        assert!(world.run(&edge, create("db", 2, Some(spec))).is_ok(), "seed {seed}");
        let other = PolicySpec { duration_ns: Some(3 * H_NS), ..PolicySpec::default() };
        let refused = world.run(&edge, create("db", 2, Some(other)));
        let Err(Error::Catalog(refusal)) = refused else { panic!("seed {seed}: {refused:?}") };
        assert_eq!(refusal.to_string(), PolicyRefusal::Conflict.to_string());
        assert_eq!(world.run(&edge, write("db", &format!("m f=1 {START_NS}"))), kept(1));
        world.settle();
        assert_eq!(open_shards(&world), 2, "seed {seed}");
    }
}

#[test]
fn rule_7_drop_closes_shards_and_wipes() {
    let (mut succeeded, mut failed) = (0, 0);
    for seed in 0..300 {
        let mut world = world(seed);
        let edge = Edge::default();
        world.run(&edge, create("db", 3, None)).unwrap();
        world.run(&edge, write("db", "m f=1 1")).unwrap();
        world.faults = Faults { lost: 15, repeated: 15, crashed: 15, ..Faults::default() };
        if world.run(&edge, drop_database("db")).is_ok() {
            assert_eq!(open_shards(&world), 0, "seed {seed}");
            succeeded += 1;
        } else {
            failed += 1;
        }
        world.faults = Faults::default();
        world.run(&edge, drop_database("db")).unwrap();
        assert_eq!(open_shards(&world), 0, "seed {seed}");
        world.settle();
        for id in world.shard_ids() {
            assert_eq!(stub_shard::stored(&id).borrow().settings, None, "seed {seed}: {id}");
        }
        let database = Address::Database(ObjectId("Database-0".into()));
        assert_eq!(world.store(&database).is_open(), Ok(false), "seed {seed}");
    }
    assert!(succeeded > 30 && failed > 30, "{succeeded} succeeded, {failed} failed");
}

#[test]
fn rule_8_failed_shard_fails_whole_write() {
    let mut world = world(8);
    let edge = Edge::default();
    world.run(&edge, create("db", 4, None)).unwrap();
    let hosts: Vec<String> = (0..20).map(|n| format!("m,host=h{n} f={n} {n}")).collect();
    let lines = format!("{}\nm f=1i 99", hosts.join("\n"));
    let mut failed = false;
    let answer = script(&mut world, &edge, &mut write("db", &lines), |world, call| {
        if matches!(call.to, Address::Shard(_)) && !std::mem::replace(&mut failed, true) {
            return Err(CallFailure::Overloaded);
        }
        Ok(ask(world, call.to.clone(), call.message.clone()))
    });
    assert_eq!(answer, Err(Error::Unavailable(Unavailable::Overloaded)));
    let outcome = world.run(&edge, write("db", &lines)).unwrap();
    assert_eq!((outcome.points_written, outcome.rejected.total), (20, 1));
    let expected = (0..20).map(|n| (n, vec![FieldValue::Float(n as f64)]));
    assert_eq!(visible(&world), expected.collect());
}

#[test]
fn rule_10_reads_continue_during_statement() {
    let mut world = world(10);
    let edge = Edge::default();
    world.run(&edge, create("db", 1, None)).unwrap();
    world.run(&edge, write("db", "m f=1 1")).unwrap();
    // The messages of the statement to the shards are delayed.
    let spec = PolicySpec { name: Some("p".into()), ..PolicySpec::default() };
    let message = ToDatabase::CreatePolicy { spec: spec.clone(), make_default: true };
    let object = ObjectId("Database-0".into());
    let mut database = tidemark_objects::database::Database::new(
        world.store(&Address::Database(object.clone())),
        object,
    );
    use tidemark_engine::protocol::event::EventHandler;
    let platform = world.platform.clone();
    let (event_id, step) = database.begin(&platform, &envelope::encode(&message));
    let Step::Calls(calls) = step else { panic!("no calls") };
    let ask = |database: &mut tidemark_objects::database::Database<_>, message: &ToDatabase| {
        let (_, step) = database.begin(&platform, &envelope::encode(message));
        let Step::Done(reply) = step else { panic!("{message:?} waits") };
        envelope::decode::<FromDatabase>(&reply).unwrap().1
    };
    let FromDatabase::Description(before) = ask(&mut database, &ToDatabase::Describe) else {
        panic!("no description")
    };
    let fields = vec![("g".to_owned(), FieldType::String)];
    let sets = vec![ColumnSet { measurement: "m".into(), tags: vec![], fields }];
    let policy = before.policies[0].id;
    let registered = ask(&mut database, &ToDatabase::Register { policy, sets, generation: 1 });
    assert_eq!(registered, FromDatabase::Registered { refusals: vec![None], version: 2 });
    assert_eq!((before.policies.len(), before.generation), (1, 1), "not published yet");
    // The second statement first completes the unfinished statement, by sending the same messages.
    let second = ToDatabase::DropPolicy { name: "p".into() };
    let (_, step) = database.begin(&platform, &envelope::encode(&second));
    let Step::Calls(repeated) = step else { panic!("no calls") };
    let messages = |calls: &[Call]| -> Vec<ToShard> {
        calls.iter().map(|call| envelope::decode(&call.message).unwrap().1).collect()
    };
    assert_eq!(messages(&repeated), messages(&calls));
    let done = Ok(envelope::encode(&FromShard::Done));
    let mut last = Step::Calls(vec![]);
    for call in calls {
        let reply = Reply { id: call.id, result: done.clone() };
        last = database.resume(&platform, event_id, reply);
    }
    assert_eq!(last, Step::Done(envelope::encode(&FromDatabase::Done)));
    let FromDatabase::Description(after) = ask(&mut database, &ToDatabase::Describe) else {
        panic!("no description")
    };
    let names: Vec<&str> = after.policies.iter().map(|policy| policy.name.as_str()).collect();
    assert_eq!((names, after.generation), (vec!["autogen", "p"], 2));
}

#[test]
fn rule_12_failing_job_stops_after_retries() {
    let mut world = world(12);
    let edge = Edge::default();
    world.run(&edge, create("db", 1, None)).unwrap();
    world.settle();
    world.faults.lost = 100;
    let failed = world.run(&edge, drop_database("db"));
    assert!(matches!(failed, Err(Error::Unavailable(_))), "{failed:?}");
    // The message did not reach the Catalog, so the Catalog has no alarm.
    assert!(!world.alarm_is_due_within(3_600 * S_NS));
    world.faults.lost = 0;
    let mut task = drop_database("db");
    let answer = script(&mut world, &edge, &mut task, |world, call| {
        // The message reaches the Catalog, but the Database does not respond.
        world.deliver_to_catalog_only(call)
    });
    assert!(matches!(answer, Err(Error::Unavailable(_))), "{answer:?}");
    let mut waits = Vec::new();
    world.faults.lost = 100;
    let mut last_ns = world.platform.time_ns();
    while world.alarm_is_due_within(12 * H_NS) && world.alarm() {
        while world.deliver() {}
        waits.push((world.platform.time_ns() - last_ns) / S_NS);
        last_ns = world.platform.time_ns();
    }
    assert_eq!(waits, [30, 60, 120], "then it is left alone");
    world.faults.lost = 0;
    assert_eq!(world.run(&edge, drop_database("db")), Ok(Changed { existed: true }));
}

#[test]
fn show_databases_and_policies_use_pages() {
    let mut world = world(20);
    let (a, b) = (Edge::default(), Edge::default());
    // The names together exceed the size of a page.
    let mut names: Vec<String> = (0..4_200).map(|number| format!("{number:0>250}")).collect();
    names.push("z".to_owned());
    for name in &names {
        world.run(&a, create(name, 1, None)).unwrap();
    }
    let expected = Ok(vec![metadata::show_databases(&names)]);
    assert!(world.run_statement(&b, "z", "SHOW DATABASES") == expected);
    let create = "CREATE RETENTION POLICY p ON z DURATION 1d REPLICATION 1 DEFAULT";
    assert_eq!(world.run_statement(&a, "z", create), Ok(vec![]));
    let shown = world.run_statement(&b, "z", "SHOW RETENTION POLICIES ON z").unwrap();
    assert_eq!(shown.len(), 1, "{shown:?}");
    // As in 1.x, a missing policy is no error.
    let drop = "DROP RETENTION POLICY p ON nowhere";
    assert_eq!(world.run_statement(&b, "z", drop), Ok(vec![]));
    let missing = Err(Error::DatabaseNotFound("nowhere".into()));
    assert_eq!(world.run_statement(&b, "z", "SHOW RETENTION POLICIES ON nowhere"), missing);
}
