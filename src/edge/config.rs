//! Reads the Worker's bindings: settings and secrets, and the names of its namespaces.

use std::cell::OnceCell;

use js_sys::Reflect;
use wasm_bindgen::JsValue;
use worker::Env;

use crate::api::location_hint::Placement;
use crate::api::settings::{Settings, SettingsError};
use crate::model::configurable_limits::Limits;

thread_local! {
    static LIMITS: OnceCell<Limits> = const { OnceCell::new() };
    static PLACEMENT: OnceCell<Placement> = const { OnceCell::new() };
}

pub(super) const CATALOG: &str = "CATALOG";
pub(super) const DATABASE: &str = "DATABASE";
pub(super) const SHARD: &str = "SHARD";
/// The name of the only Catalog in its namespace.
pub(super) const CATALOG_NAME: &str = "catalog";

/// Returns the binding of the SQL Worker, if it exists.
pub(super) fn sql(env: &Env) -> Option<JsValue> {
    let bound = Reflect::get(env, &JsValue::from_str("SQL")).ok()?;
    bound.is_truthy().then_some(bound)
}

/// Reads every setting. Variables and secrets are read in the same way.
///
/// # Errors
/// [`SettingsError`] names the first invalid setting.
pub(super) fn settings(env: &Env) -> Result<Settings, SettingsError> {
    Settings::read(|name| Reflect::get(env, &JsValue::from_str(name)).ok()?.as_string())
}

/// Returns the limits of this deployment, or the default limits if the settings are invalid. In
/// that case, requests fail before they need the limits.
pub(super) fn limits(env: &Env) -> Limits {
    LIMITS.with(|once| {
        *once.get_or_init(|| settings(env).map(|settings| settings.limits).unwrap_or_default())
    })
}

/// Returns the placement of new objects.
///
/// # Errors
/// [`SettingsError`] for any invalid setting, because an object must not be created in a wrong
/// jurisdiction, even by an alarm.
pub(super) fn placement(env: &Env) -> Result<Placement, SettingsError> {
    PLACEMENT.with(|once| match once.get() {
        Some(placement) => Ok(*placement),
        None => settings(env).map(|settings| *once.get_or_init(|| settings.placement)),
    })
}
