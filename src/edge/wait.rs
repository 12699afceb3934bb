//! Waits by the runtime's clock.

use js_sys::Promise;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

/// How often a pause of no time looks after the sockets: a request that comes in is read, asks an
/// object and is answered meanwhile.
const LOOKS: u32 = 3;

#[wasm_bindgen]
extern "C" {
    /// Resolves with nothing after so many milliseconds, and not before the runtime has looked
    /// after its sockets. One that outlives its request ends with it.
    #[wasm_bindgen(js_namespace = scheduler)]
    pub(super) fn wait(ms: u32) -> Promise;
}

/// Lets everything else go on for so many milliseconds; for 0 of them as long as that takes, which
/// is a fraction of one: the shortest other pause takes two.
pub(super) async fn pause(ms: u32) {
    for _ in 0..if ms == 0 { LOOKS } else { 1 } {
        // Cut short it is still a pause.
        let _ = JsFuture::from(wait(ms)).await;
    }
}
