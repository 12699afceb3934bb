//! Declares the functions of `runtime.js` and the runtime's timers, and reads and creates
//! JavaScript objects.

use js_sys::{Array, Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{Request, Response};

use tidemark_model::limits::CANCEL_CHECK_MS;

/// The number of times that a pause of 0 ms lets the runtime poll its sockets. With three polls, a
/// new request can arrive, call an object and receive the reply during the pause.
const SOCKET_POLLS_PER_PAUSE: u32 = 3;

#[wasm_bindgen]
extern "C" {
    /// Returns a promise that resolves after `ms` milliseconds, and not before the runtime has
    /// polled its sockets. If the request ends first, the promise never resolves.
    #[wasm_bindgen(js_namespace = scheduler)]
    pub(super) fn wait(ms: u32) -> Promise;
}

#[wasm_bindgen(module = "/src/runtime.js")]
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

/// Returns a member of an object. The value of a missing member is `undefined`.
pub(super) fn get(of: &JsValue, name: &str) -> Option<JsValue> {
    Reflect::get(of, &name.into()).ok()
}

/// Returns the message of a thrown error.
pub(super) fn message_of(thrown: &JsValue) -> Option<String> {
    get(thrown, "message")?.as_string()
}

/// Creates an object with these members.
pub(super) fn object(members: &[(&str, JsValue)]) -> Result<Object, JsValue> {
    let object = Object::new();
    for (name, value) in members {
        Reflect::set(&object, &(*name).into(), value)?;
    }
    Ok(object)
}

/// Lets other work run for `ms` milliseconds. A pause of 0 ms ends when the other work has run,
/// usually after a fraction of a millisecond. A pause of more than 0 ms takes at least two
/// milliseconds.
pub(super) async fn pause(ms: u32) {
    for _ in 0..if ms == 0 { SOCKET_POLLS_PER_PAUSE } else { 1 } {
        // An interrupted wait still counts as a pause.
        let _ = JsFuture::from(wait(ms)).await;
    }
}

/// Waits until `promise` resolves, or returns `None` after [`CANCEL_CHECK_MS`]. `timer` is the
/// promise of the timer. All waits before `promise` resolves share the timer, because a request
/// may have only some thousands of timers at the same time.
pub(super) async fn wait_or_time_out(
    promise: &Promise,
    timer: &mut Option<Promise>,
) -> Result<Option<JsValue>, JsValue> {
    let running = timer.get_or_insert_with(|| wait(CANCEL_CHECK_MS));
    let first = JsFuture::from(Promise::race(&Array::of2(promise, running))).await?;
    if first.is_undefined() {
        *timer = None;
        return Ok(None);
    }
    Ok(Some(first))
}
