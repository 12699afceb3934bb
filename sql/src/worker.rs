//! What `worker.js` calls: the sessions of this instance, by number.
//!
//! Numbers and bytes alone pass: an object of wasm-bindgen would outlive the memory that it points
//! into when the instance is replaced after a trap.

use std::cell::RefCell;
use std::collections::BTreeMap;

use wasm_bindgen::prelude::wasm_bindgen;

use crate::answering::Answering;
use crate::session::Engine;

thread_local! {
    static INSTANCE: RefCell<Instance> = RefCell::default();
}

#[derive(Default)]
struct Instance {
    engine: Engine,
    sessions: BTreeMap<u32, Answering>,
}

/// Runs before anything else.
#[wasm_bindgen(start)]
pub fn start() {
    console_error_panic_hook::set_once();
}

/// The reply to a message of a session, which begins with its first one.
#[wasm_bindgen]
pub fn turn(session: u32, message: &[u8]) -> Vec<u8> {
    INSTANCE.with_borrow_mut(|instance| {
        let Instance { engine, sessions } = instance;
        sessions.entry(session).or_default().turn(engine, message)
    })
}

/// Whether a session has nothing left to say.
#[wasm_bindgen]
pub fn is_over(session: u32) -> bool {
    INSTANCE.with_borrow(|instance| instance.sessions.get(&session).is_none_or(Answering::is_over))
}

/// Whether the last turn of a session ended so that others are served before the next one.
#[wasm_bindgen]
pub fn is_cut_short(session: u32) -> bool {
    let is = |answering: &Answering| answering.is_cut_short();
    INSTANCE.with_borrow(|instance| instance.sessions.get(&session).is_some_and(is))
}

/// Ends a session.
#[wasm_bindgen]
pub fn end(session: u32) {
    INSTANCE.with_borrow_mut(|instance| drop(instance.sessions.remove(&session)));
}

/// Bytes of this instance's memory, which never shrinks.
#[wasm_bindgen]
pub fn memory_bytes() -> u32 {
    const PAGE_BYTES: usize = 65_536;
    u32::try_from(core::arch::wasm32::memory_size(0) * PAGE_BYTES).unwrap_or(u32::MAX)
}
