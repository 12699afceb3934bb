//! Accesses the backup store: an R2 bucket (binding `BACKUPS`) or, with `tidemark serve`, a folder.
//! The folder is a service that supports GET, PUT and DELETE (binding `BACKUP_FOLDER`).

use js_sys::{Array, JSON, Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{RequestInit, Response};
use worker::Env;

use crate::model::limits::BACKUP_NAMES_MAX;
use crate::protocol::backup::{FromBackups, ToBackups};
use crate::protocol::envelope;

const BUCKET: &str = "BACKUPS";
const FOLDER: &str = "BACKUP_FOLDER";
/// The host name in the URLs of the folder service. The service ignores the host name, but the
/// platform requires one.
const HOST: &str = "http://folder/";

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

    type Folder;

    #[wasm_bindgen(method, catch, structural)]
    fn fetch(this: &Folder, url: &str, init: &RequestInit) -> Result<Promise, JsValue>;
}

enum BackupStore {
    Bucket(Bucket),
    Folder(Folder),
}

fn bound(env: &Env) -> Option<BackupStore> {
    let of = |name: &str| {
        Reflect::get(env, &JsValue::from_str(name)).ok().filter(|bound| bound.is_truthy())
    };
    let bucket = of(BUCKET).map(|bucket| BackupStore::Bucket(bucket.unchecked_into()));
    bucket.or_else(|| Some(BackupStore::Folder(of(FOLDER)?.unchecked_into())))
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
    let store = bound(env).ok_or("the server has no storage for backups")?;
    let reply = match store {
        BackupStore::Bucket(bucket) => of_bucket(&bucket, message).await,
        BackupStore::Folder(folder) => of_folder(&folder, message).await,
    };
    let reply = reply.map_err(|reason| format!("the storage of backups failed: {reason:?}"))?;
    Ok(envelope::encode(&reply))
}

async fn of_bucket(bucket: &Bucket, message: ToBackups) -> Result<FromBackups, JsValue> {
    match message {
        ToBackups::Put { key, object } => {
            // `put` returns `null`, not an error, if the key already has an object.
            let only_if = with(&[("etagDoesNotMatch", "*".into())])?;
            let options = with(&[("onlyIf", only_if.into())])?;
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
            let listed = JsFuture::from(bucket.list(&with(&requested)?)?).await?;
            let objects = Array::from(&Reflect::get(&listed, &"objects".into())?);
            let name = |object: JsValue| {
                let key = Reflect::get(&object, &"key".into()).ok()?.as_string()?;
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

async fn of_folder(folder: &Folder, message: ToBackups) -> Result<FromBackups, JsValue> {
    match message {
        ToBackups::Put { key, object } => {
            // The folder has no conditional PUT. Two requests that store the same key store equal
            // objects, or equally valid objects of the same moment.
            if ask(folder, "HEAD", &key, None).await?.status() == 200 {
                return Ok(FromBackups::Done);
            }
            // The folder replaces a file only when the new file is complete.
            let response = ask(folder, "PUT", &key, Some(&object)).await?;
            expect(&response, &[204])?;
            Ok(FromBackups::Done)
        }
        ToBackups::Get { key } => {
            let response = ask(folder, "GET", &key, None).await?;
            if response.status() == 404 {
                return Ok(FromBackups::Missing);
            }
            expect(&response, &[200])?;
            let buffer = JsFuture::from(response.array_buffer()?).await?;
            Ok(FromBackups::Object { object: Uint8Array::new(&buffer).to_vec() })
        }
        ToBackups::List { folder: of, after } => {
            let response = ask(folder, "GET", &of, None).await?;
            if response.status() == 404 {
                return Ok(FromBackups::Names { names: Vec::new(), more: false });
            }
            expect(&response, &[200])?;
            let text = JsFuture::from(response.text()?).await?.as_string().unwrap_or_default();
            let name = |entry: JsValue| {
                let of = |name: &str| Reflect::get(&entry, &name.into()).ok()?.as_string();
                of("name").filter(|_| of("type").as_deref() == Some("file"))
            };
            let entries = Array::from(&JSON::parse(&text)?);
            let is_wanted = |name: &String| after.as_ref().is_none_or(|after| name > after);
            let mut names: Vec<String> =
                entries.iter().filter_map(name).filter(is_wanted).collect();
            names.sort();
            let more = names.len() > BACKUP_NAMES_MAX;
            names.truncate(BACKUP_NAMES_MAX);
            Ok(FromBackups::Names { names, more })
        }
        ToBackups::Delete { keys } => {
            for key in keys {
                expect(&ask(folder, "DELETE", &key, None).await?, &[204, 404])?;
            }
            Ok(FromBackups::Done)
        }
    }
}

async fn ask(
    folder: &Folder,
    method: &str,
    key: &str,
    body: Option<&[u8]>,
) -> Result<Response, JsValue> {
    let init = RequestInit::new();
    init.set_method(method);
    if let Some(body) = body {
        init.set_body(&Uint8Array::from(body));
    }
    let response = JsFuture::from(folder.fetch(&format!("{HOST}{key}"), &init)?).await?;
    Ok(response.unchecked_into())
}

fn expect(response: &Response, statuses: &[u16]) -> Result<(), JsValue> {
    let status = response.status();
    match statuses.contains(&status) {
        true => Ok(()),
        false => Err(format!("the folder's service returned {status}").into()),
    }
}

fn with(entries: &[(&str, JsValue)]) -> Result<Object, JsValue> {
    let object = Object::new();
    for (name, value) in entries {
        Reflect::set(&object, &(*name).into(), value)?;
    }
    Ok(object)
}
