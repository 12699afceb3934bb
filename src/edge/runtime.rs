//! Declares what `runtime.js` asks of the runtime.

use js_sys::Uint8Array;
use wasm_bindgen::prelude::*;
use web_sys::{Request, Response};

#[wasm_bindgen(module = "/src/edge/runtime.js")]
extern "C" {
    /// Lines: the method, the URL, then name and value of each header.
    #[wasm_bindgen(js_name = headOf)]
    pub(super) fn head_of(request: &Request) -> String;

    /// Frees bytes, if they are many, that were used: not those that are still to be sent.
    pub(super) fn release(bytes: &Uint8Array);

    /// `head`: names and values of headers, each a line. `body`: bytes, a stream, or null.
    #[wasm_bindgen(catch)]
    pub(super) fn respond(status: u16, head: &str, body: &JsValue) -> Result<Response, JsValue>;

    /// The bytes with which an object answers `message`, which are gone then; it is found by its id
    /// or by its name.
    #[wasm_bindgen(catch, js_name = callObject)]
    pub(super) async fn call_object(
        namespace: &JsValue,
        object: &str,
        is_name: bool,
        location: Option<&str>,
        message: Uint8Array,
    ) -> Result<JsValue, JsValue>;
}

/// A copy of bytes that are freed then.
pub(super) fn taken(bytes: &Uint8Array) -> Vec<u8> {
    let copy = bytes.to_vec();
    release(bytes);
    copy
}
