//! The line protocol benchmark in WASM. `line_protocol.mjs` calls these functions in Node's V8.
#![expect(clippy::unwrap_used, reason = "a benchmark stops at the first surprise")]

mod bodies;
mod parsers;
mod stages;

use std::cell::RefCell;
use std::hint::black_box;

thread_local! {
    static BODIES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Returns the total size of the bodies of shape `shape`.
// SAFETY: no other symbol has this name.
#[unsafe(no_mangle)]
pub extern "C" fn prepare(shape: usize) -> usize {
    let bodies = bodies::SHAPES.get(shape).unwrap().1();
    let bytes = bodies.iter().map(String::len).sum();
    BODIES.set(bodies);
    bytes
}

/// Uses InfluxDB 3's parser unless `ours` is set.
// SAFETY: no other symbol has this name.
#[unsafe(no_mangle)]
pub extern "C" fn run(ours: bool) {
    BODIES.with_borrow(|bodies| {
        for body in bodies {
            match ours {
                true => _ = black_box(parsers::parse(body.as_bytes())),
                false => parsers::parse_v3(body.as_bytes()),
            }
        }
    });
}
