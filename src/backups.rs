//! Accesses the backup store, an R2 bucket (binding `BACKUPS`).

use js_sys::{Array, Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use worker::Env;

use super::runtime::{self, get};
use tidemark_engine::protocol::backup::{FromBackups, ToBackups};
use tidemark_engine::protocol::envelope;
use tidemark_model::limits::BACKUP_NAMES_MAX;

#[wasm_bindgen]
extern "C" {
    type Bucket;

    #[wasm_bindgen(method, catch, structural)]
    fn put(
        this: &Bucket,
        key: &str,
        body: &Uint8Array,
        options: &Object,
    ) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch, structural)]
    fn get(this: &Bucket, key: &str) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch, structural)]
    fn list(this: &Bucket, options: &Object) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch, structural)]
    fn delete(this: &Bucket, keys: &Array) -> Result<Promise, JsValue>;

    type Stored;

    #[wasm_bindgen(method, catch, structural, js_name = arrayBuffer)]
    fn array_buffer(this: &Stored) -> Result<Promise, JsValue>;
}

fn bound(env: &Env) -> Option<Bucket> {
    get(env, "BACKUPS").filter(JsValue::is_truthy).map(JsValue::unchecked_into)
}

/// Whether a backup store is bound.
pub(super) fn are_bound(env: &Env) -> bool {
    bound(env).is_some()
}

/// Executes a [`ToBackups`] message.
///
/// # Errors
/// The error is the runtime's message.
pub(super) async fn execute(env: &Env, message: &[u8]) -> Result<Vec<u8>, String> {
    let (_, message) =
        envelope::decode::<ToBackups>(message).map_err(|reason| reason.to_string())?;
    let bucket = bound(env).ok_or("the server has no storage for backups")?;
    let reply = of_bucket(&bucket, message).await;
    let reply = reply.map_err(|reason| format!("the storage of backups failed: {reason:?}"))?;
    Ok(envelope::encode(&reply))
}

async fn of_bucket(bucket: &Bucket, message: ToBackups) -> Result<FromBackups, JsValue> {
    match message {
        ToBackups::Put { key, object } => {
            // `put` returns `null`, not an error, if the key already has an object.
            let only_if = runtime::object(&[("etagDoesNotMatch", "*".into())])?;
            let options = runtime::object(&[("onlyIf", only_if.into())])?;
            let body = Uint8Array::from(object.as_slice());
            JsFuture::from(bucket.put(&key, &body, &options)?).await?;
            Ok(FromBackups::Done)
        }
        ToBackups::Get { key } => {
            let stored = JsFuture::from(bucket.get(&key)?).await?;
            if !stored.is_truthy() {
                return Ok(FromBackups::Missing);
            }
            let buffer = stored.unchecked_into::<Stored>().array_buffer()?;
            let object = Uint8Array::new(&JsFuture::from(buffer).await?).to_vec();
            Ok(FromBackups::Object { object })
        }
        ToBackups::List { folder, after } => {
            let prefix = format!("{folder}/");
            let mut requested = vec![
                ("prefix", prefix.as_str().into()),
                ("delimiter", "/".into()),
                ("limit", (BACKUP_NAMES_MAX as u32).into()),
            ];
            requested.extend(after.map(|after| ("startAfter", format!("{prefix}{after}").into())));
            let listed = JsFuture::from(bucket.list(&runtime::object(&requested)?)?).await?;
            let objects = Array::from(&Reflect::get(&listed, &"objects".into())?);
            let name = |object: JsValue| {
                let key = get(&object, "key")?.as_string()?;
                key.strip_prefix(&prefix).map(str::to_owned)
            };
            let names = objects.iter().filter_map(name).collect();
            let more = Reflect::get(&listed, &"truncated".into())?.is_truthy();
            Ok(FromBackups::Names { names, more })
        }
        ToBackups::Delete { keys } => {
            let keys: Array = keys.iter().map(|key| JsValue::from_str(key)).collect();
            JsFuture::from(bucket.delete(&keys)?).await?;
            Ok(FromBackups::Done)
        }
    }
}
