//! Recovers an object's storage to an earlier time, if the runtime supports it. The module handles
//! the messages of [`tidemark_engine::protocol::recovery`]. The object itself never receives these messages.
//!
//! `point_in_time.js` calls the runtime, because `worker` has no bindings for these functions.

use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use worker::State;

use super::runtime::{message_of, wait};
use tidemark_engine::protocol::envelope;
use tidemark_engine::protocol::recovery::{FromStorage, ToStorage};
use tidemark_model::time::MS_NS;

#[wasm_bindgen(module = "/src/point_in_time.js")]
extern "C" {
    #[wasm_bindgen(js_name = instanceNumber)]
    fn instance_of(state: &JsValue) -> u64;

    #[wasm_bindgen(catch, js_name = checkHistory)]
    async fn check_history(state: &JsValue, time_ms: f64) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(catch, js_name = selectState)]
    async fn select_state(state: &JsValue, time_ms: f64) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(catch, js_name = endInstance)]
    fn end_instance(state: &JsValue) -> Result<(), JsValue>;
}

/// The maximum time to wait for the end of an instance, in milliseconds.
const END_MS: u32 = 10_000;

/// The error text of a runtime without point-in-time recovery.
const UNSUPPORTED: &str = "does not implement point-in-time recovery";

/// The error texts for an object that did not exist at the target time, or that has no history yet.
/// The history begins some moments after the object's creation.
const NO_HISTORY: [&str; 2] = ["before this database existed", "database has no history"];

/// Returns the reply to a [`ToStorage`] message; `None` for any other message.
pub(super) async fn answer(state: &State, message: &[u8]) -> Option<Vec<u8>> {
    let (version, message) = envelope::decode::<ToStorage>(message).ok()?;
    let state = JsValue::from(state.as_raw());
    let answer = carry_out(&state, &message).await.unwrap_or_else(|reason| refusal(&reason));
    Some(envelope::encode_as(version, &answer))
}

async fn carry_out(state: &JsValue, message: &ToStorage) -> Result<FromStorage, JsValue> {
    let own = instance_of(state);
    match *message {
        ToStorage::CheckHistory { time_ns } => {
            check_history(state, ms(time_ns)).await?;
            Ok(FromStorage::HasHistory { instance: own })
        }
        ToStorage::SelectState { instance, .. } | ToStorage::Restart { instance }
            if instance != own =>
        {
            Ok(FromStorage::OtherInstance)
        }
        ToStorage::SelectState { time_ns, .. } => {
            select_state(state, ms(time_ns)).await?;
            Ok(FromStorage::StateSelected)
        }
        ToStorage::Restart { .. } => {
            end_instance(state)?;
            JsFuture::from(wait(END_MS)).await?;
            Ok(FromStorage::Failed("the object did not stop".to_owned()))
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "times in milliseconds are below 2^53")]
fn ms(time_ns: i64) -> f64 {
    time_ns.div_euclid(MS_NS) as f64
}

/// Converts a thrown error. In a runtime without the called method, the error is a `TypeError`.
fn refusal(thrown: &JsValue) -> FromStorage {
    let reason = message_of(thrown).unwrap_or_else(|| format!("{thrown:?}"));
    let is_missing =
        thrown.is_instance_of::<js_sys::TypeError>() && reason.contains("not a function");
    if is_missing || reason.contains(UNSUPPORTED) {
        FromStorage::Unsupported(reason)
    } else if NO_HISTORY.iter().any(|says| reason.contains(says)) {
        FromStorage::LacksHistory(reason)
    } else {
        FromStorage::Failed(reason)
    }
}
