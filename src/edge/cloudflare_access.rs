//! Fetches the keys of a Cloudflare Access team, and verifies signatures.

use js_sys::{Array, Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{RequestInit, Response};
use worker::Env;

use super::config;
use crate::protocol::web_crypto::SignatureCheck;

/// The timeout for fetching the keys, in milliseconds.
const KEYS_MS_MAX: u32 = 5_000;
/// WebCrypto's name for the algorithm RS256.
const ALGORITHM: &str = "RSASSA-PKCS1-v1_5";

#[wasm_bindgen]
extern "C" {
    /// Sends a request. This is the only request to an address outside of the deployment: see
    /// [`keys`].
    #[wasm_bindgen(catch, js_name = fetch)]
    fn fetch_keys(url: &str, init: &RequestInit) -> Result<Promise, JsValue>;

    #[wasm_bindgen(catch, js_namespace = AbortSignal, js_name = timeout)]
    fn abort_after(ms: u32) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(catch, js_namespace = ["crypto", "subtle"], js_name = importKey)]
    fn import_key(
        format: &str,
        key: &Object,
        algorithm: &Object,
        extractable: bool,
        usages: &Array,
    ) -> Result<Promise, JsValue>;

    #[wasm_bindgen(catch, js_namespace = ["crypto", "subtle"], js_name = verify)]
    fn verify_signature(
        algorithm: &str,
        key: &JsValue,
        signature: &Uint8Array,
        data: &Uint8Array,
    ) -> Result<Promise, JsValue>;
}

/// Fetches the key list of the team in the settings. No request can change the address of this
/// list.
///
/// # Errors
/// The error states why the list is unavailable.
pub(super) async fn keys(env: &Env) -> Result<Vec<u8>, String> {
    let settings = config::settings(env).map_err(|error| error.to_string())?;
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

/// Performs a [`SignatureCheck`].
///
/// # Errors
/// The runtime's error message, or a message that the input is not a signature check.
pub(super) async fn check(message: &[u8]) -> Result<Vec<u8>, String> {
    let check = SignatureCheck::read(message).ok_or("the message contains no signature")?;
    let holds = verify(check).await;
    holds
        .map(|holds| vec![u8::from(holds)])
        .map_err(|error| format!("the signature could not be checked: {error:?}"))
}

async fn verify(check: SignatureCheck<'_>) -> Result<bool, JsValue> {
    let object = |entries: &[(&str, &str)]| -> Result<Object, JsValue> {
        let object = Object::new();
        for (name, value) in entries {
            Reflect::set(&object, &(*name).into(), &(*value).into())?;
        }
        Ok(object)
    };
    let key = object(&[("kty", "RSA"), ("n", check.modulus), ("e", check.exponent)])?;
    let algorithm = object(&[("name", ALGORITHM), ("hash", "SHA-256")])?;
    let usages = Array::of1(&"verify".into());
    let key = JsFuture::from(import_key("jwk", &key, &algorithm, false, &usages)?).await?;
    let signature = Uint8Array::from(check.signature);
    let signed = Uint8Array::from(check.signed.as_bytes());
    let holds = JsFuture::from(verify_signature(ALGORITHM, &key, &signature, &signed)?).await?;
    Ok(holds.is_truthy())
}
