//! Exports the Shard object. A shard group has one or more such objects, under the ids that the
//! Database stores.
//!
//! `answer` receives one `ToShard` message and returns one `FromShard` message. After the reply,
//! and in the alarm, the shard flushes, merges and drops expired data. `protocol/PROTOCOL.md`
//! describes the messages and the alarm. The shard is never borrowed across an await, so that a
//! write is atomic.

use std::rc::Rc;

use wasm_bindgen::prelude::*;
use worker::worker_sys::DurableObjectState;
use worker::{Env, State};

use super::config;
use super::hosted::Hosted;
use super::platform::random_u64;
use super::store::DoStore;
use crate::model::limits::MEMTABLE_BYTES_MAX;
use crate::shard::budget::Budget;
use crate::shard::host::ShardHost;
use crate::shard::turns::Pages;

thread_local! {
    /// The memory budget of the memtables. All shards of the isolate share this budget, because
    /// they use the same memory.
    static BUDGET: Rc<Budget> = Budget::new(MEMTABLE_BYTES_MAX, random_u64());
    /// The page counters. All shards of the isolate share these counters, because they use the same
    /// thread.
    static PAGES: Rc<Pages> = Rc::default();
}

/// The Durable Object class `Shard`.
#[wasm_bindgen]
pub struct Shard {
    hosted: Hosted<ShardHost<DoStore>>,
}

#[wasm_bindgen]
impl Shard {
    /// Creates the object from the runtime's state and environment.
    #[wasm_bindgen(constructor)]
    pub fn new(state: DurableObjectState, env: Env) -> Self {
        let state = State::from(state);
        // Invalid settings disable writes. The Worker reports the error.
        let full_bytes = config::settings(&env).map_or(0, |settings| settings.shard_full_bytes);
        let budget = BUDGET.with(Rc::clone);
        let shard = crate::shard::Shard::new(DoStore::new(&state), budget, full_bytes);
        let host = ShardHost::new(shard, PAGES.with(Rc::clone)).with_work_after_replies();
        Self { hosted: Hosted::new(state, &env, host).going_back() }
    }

    /// Executes a message.
    ///
    /// # Errors
    /// The runtime's exception. After an exception, the effect of the message is unknown.
    pub async fn answer(&self, message: Vec<u8>) -> Result<Vec<u8>, JsValue> {
        Ok(self.hosted.answer(message).await?)
    }

    /// Runs the jobs that are due.
    pub async fn alarm(&self) {
        self.hosted.alarm().await;
    }
}
