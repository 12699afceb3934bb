//! Declares the functions of `runtime.js`.

use js_sys::Uint8Array;
use wasm_bindgen::prelude::*;
use web_sys::{Request, Response};

#[wasm_bindgen(module = "/src/edge/runtime.js")]
extern "C" {
    /// Returns one text per line: the method, the URL, and then the name and value of each header.
    #[wasm_bindgen(js_name = headOf)]
    pub(super) fn head_of(request: &Request) -> String;

    /// Frees a large buffer whose bytes are no longer needed. No write in progress may use these
    /// bytes.
    pub(super) fn release(bytes: &Uint8Array);

    /// Creates a response. `head` contains one text per line: the names and values of the headers.
    /// `body` is bytes, a stream, or null.
    #[wasm_bindgen(catch)]
    pub(super) fn respond(status: u16, head: &str, body: &JsValue) -> Result<Response, JsValue>;

    /// Sends `message` to an object and returns the bytes of the reply. Consumes the message's
    /// buffer. `object` is the id or the name of the object. For a name, `jurisdiction` is the
    /// jurisdiction of the object.
    #[wasm_bindgen(catch, js_name = callObject)]
    pub(super) async fn call_object(
        namespace: &JsValue,
        object: &str,
        is_name: bool,
        location: Option<&str>,
        jurisdiction: Option<&str>,
        message: Uint8Array,
    ) -> Result<JsValue, JsValue>;
}

/// Copies the bytes and frees the original.
pub(super) fn taken(bytes: &Uint8Array) -> Vec<u8> {
    let copy = bytes.to_vec();
    release(bytes);
    copy
}
