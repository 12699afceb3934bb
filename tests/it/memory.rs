//! Measures the edge's memory during large writes, with the allocator's counters for each thread.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use tidemark_engine::protocol::call::{Call, Reply};
use tidemark_model::limits::{BODIES_IN_FLIGHT_BYTES_MAX, BODY_BYTES_MAX};
use tidemark_server::action::Action;
use tidemark_server::exchange::Exchange;
use tidemark_server::isolate_state::Service;

use crate::allocator::{live, peak_since};
use crate::product::gzip;
use crate::protocol::{create, world};
use crate::world::platform::TestPlatform;
use crate::world::{Client, Edge};
use crate::write_overload::{head, service};

/// The size of the chunks in which the edge reads a body.
const PIECE_BYTES: usize = 256 << 10;

/// A write whose exchange is measured. The memory of the called objects is not measured.
struct Measured {
    exchange: Option<Exchange>,
    service: Service,
    headers: Vec<(&'static str, String)>,
    /// The request body. Its memory does not count.
    body: Vec<u8>,
    held: isize,
    /// The bytes of the calls without a reply, by the id of the call.
    sent: BTreeMap<u32, isize>,
    outcome: Rc<RefCell<(u16, isize)>>,
}

impl Measured {
    fn measure(&mut self, step: impl FnOnce(&mut Self) -> Action) -> Action {
        let before = live();
        let action = step(self);
        let peak = self.held + peak_since() - before;
        self.held += live() - before;
        let highest = self.outcome.borrow().1.max(peak);
        self.outcome.borrow_mut().1 = highest;
        action
    }

    fn read(&mut self, platform: &TestPlatform) -> Action {
        let Some(exchange) = &mut self.exchange else { return Action::End };
        for piece in self.body.chunks(PIECE_BYTES) {
            let append = |held: &mut Vec<u8>| held.extend_from_slice(piece);
            let refusal = exchange.receive_piece(piece.len(), platform.time_ns(), append);
            if let Some(refusal) = refusal {
                return refusal;
            }
        }
        exchange.step(&mut self.service, platform, None)
    }
}

impl Client for Measured {
    fn step(&mut self, platform: &TestPlatform, reply: Option<Reply>) -> Option<Vec<Call>> {
        let sent = reply.as_ref().and_then(|reply| self.sent.remove(&reply.id));
        self.held -= sent.unwrap_or_default();
        let mut action = self.measure(|this| match (reply, &mut this.exchange) {
            (Some(reply), Some(exchange)) => {
                exchange.step(&mut this.service, platform, Some(reply))
            }
            _ => {
                let head = head("/write?db=db&precision=s", &this.headers);
                let (exchange, action) = Exchange::start(&mut this.service, platform, head);
                this.exchange = Some(exchange);
                action
            }
        });
        if let Action::ReadBody = action {
            action = self.measure(|this| this.read(platform));
        }
        match action {
            Action::Calls(calls) => {
                // The bytes of a call count until its reply arrives.
                let sent = calls.iter().map(|call| (call.id, call.message.capacity() as isize));
                self.sent.extend(sent);
                Some(calls)
            }
            Action::Respond(response) => {
                self.outcome.borrow_mut().0 = response.status;
                None
            }
            other => panic!("{other:?}"),
        }
    }
}

fn body(line: Line) -> Vec<u8> {
    body_of(line, BODY_BYTES_MAX)
}

fn body_of(line: Line, bytes_max: usize) -> Vec<u8> {
    let mut body = Vec::with_capacity(bytes_max);
    for line in (0..).map(line) {
        if body.len() + line.len() >= bytes_max {
            break;
        }
        body.extend_from_slice(line.as_bytes());
        body.push(b'\n');
    }
    body
}

fn peak(body: Vec<u8>, headers: Vec<(&'static str, String)>) -> (u16, isize) {
    let mut world = world(3);
    world.run(&Edge::default(), create("db", 1, None)).unwrap();
    let outcome = Rc::default();
    let (service, held) = (service(), 0);
    let (sent, outcome_of) = (BTreeMap::new(), Rc::clone(&outcome));
    let measured =
        Measured { exchange: None, service, headers, body, held, sent, outcome: outcome_of };
    world.start(measured);
    while world.deliver() {}
    outcome.take()
}

type Line = fn(usize) -> String;

/// Difficult lines have many columns per byte of text, or values that do not repeat.
fn shapes() -> [(&'static str, Line); 7] {
    [
        ("integers", |n| {
            let (host, time) = (n % 100, 1_700_000_000 + n / 100);
            let [a, b, c, d] = [97, 89, 83, 79].map(|modulus| n % modulus);
            let fields = format!("user={a}i,system={b}i,idle={c}i,nice={d}i");
            format!("cpu,hostname=host_{host},region=eu-west-1 {fields} {time}")
        }),
        ("full-precision floats", |n| {
            let (host, time) = (n % 100, 1_700_000_000 + n / 100);
            let [a, b, c, d] = [97, 89, 83, 79].map(|modulus| (n % modulus) as f64 / 13.0);
            let fields = format!("user={a},system={b},idle={c},nice={d}");
            format!("cpu,hostname=host_{host},region=eu-west-1 {fields} {time}")
        }),
        ("random floats", |n| {
            let (host, time) = (n % 100, 1_700_000_000 + n / 100);
            let [a, b] = [n, n + 7].map(|n| {
                let bits = (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 12;
                f64::from_bits(0x3ff0_0000_0000_0000 | bits)
            });
            format!("m,host={host} a={a},b={b} {time}")
        }),
        ("strings", |n| {
            format!("log,host=a message=\"request {n} took a while\",level=\"info\" {n}")
        }),
        ("strings of a megabyte", |n| format!("log s=\"{}\" {n}", "x".repeat(1_000_000))),
        ("short lines", |n| format!("m,id={} v={}.{},w={} {n}", n % 10, n % 1_000, n % 89, n % 7)),
        ("one sensor", |n| format!("temperature,room=a value={}.{} {n}", n % 30, n % 10)),
    ]
}

#[test]
fn large_body_needs_twice_its_size() {
    for (number, (name, line)) in shapes().into_iter().enumerate() {
        let body = body(line);
        let bytes = body.len() as isize;
        let (how, body, headers) = match number {
            0 => ("gzip", gzip(&body), vec![("content-encoding", "gzip".to_owned())]),
            1 => ("unannounced", body, vec![]),
            _ => ("announced", body, vec![("content-length", bytes.to_string())]),
        };
        let (status, peak) = peak(body, headers);
        println!("{name}, {how}: {bytes} bytes peak at {:.2}", peak as f64 / bytes as f64);
        assert_eq!(status, 204, "{name}, {how}");
        // Text that does not repeat is in memory twice: in the columns and in the frame.
        let most = if name == "strings of a megabyte" { bytes * 5 / 2 } else { 2 * bytes };
        assert!(peak < most, "{name}, {how}: {bytes} bytes peak at {peak}");
    }
}

/// Eight bytes of text become a point that needs twenty bytes in columns. A body of 25 MB must be
/// sent in smaller bodies.
#[test]
fn column_memory_limits_dense_bodies() {
    let shapes: [(&str, Line); 2] = [
        ("shortest lines", |n| format!("m v=1 {}", n % 10)),
        ("new series", |n| format!("m,t={n} v=1 1")),
    ];
    for (name, line) in shapes {
        for (bytes_max, expected) in [(10_000_000, 204), (BODY_BYTES_MAX, 413)] {
            let body = body_of(line, bytes_max);
            let bytes = body.len();
            let (status, peak) = peak(body, vec![("content-length", bytes.to_string())]);
            println!("{name}: {bytes} bytes peak at {peak}");
            assert_eq!(status, expected, "{name}");
            // Columns that grow are copied. The copies are not counted.
            assert!(peak < 3 * BODIES_IN_FLIGHT_BYTES_MAX as isize / 2, "{name}: {peak}");
        }
    }
}

/// A field needs far more memory than its only value.
#[test]
fn field_memory_limits_wide_bodies() {
    let line: Line = |n| {
        let fields: Vec<String> = (0..1_000).map(|field| format!("f{field}=t")).collect();
        format!("m{n} {}", fields.join(","))
    };
    let (status, peak) = peak(body_of(line, 5_000_000), vec![]);
    println!("peak {peak}");
    assert_eq!(status, 413);
    assert!(peak < 3 * BODIES_IN_FLIGHT_BYTES_MAX as isize / 2, "{peak}");
}

/// A compressed body of 200 MB with only one line exceeds the limit for lines.
#[test]
fn gzip_bomb_needs_little_memory() {
    let bomb = gzip(&vec![0; 200_000_000]);
    let (status, peak) = peak(bomb, vec![("content-encoding", "gzip".to_owned())]);
    println!("peak {peak}");
    assert_eq!(status, 413);
    assert!(peak < 8_000_000, "{peak}");
}

/// Columns are counted too. The data that waits for its shards counts until the response.
#[test]
fn concurrent_bodies_stay_within_memory_budget() {
    let (_, line) = shapes()[0];
    let body = body(line);
    let (mut service, platform) = (service(), TestPlatform::new(1));
    let before = live();
    let mut writing = Vec::new();
    let mut refused = 0;
    for _ in 0..16 {
        let head = head("/write?db=db&precision=s", &[("content-length", body.len().to_string())]);
        let (mut exchange, action) = Exchange::start(&mut service, &platform, head);
        assert_eq!(action, Action::ReadBody);
        let refusal = body.chunks(PIECE_BYTES).find_map(|piece| {
            exchange.receive_piece(piece.len(), 0, |held| held.extend_from_slice(piece))
        });
        if let Some(Action::Respond(response)) = &refusal {
            let retry = response.headers.iter().find(|(name, _)| *name == "Retry-After");
            assert_eq!((response.status, retry.map(|(_, s)| &**s)), (503, Some("1")));
            refused += 1;
            continue;
        }
        let action = exchange.step(&mut service, &platform, None);
        assert!(matches!(action, Action::Calls(_)), "{action:?}");
        writing.push(exchange);
        let held = live() - before;
        assert!(held <= BODIES_IN_FLIGHT_BYTES_MAX as isize, "{held}");
    }
    assert_eq!((writing.len(), refused), (2, 14));
    drop(writing);
    assert_eq!(service.admission.free_bytes(), BODIES_IN_FLIGHT_BYTES_MAX);
}
