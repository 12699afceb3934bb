//! Waits by the runtime's clock.

use js_sys::Promise;
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    /// Resolves with nothing after so many milliseconds, and not before the runtime has looked
    /// after its sockets. One that outlives its request ends with it.
    #[wasm_bindgen(js_namespace = scheduler)]
    pub(super) fn wait(ms: u32) -> Promise;
}
