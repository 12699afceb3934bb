//! Measures the edge's memory during many concurrent queries, with the allocator's counters for
//! each thread.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tidemark_engine::protocol::call::{Call, Reply};
use tidemark_model::limits::{QUERIES_BYTES_MAX, REPLY_PIECE_BYTES, WHOLE_REPLY_BYTES_MAX};
use tidemark_server::action::Action;
use tidemark_server::exchange::Exchange;
use tidemark_server::isolate_state::Service;
use xxhash_rust::xxh64::xxh64;

use crate::allocator::{live, peak_since};
use crate::product::form;
use crate::protocol::{create, write};
use crate::world::platform::TestPlatform;
use crate::world::{Client, Edge, World, is_thorough, real_shard};
use crate::write_overload::{head, service};

const POINTS: usize = 300_000;
const SERIES: usize = 20_000;
const PER_WRITE: usize = 50_000;

/// The current and the maximum memory of one edge's exchanges.
#[derive(Clone, Default)]
struct Counted {
    held: Rc<Cell<isize>>,
    peak: Rc<Cell<isize>>,
    piece: Rc<Cell<usize>>,
}

impl Counted {
    fn measure<T>(&self, step: impl FnOnce() -> T) -> T {
        let before = live();
        let done = step();
        self.peak.set(self.peak.get().max(self.held.get() + peak_since() - before));
        self.held.set(self.held.get() + live() - before);
        done
    }
}

/// The status, and a hash of all bytes that have arrived so far.
type Answer = Rc<RefCell<(u16, u64, usize)>>;

/// A query whose exchange is measured. The memory of the called objects is not measured.
struct Asking {
    target: String,
    exchange: Option<Exchange>,
    service: Rc<RefCell<Service>>,
    counted: Counted,
    answer: Answer,
}

impl Asking {
    fn take(&self, body: Vec<u8>) {
        let mut answer = self.answer.borrow_mut();
        // The sizes of the chunks depend on the free memory, so the hash must not depend on them.
        for byte in &body {
            answer.1 = answer.1.wrapping_mul(0x100_0000_01b3) ^ u64::from(*byte);
        }
        answer.2 += body.len();
        self.counted.piece.set(self.counted.piece.get().max(body.len()));
        self.counted.measure(|| drop(body));
    }
}

impl Client for Asking {
    fn step(&mut self, platform: &TestPlatform, mut reply: Option<Reply>) -> Option<Vec<Call>> {
        loop {
            let (counted, service) = (self.counted.clone(), Rc::clone(&self.service));
            let service = &mut *service.borrow_mut();
            let mut action = counted.measure(|| match (&mut self.exchange, reply.take()) {
                (Some(exchange), Some(reply)) => exchange.step(service, platform, Some(reply)),
                (Some(exchange), None) => exchange.step(service, platform, None),
                (none, _) => {
                    let (exchange, action) =
                        Exchange::start(service, platform, head(&self.target, &[]));
                    *none = Some(exchange);
                    action
                }
            });
            if let (Action::ReadBody, Some(exchange)) = (&action, &mut self.exchange) {
                action = counted.measure(|| exchange.step(service, platform, None));
            }
            match action {
                Action::Calls(calls) => return Some(calls),
                Action::Stream(response) => {
                    self.answer.borrow_mut().0 = response.status;
                    self.take(response.body);
                }
                Action::Bytes(bytes) => self.take(bytes),
                Action::Respond(response) => {
                    self.answer.borrow_mut().0 = response.status;
                    self.take(response.body);
                    self.exchange = None;
                    return None;
                }
                Action::End => {
                    self.exchange = None;
                    return None;
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

fn loaded(shards: u32) -> World {
    let mut world = World::new(11, real_shard::make);
    let edge = Edge::default();
    world.run(&edge, create("db", shards, None)).unwrap();
    for from in (0..POINTS).step_by(PER_WRITE) {
        let line = |n: usize| {
            let (series, value) = (n % SERIES, xxh64(&(n as u64).to_le_bytes(), 7) >> 2);
            format!("m,id=i{series},g=g{} v={value}i,w={n}i {}\n", series % 50, n * 1_000_000)
        };
        let lines: String = (from..from + PER_WRITE).map(line).collect();
        world.run(&edge, write("db", &lines)).unwrap();
    }
    world
}

fn ask(world: &mut World, texts: &[&str]) -> (Vec<(u16, u64, usize)>, isize, usize) {
    let target = |text: &&str| format!("/query?{}", form(&[("db", "db"), ("q", text)]));
    get(world, &texts.iter().map(target).collect::<Vec<_>>())
}

fn get(world: &mut World, targets: &[String]) -> (Vec<(u16, u64, usize)>, isize, usize) {
    let (service, counted) = (Rc::new(RefCell::new(service())), Counted::default());
    let answers: Vec<Answer> = targets.iter().map(|_| Answer::default()).collect();
    for (target, answer) in targets.iter().zip(&answers) {
        world.start(Asking {
            target: target.clone(),
            exchange: None,
            service: Rc::clone(&service),
            counted: counted.clone(),
            answer: Rc::clone(answer),
        });
    }
    while world.deliver() {}
    assert_eq!(service.borrow().queries.free_bytes(), QUERIES_BYTES_MAX);
    let answers = answers.iter().map(|answer| *answer.borrow()).collect();
    (answers, counted.peak.get(), counted.piece.get())
}

/// Concurrent queries wait for each other, so that they do not need fifteen times the memory.
#[test]
fn heavy_queries_stay_within_query_memory() {
    let kinds = [
        "SELECT v, w FROM m",
        "SELECT sum(v), max(w), first(w) FROM m GROUP BY id",
        "SELECT mean(w) FROM m WHERE time < 1h GROUP BY g, time(100ms) fill(none)",
        "SHOW SERIES",
        "SELECT count(d) FROM (SELECT difference(w) AS d FROM m GROUP BY id)",
    ];
    let shards: &[u32] = if is_thorough() { &[1, 4] } else { &[4] };
    for &shards in shards {
        let mut world = loaded(shards);
        let alone: Vec<_> = kinds.iter().map(|text| ask(&mut world, &[text])).collect();
        let texts: Vec<&str> = kinds.iter().copied().cycle().take(15).collect();
        let (answers, peak, _) = ask(&mut world, &texts);
        for (number, (answer, text)) in answers.iter().zip(&texts).enumerate() {
            let (expected, peak, _) = &alone[number % kinds.len()];
            println!("{shards} shards, {text}: {answer:?}, alone a peak of {peak}");
            assert_eq!((answer.0, answer), (200, &expected[0]), "{shards} shards, {text}");
        }
        println!("{shards} shards: a peak of {peak}");
        assert!(peak < 24_000_000, "{shards} shards: {peak}");
    }
}

/// Queries that keep all their values in memory restart one after another. Small queries of the
/// same database overtake them.
#[test]
fn small_queries_overtake_gathering_queries() {
    let kinds = ["SELECT median(v), mode(w) FROM m", "SELECT distinct(v) FROM m WHERE w < 1000000"];
    let small = "SELECT last(v) FROM m WHERE id = 'i7'";
    let mut world = loaded(4);
    let alone: Vec<_> = kinds.iter().map(|text| ask(&mut world, &[text])).collect();
    let (small_alone, _, _) = ask(&mut world, &[small]);
    let mut texts: Vec<&str> = kinds.iter().copied().cycle().take(12).collect();
    texts.push(small);
    let (mut answers, _, _) = ask(&mut world, &texts);
    let small_answer = answers.pop().unwrap();
    for (number, answer) in answers.iter().enumerate() {
        let (expected, _, _) = &alone[number % kinds.len()];
        assert_eq!((answer.0, answer), (200, &expected[0]), "{number}");
    }
    assert_eq!((small_answer.0, small_answer), (200, small_alone[0]));
}

/// The text of the result would be much larger than its only chunk.
#[test]
fn million_windows_are_sent_in_chunks() {
    let mut world = loaded(1);
    let text = "SELECT mean(w) FROM m WHERE time >= 0 AND time < 1000s GROUP BY time(1ms)";
    let (answers, peak, piece) = ask(&mut world, &[text]);
    println!("{answers:?}: a peak of {peak}, a piece of {piece}");
    assert_eq!((answers[0].0, answers[0].2 > 30_000_000), (200, true), "{answers:?}");
    assert!(piece < WHOLE_REPLY_BYTES_MAX + REPLY_PIECE_BYTES * 2, "{piece}");
}

/// Each row of the response repeats a long tag value, which is in memory once.
#[test]
fn long_rows_are_sent_in_pieces() {
    let mut world = World::new(11, real_shard::make);
    let edge = Edge::default();
    world.run(&edge, create("db", 1, None)).unwrap();
    let id = "x".repeat(60_000);
    let points: String = (0..200).map(|n| format!("m,id={id} v={n}i {n}\n")).collect();
    world.run(&edge, write("db", &points)).unwrap();
    for target in [
        "/query?db=db&q=SELECT+v,id+FROM+m",
        "/query?db=db&chunked=true&q=SELECT+v,id+FROM+m",
        "/query?db=db&chunked=true&chunk_size=1&q=SELECT+v+FROM+m+GROUP+BY+*",
        "/api/v3/query_influxql?db=db&format=jsonl&q=SELECT+v,id+FROM+m",
        "/api/v3/query_influxql?db=db&format=csv&q=SELECT+v+FROM+m+GROUP+BY+*",
        "/api/v3/query_influxql?db=db&format=arrow&q=SELECT+v+FROM+m+GROUP+BY+*",
        "/api/v3/export?db=db",
    ] {
        let (answers, peak, piece) = get(&mut world, &[target.to_owned()]);
        println!("{target}: {answers:?}, a peak of {peak}, a piece of {piece}");
        assert!(answers[0].0 == 200 && answers[0].2 > 200 * id.len(), "{target}: {answers:?}");
        assert!(piece < WHOLE_REPLY_BYTES_MAX + REPLY_PIECE_BYTES + 2 * id.len(), "{target}");
    }
}
