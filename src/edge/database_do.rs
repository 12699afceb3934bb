//! Exports the Database object. Each database has one such object, under the id that the Catalog
//! stores.
//!
//! `answer` receives one `ToDatabase` message and returns one `FromDatabase` message. The alarm
//! runs the job queue and the continuous queries. `protocol/PROTOCOL.md` describes the messages and
//! the alarm.

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
    /// Creates the object from the runtime's state and environment.
    #[wasm_bindgen(constructor)]
    pub fn new(state: DurableObjectState, env: Env) -> Self {
        let state = State::from(state);
        let object = ObjectId(state.id().to_string());
        // Invalid settings disable splits. The Worker reports the error.
        let split_bytes = config::settings(&env).map_or(0, |settings| settings.shard_split_bytes);
        let host = crate::database::Database::new(DoStore::new(&state), object.clone());
        let host = Runner::new(host.splitting_at(split_bytes), object, query_memory(&env));
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
