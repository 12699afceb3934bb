//! Derives the keys of passwords and verifies signatures with the runtime's WebCrypto.

use js_sys::{Array, Object, Promise, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use super::runtime::object;
use tidemark_engine::protocol::web_crypto::{Derivation, SignatureCheck};

/// WebCrypto's name for the algorithm RS256.
const SIGNATURE_ALGORITHM: &str = "RSASSA-PKCS1-v1_5";
const KEY_BITS: u32 = 256;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(catch, js_namespace = ["crypto", "subtle"], js_name = importKey)]
    fn import_key(
        format: &str,
        key: &JsValue,
        algorithm: &JsValue,
        extractable: bool,
        usages: &Array,
    ) -> Result<Promise, JsValue>;

    #[wasm_bindgen(catch, js_namespace = ["crypto", "subtle"], js_name = deriveBits)]
    fn derive_bits(algorithm: &Object, key: &JsValue, bits: u32) -> Result<Promise, JsValue>;

    #[wasm_bindgen(catch, js_namespace = ["crypto", "subtle"], js_name = verify)]
    fn verify_signature(
        algorithm: &str,
        key: &JsValue,
        signature: &Uint8Array,
        data: &Uint8Array,
    ) -> Result<Promise, JsValue>;
}

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
    let key = import_key("raw", &password, &"PBKDF2".into(), false, &usages)?;
    let key = JsFuture::from(key).await?;
    let algorithm = object(&[
        ("name", "PBKDF2".into()),
        ("hash", "SHA-256".into()),
        ("salt", Uint8Array::from(derivation.salt.as_bytes()).into()),
        ("iterations", derivation.iterations.into()),
    ])?;
    let bits = JsFuture::from(derive_bits(&algorithm, &key, KEY_BITS)?).await?;
    Ok(Uint8Array::new(&bits).to_vec())
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
    let key = object(&[
        ("kty", "RSA".into()),
        ("n", check.modulus.into()),
        ("e", check.exponent.into()),
    ])?;
    let algorithm = object(&[("name", SIGNATURE_ALGORITHM.into()), ("hash", "SHA-256".into())])?;
    let usages = Array::of1(&"verify".into());
    let key = JsFuture::from(import_key("jwk", &key, &algorithm, false, &usages)?).await?;
    let signature = Uint8Array::from(check.signature);
    let signed = Uint8Array::from(check.signed.as_bytes());
    let holds = verify_signature(SIGNATURE_ALGORITHM, &key, &signature, &signed)?;
    Ok(JsFuture::from(holds).await?.is_truthy())
}
