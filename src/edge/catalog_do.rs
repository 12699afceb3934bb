//! Exports the Catalog object. A deployment has one Catalog, whose name is `catalog`.
//!
//! `answer` receives one `ToCatalog` message and returns one `FromCatalog` message. The alarm
//! finishes databases that are being created or dropped. `protocol/PROTOCOL.md` describes the
//! messages and the alarm.

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
    /// Creates the object from the runtime's state and environment.
    #[wasm_bindgen(constructor)]
    pub fn new(state: DurableObjectState, env: Env) -> Self {
        let state = State::from(state);
        let host = crate::catalog::Catalog::new(DoStore::new(&state));
        Self { hosted: Hosted::new(state, &env, host) }
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
