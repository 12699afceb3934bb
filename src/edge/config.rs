//! Reads what the Worker is bound to: settings and secrets, and the names of its namespaces.

use std::cell::OnceCell;

use js_sys::Reflect;
use wasm_bindgen::JsValue;
use worker::Env;

use crate::api::settings::{Settings, SettingsError};
use crate::model::configurable_limits::Limits;

thread_local! {
    static LIMITS: OnceCell<Limits> = const { OnceCell::new() };
}

/// Durable Object namespace of the Catalog.
pub(super) const CATALOG: &str = "CATALOG";
/// Durable Object namespace of the Databases.
pub(super) const DATABASE: &str = "DATABASE";
/// Durable Object namespace of the Shards.
pub(super) const SHARD: &str = "SHARD";
/// The one Catalog's name in its namespace.
pub(super) const CATALOG_NAME: &str = "catalog";

/// The Worker of SQL, where one is bound.
pub(super) fn sql(env: &Env) -> Option<JsValue> {
    let bound = Reflect::get(env, &JsValue::from_str("SQL")).ok()?;
    bound.is_truthy().then_some(bound)
}

/// Reads every setting; variables and secrets look alike.
///
/// # Errors
/// [`SettingsError`] names the first one that cannot be read.
pub(super) fn settings(env: &Env) -> Result<Settings, SettingsError> {
    Settings::read(|name| Reflect::get(env, &JsValue::from_str(name)).ok()?.as_string())
}

/// The limits of this isolate's deployment. Where settings cannot be read no request comes so far.
pub(super) fn limits(env: &Env) -> Limits {
    LIMITS.with(|once| {
        *once.get_or_init(|| settings(env).map(|settings| settings.limits).unwrap_or_default())
    })
}
