//! Exports a Database object. There is one per database, under the id that the Catalog stores.
//!
//! `answer` takes one `ToDatabase` message and answers one `FromDatabase`; the alarm drives its job
//! queue and its continuous queries. `protocol/PROTOCOL.md` draws both.

use wasm_bindgen::prelude::*;
use worker::worker_sys::DurableObjectState;
use worker::{Env, State};

use super::config;
use super::entry::query_memory;
use super::hosted::Hosted;
use super::store::DoStore;
use crate::coordinator::continuous::Runner;
use crate::model::ids::ObjectId;

/// The Durable Object class `Database`.
#[wasm_bindgen]
pub struct Database {
    hosted: Hosted<Runner<crate::database::Database<DoStore>>>,
}

#[wasm_bindgen]
impl Database {
    /// What the runtime gives to the object that it wakes.
    #[wasm_bindgen(constructor)]
    pub fn new(state: DurableObjectState, env: Env) -> Self {
        let state = State::from(state);
        let object = ObjectId(state.id().to_string());
        // With settings that cannot be read nothing is split; the Worker names them.
        let split_bytes = config::settings(&env).map_or(0, |settings| settings.shard_split_bytes);
        let host = crate::database::Database::new(DoStore::new(&state), object.clone());
        let host = Runner::new(host.splitting_at(split_bytes), object, query_memory(&env));
        Self { hosted: Hosted::new(state, &env, host).going_back() }
    }

    /// Answers a message.
    ///
    /// # Errors
    /// What the runtime threw meanwhile: nothing is known of what the message did.
    pub async fn answer(&self, message: Vec<u8>) -> Result<Vec<u8>, JsValue> {
        Ok(self.hosted.answer(message).await?)
    }

    /// Runs the jobs that are due.
    pub async fn alarm(&self) {
        self.hosted.alarm().await;
    }
}
