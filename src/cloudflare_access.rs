//! Fetches the keys of a Cloudflare Access team.

use js_sys::{Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{RequestInit, Response};
use worker::Env;

use super::platform;

/// The timeout for fetching the keys, in milliseconds.
const KEYS_MS_MAX: u32 = 5_000;

#[wasm_bindgen]
extern "C" {
    /// Sends a request. This is the only request to an address outside of the deployment: see
    /// [`keys`].
    #[wasm_bindgen(catch, js_name = fetch)]
    fn fetch_keys(url: &str, init: &RequestInit) -> Result<Promise, JsValue>;

    #[wasm_bindgen(catch, js_namespace = AbortSignal, js_name = timeout)]
    fn abort_after(ms: u32) -> Result<JsValue, JsValue>;
}

/// Fetches the key list of the team in the settings. No request can change the address of this
/// list.
///
/// # Errors
/// The error states why the list is unavailable.
pub(super) async fn keys(env: &Env) -> Result<Vec<u8>, String> {
    let settings = platform::settings(env).map_err(|error| error.to_string())?;
    let application = settings.access.ok_or("Cloudflare Access is not configured")?;
    let failed = |error: JsValue| format!("the keys of the team could not be fetched: {error:?}");
    let response: Response = get(&application.keys_url()).await.map_err(failed)?.unchecked_into();
    if response.status() != 200 {
        return Err(format!("the request for the team's keys returned {}", response.status()));
    }
    let body = JsFuture::from(response.array_buffer().map_err(failed)?).await.map_err(failed)?;
    Ok(Uint8Array::new(&body).to_vec())
}

async fn get(url: &str) -> Result<JsValue, JsValue> {
    let init = RequestInit::new();
    init.set_method("GET");
    // Redirects are not followed.
    for (name, value) in [("redirect", "manual".into()), ("signal", abort_after(KEYS_MS_MAX)?)] {
        Reflect::set(&init, &name.into(), &value)?;
    }
    JsFuture::from(fetch_keys(url, &init)?).await
}
