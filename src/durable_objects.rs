//! Exports the classes of the Durable Objects: the Catalog, the Databases and the Shards.
//! `protocol/PROTOCOL.md` describes their messages and alarms.

use std::rc::Rc;

use wasm_bindgen::prelude::*;
use worker::worker_sys::DurableObjectState;
use worker::{Env, State};

use super::entry::query_memory;
use super::hosted::Hosted;
use super::platform::{self, random_u64};
use super::store::DoStore;
use tidemark_coordinator::continuous::Runner;
use tidemark_engine::shard::budget::Budget;
use tidemark_engine::shard::events::ShardEvents;
use tidemark_engine::shard::page_queue::Pages;
use tidemark_model::ids::ObjectId;
use tidemark_model::limits::MEMTABLE_BYTES_MAX;

thread_local! {
    /// The memory budget of the memtables. All shards of the isolate share this budget, because
    /// they use the same memory.
    static BUDGET: Rc<Budget> = Budget::new(MEMTABLE_BYTES_MAX, random_u64());
    /// The page counters. All shards of the isolate share these counters, because they use the same
    /// thread.
    static PAGES: Rc<Pages> = Rc::default();
}

/// Defines a Durable Object class, whose instances are created from the runtime's state and
/// environment with `$new`.
macro_rules! durable_object {
    ($(#[doc = $doc:literal])* $class:ident($handler:ty), $new:expr) => {
        $(#[doc = $doc])*
        #[wasm_bindgen]
        pub struct $class {
            hosted: Hosted<$handler>,
        }

        #[wasm_bindgen]
        impl $class {
            /// Creates the object from the runtime's state and environment.
            #[wasm_bindgen(constructor)]
            pub fn new(state: DurableObjectState, env: Env) -> Self {
                Self { hosted: ($new)(State::from(state), &env) }
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
    };
}

durable_object!(
    /// The Durable Object class `Catalog`. A deployment has one Catalog, whose name is `catalog`.
    /// The alarm finishes databases that are being created or dropped.
    Catalog(tidemark_objects::catalog::Catalog<DoStore>),
    |state: State, env| {
        let handler = tidemark_objects::catalog::Catalog::new(DoStore::new(&state));
        Hosted::new(state, env, handler, false)
    }
);

durable_object!(
    /// The Durable Object class `Database`. Each database has one such object, under the id that
    /// the Catalog stores. The alarm runs the job queue and the continuous queries.
    Database(Runner<DoStore>),
    |state: State, env| {
        let object = ObjectId(state.id().to_string());
        // Invalid settings disable splits. The Worker reports the error.
        let split_bytes = platform::settings(env).map_or(0, |settings| settings.shard_split_bytes);
        let handler = tidemark_objects::database::Database::new(DoStore::new(&state), object.clone());
        let handler = Runner::new(handler.splitting_at(split_bytes), object, query_memory(env));
        Hosted::new(state, env, handler, true)
    }
);

durable_object!(
    /// The Durable Object class `Shard`. A shard group has one or more such objects, under the ids
    /// that the Database stores. After a reply, and in the alarm, the shard flushes, merges and
    /// drops expired data. The shard is never borrowed across an await, so that a write is atomic.
    Shard(ShardEvents<DoStore>),
    |state: State, env| {
        // Invalid settings disable writes. The Worker reports the error.
        let full_bytes = platform::settings(env).map_or(0, |settings| settings.shard_full_bytes);
        let budget = BUDGET.with(Rc::clone);
        let shard = tidemark_engine::shard::Shard::new(DoStore::new(&state), budget, full_bytes);
        let handler = ShardEvents::new(shard, PAGES.with(Rc::clone)).with_work_after_replies();
        Hosted::new(state, env, handler, true)
    }
);
