//! Waits with the runtime's timers.

use js_sys::Promise;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

/// During a pause of 0 ms, the runtime polls its sockets this number of times. During these polls,
/// a new request can be read, call an object and receive its response.
const LOOKS: u32 = 3;

#[wasm_bindgen]
extern "C" {
    /// Returns a promise that resolves after `ms` milliseconds, and not before the runtime has
    /// polled its sockets. If the request ends first, the promise never resolves.
    #[wasm_bindgen(js_namespace = scheduler)]
    pub(super) fn wait(ms: u32) -> Promise;
}

/// Lets other work run for `ms` milliseconds. A pause of 0 ms ends when the other work has run,
/// usually after a fraction of a millisecond. A pause of more than 0 ms takes at least two
/// milliseconds.
pub(super) async fn pause(ms: u32) {
    for _ in 0..if ms == 0 { LOOKS } else { 1 } {
        // An interrupted wait still counts as a pause.
        let _ = JsFuture::from(wait(ms)).await;
    }
}
