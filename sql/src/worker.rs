//! Implements the functions that `worker.js` calls. Each session of this instance has a number.
//!
//! The interface passes only numbers and bytes, because the instance gets a new memory after a
//! trap. After the trap, an object of wasm-bindgen would point into the old memory.

use std::cell::RefCell;
use std::collections::BTreeMap;

use wasm_bindgen::prelude::wasm_bindgen;

use crate::query_session::QuerySession;
use crate::session::Engine;

thread_local! {
    static INSTANCE: RefCell<Instance> = RefCell::default();
}

#[derive(Default)]
struct Instance {
    engine: Engine,
    sessions: BTreeMap<u32, QuerySession>,
}

/// Installs the panic hook. The function runs when the module starts.
#[wasm_bindgen(start)]
pub fn start() {
    console_error_panic_hook::set_once();
}

/// Processes a message of a session and returns the reply. The first message creates the session.
#[wasm_bindgen]
pub fn turn(session: u32, message: &[u8]) -> Vec<u8> {
    INSTANCE.with_borrow_mut(|instance| {
        let Instance { engine, sessions } = instance;
        sessions.entry(session).or_default().turn(engine, message)
    })
}

/// Whether a session has sent its complete result.
#[wasm_bindgen]
pub fn is_over(session: u32) -> bool {
    INSTANCE
        .with_borrow(|instance| instance.sessions.get(&session).is_none_or(QuerySession::is_over))
}

/// Whether the last turn of a session stopped at its work limit.
#[wasm_bindgen]
pub fn is_cut_short(session: u32) -> bool {
    let is = |query_session: &QuerySession| query_session.is_cut_short();
    INSTANCE.with_borrow(|instance| instance.sessions.get(&session).is_some_and(is))
}

/// Ends a session.
#[wasm_bindgen]
pub fn end(session: u32) {
    INSTANCE.with_borrow_mut(|instance| drop(instance.sessions.remove(&session)));
}

/// Returns the size of this instance's memory, in bytes. The memory never shrinks.
#[wasm_bindgen]
pub fn memory_bytes() -> u32 {
    const PAGE_BYTES: usize = 65_536;
    u32::try_from(core::arch::wasm32::memory_size(0) * PAGE_BYTES).unwrap_or(u32::MAX)
}
