//! Derives the key of a password with the runtime's WebCrypto.

use js_sys::{Array, Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use crate::protocol::web_crypto::Derivation;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(catch, js_namespace = ["crypto", "subtle"], js_name = importKey)]
    fn import_key(
        format: &str,
        key: &Uint8Array,
        algorithm: &str,
        extractable: bool,
        usages: &Array,
    ) -> Result<Promise, JsValue>;

    #[wasm_bindgen(catch, js_namespace = ["crypto", "subtle"], js_name = deriveBits)]
    fn derive_bits(algorithm: &Object, key: &JsValue, bits: u32) -> Result<Promise, JsValue>;
}

const KEY_BITS: u32 = 256;

/// Performs a [`Derivation`].
///
/// # Errors
/// The runtime's error message, or a message about an invalid request.
pub(super) async fn derive(message: &[u8]) -> Result<Vec<u8>, String> {
    let derivation =
        Derivation::read(message).ok_or("the message is not a request for a derived key")?;
    // The runtime's errors name the algorithm and its limits, never the password.
    pbkdf2(derivation).await.map_err(|error| format!("the key could not be derived: {error:?}"))
}

async fn pbkdf2(derivation: Derivation<'_>) -> Result<Vec<u8>, JsValue> {
    let password = Uint8Array::from(derivation.password.as_bytes());
    let usages = Array::of1(&"deriveBits".into());
    let key = JsFuture::from(import_key("raw", &password, "PBKDF2", false, &usages)?).await?;
    let algorithm = Object::new();
    for (name, value) in [
        ("name", JsValue::from("PBKDF2")),
        ("hash", JsValue::from("SHA-256")),
        ("salt", Uint8Array::from(derivation.salt.as_bytes()).into()),
        ("iterations", derivation.iterations.into()),
    ] {
        Reflect::set(&algorithm, &name.into(), &value)?;
    }
    let bits = JsFuture::from(derive_bits(&algorithm, &key, KEY_BITS)?).await?;
    Ok(Uint8Array::new(&bits).to_vec())
}
