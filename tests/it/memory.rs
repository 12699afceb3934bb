//! What a large write costs in memory at the edge: counted by the allocator, per thread.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tidemark::api::action::Action;
use tidemark::api::exchange::{Exchange, Service};
use tidemark::model::limits::BODY_BYTES_MAX;
use tidemark::protocol::call::{Call, Reply};

use crate::protocol::{create, world};
use crate::world::platform::TestPlatform;
use crate::world::{Client, Edge};
use crate::write_overload::{head, service};

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

/// The system's allocator, counting.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count(bytes: isize) {
    // A thread that is ending has no counters any more, and nobody who reads them.
    let _ = LIVE.try_with(|live| {
        live.set(live.get() + bytes);
        PEAK.with(|peak| peak.set(peak.get().max(live.get())));
    });
}

#[expect(unsafe_code, reason = "an allocator cannot be written without")]
// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Counted as a move, which it may be: both are there at once.
        count(size as isize);
        // SAFETY: the caller's promises are the system allocator's.
        let moved = unsafe { System.realloc(pointer, layout, size) };
        count(-(layout.size() as isize));
        moved
    }
}

/// A write whose exchange alone is measured, not the objects that it calls.
struct Measured {
    exchange: Option<Exchange>,
    service: Service,
    target: String,
    body: Vec<u8>,
    held: isize,
    outcome: Rc<RefCell<(u16, isize)>>,
}

impl Measured {
    fn measure(&mut self, step: impl FnOnce(&mut Self) -> Action) -> Action {
        let before = LIVE.get();
        PEAK.set(before);
        let action = step(self);
        let peak = self.held + PEAK.get() - before;
        self.held += LIVE.get() - before;
        let highest = self.outcome.borrow().1.max(peak);
        self.outcome.borrow_mut().1 = highest;
        action
    }
}

impl Client for Measured {
    fn step(&mut self, platform: &TestPlatform, reply: Option<Reply>) -> Option<Vec<Call>> {
        let mut action = match reply {
            None => {
                let head = head(&self.target, &[]);
                let (exchange, action) = Exchange::start(&mut self.service, platform, head);
                self.exchange = Some(exchange);
                action
            }
            Some(reply) => self.measure(|this| match &mut this.exchange {
                Some(exchange) => exchange.reply(&mut this.service, platform, reply),
                None => Action::End,
            }),
        };
        if let Action::ReadBody { .. } = action {
            let body = std::mem::take(&mut self.body);
            self.held = body.len() as isize;
            action = self.measure(|this| match &mut this.exchange {
                Some(exchange) => {
                    assert_eq!(exchange.body_grew(body.len()), None);
                    exchange.body(&mut this.service, platform, body)
                }
                None => Action::End,
            });
        }
        match action {
            Action::Calls(calls) => Some(calls),
            Action::Respond(response) => {
                self.outcome.borrow_mut().0 = response.status;
                None
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Status, bytes of the body and bytes at the peak of a write of lines as large as a body may be.
fn peak(line: fn(usize) -> String) -> (u16, isize, isize) {
    let mut body = Vec::with_capacity(BODY_BYTES_MAX);
    for line in (0..).map(line) {
        if body.len() + line.len() >= BODY_BYTES_MAX {
            break;
        }
        body.extend_from_slice(line.as_bytes());
        body.push(b'\n');
    }
    let bytes = body.len() as isize;
    let mut world = world(3);
    world.run(&Edge::default(), create("db", 1, None)).unwrap();
    let outcome = Rc::default();
    let target = "/write?db=db&precision=s".to_owned();
    let (service, held) = (service(), 0);
    let measured =
        Measured { exchange: None, service, target, body, held, outcome: Rc::clone(&outcome) };
    world.start(measured);
    while world.deliver() {}
    let (status, peak) = outcome.take();
    (status, bytes, peak)
}

/// The aim is twice the body; these are the bounds that hold today. Columns double as they grow and
/// are there twice for a moment, strings most of all, and lines of 20 bytes with two values are
/// wider as columns (32 bytes a row) than as text.
#[test]
fn a_body_of_25_mb_peaks_within_the_bound_of_its_shape() {
    type Line = fn(usize) -> String;
    let integers = |n: usize| {
        let (host, time) = (n % 100, 1_700_000_000 + n / 100);
        let [a, b, c, d] = [97, 89, 83, 79].map(|modulus| n % modulus);
        let fields = format!("user={a}i,system={b}i,idle={c}i,nice={d}i");
        format!("cpu,hostname=host_{host},region=eu-west-1 {fields} {time}")
    };
    let floats = |n: usize| {
        let (host, time) = (n % 100, 1_700_000_000 + n / 100);
        let [a, b, c, d] = [97, 89, 83, 79].map(|modulus| (n % modulus) as f64 / 13.0);
        let fields = format!("user={a},system={b},idle={c},nice={d}");
        format!("cpu,hostname=host_{host},region=eu-west-1 {fields} {time}")
    };
    let strings =
        |n: usize| format!("log,host=a message=\"request {n} took a while\",level=\"info\" {n}");
    let short = |n: usize| format!("m,id={} v={}.{},w={} {n}", n % 10, n % 1_000, n % 89, n % 7);
    let shapes: [(&str, isize, Line); 4] = [
        ("full-precision floats", 200, floats),
        ("integers", 220, integers),
        ("strings", 300, strings),
        ("short lines", 350, short),
    ];
    for (name, percent, line) in shapes {
        let (status, bytes, peak) = peak(line);
        println!("{name}: {bytes} bytes peak at {peak}");
        assert_eq!(status, 204, "{name}");
        assert!(peak * 100 < bytes * percent, "{name}: {bytes} bytes peak at {peak}");
    }
}
