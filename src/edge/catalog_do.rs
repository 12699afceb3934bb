//! Exports the Catalog object. There is one per deployment, and its name is `catalog`.
//!
//! `answer` takes one `ToCatalog` message and answers one `FromCatalog`; the alarm finishes
//! databases that are being created or dropped. `protocol/PROTOCOL.md` draws both.

use wasm_bindgen::prelude::*;
use worker::worker_sys::DurableObjectState;
use worker::{Env, State};

use super::hosted::Hosted;
use super::store::DoStore;

/// The Durable Object class `Catalog`.
#[wasm_bindgen]
pub struct Catalog {
    hosted: Hosted<crate::catalog::Catalog<DoStore>>,
}

#[wasm_bindgen]
impl Catalog {
    /// What the runtime gives to the object that it wakes.
    #[wasm_bindgen(constructor)]
    pub fn new(state: DurableObjectState, env: Env) -> Self {
        let state = State::from(state);
        let host = crate::catalog::Catalog::new(DoStore::new(&state));
        Self { hosted: Hosted::new(state, &env, host) }
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
