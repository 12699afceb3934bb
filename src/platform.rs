//! Implements [`Platform`] in the Workers runtime (a clock, random numbers and new object ids), and
//! reads the Worker's bindings: settings and secrets, and the names of its namespaces.

use std::cell::OnceCell;

use wasm_bindgen::prelude::*;
use worker::Env;

use super::backups;
use super::runtime::get;
use tidemark_engine::protocol::call::{ObjectKind, PlacementError, Platform};
use tidemark_model::configurable_limits::Limits;
use tidemark_model::ids::ObjectId;
use tidemark_model::time::MS_NS;
use tidemark_server::location_hint::{self, Placement};
use tidemark_server::settings::{Settings, SettingsError};

#[wasm_bindgen]
extern "C" {
    /// Fills a view of WASM memory with random bytes, without a copy.
    #[wasm_bindgen(catch, js_namespace = crypto, js_name = getRandomValues)]
    fn get_random_values(bytes: &mut [u8]) -> Result<JsValue, JsValue>;
}

type LimitsAndPlacement = Result<(Limits, Placement), SettingsError>;

thread_local! {
    static LIMITS_AND_PLACEMENT: OnceCell<LimitsAndPlacement> = const { OnceCell::new() };
}

pub(super) const CATALOG: &str = "CATALOG";
pub(super) const DATABASE: &str = "DATABASE";
pub(super) const SHARD: &str = "SHARD";
/// The name of the only Catalog in its namespace.
pub(super) const CATALOG_NAME: &str = "catalog";

/// Returns the binding of the SQL Worker, if it exists.
pub(super) fn sql(env: &Env) -> Option<JsValue> {
    get(env, "SQL").filter(JsValue::is_truthy)
}

/// Reads every setting. Variables and secrets are read in the same way.
///
/// # Errors
/// [`SettingsError`] names the first invalid setting.
pub(super) fn settings(env: &Env) -> Result<Settings, SettingsError> {
    Settings::read(|name| get(env, name)?.as_string())
}

/// Returns the limits of this deployment, and the placement of new objects.
///
/// # Errors
/// [`SettingsError`] for any invalid setting, because an object must not be created in a wrong
/// jurisdiction, even by an alarm.
pub(super) fn limits_and_placement(env: &Env) -> LimitsAndPlacement {
    let read = || settings(env).map(|settings| (settings.limits, settings.placement));
    LIMITS_AND_PLACEMENT.with(|once| once.get_or_init(read).clone())
}

pub(super) struct EdgePlatform {
    pub(super) env: Env,
    /// The client's request that is being served, if any.
    request: Option<web_sys::Request>,
}

impl EdgePlatform {
    /// Creates the platform for one event. The client's request, if any, determines the location of
    /// new objects.
    pub(super) fn new(env: &Env, request: Option<&web_sys::Request>) -> Self {
        Self { env: env.clone(), request: request.cloned() }
    }

    /// Returns the placement of new objects, or the default placement if the settings are invalid.
    /// In that case, the call to the Catalog that would create the object fails.
    fn placement(&self) -> Placement {
        limits_and_placement(&self.env).unwrap_or_default().1
    }

    fn unique_id(&self, kind: ObjectKind, jurisdiction: Option<&str>) -> worker::Result<String> {
        let namespace = self.env.durable_object(match kind {
            ObjectKind::Database => DATABASE,
            ObjectKind::Shard => SHARD,
        })?;
        let id = match jurisdiction {
            Some(jurisdiction) => namespace.unique_id_with_jurisdiction(jurisdiction)?,
            None => namespace.unique_id()?,
        };
        Ok(id.to_string())
    }
}

impl Platform for EdgePlatform {
    fn has_sql(&self) -> bool {
        sql(&self.env).is_some()
    }

    fn has_backups(&self) -> bool {
        backups::are_bound(&self.env)
    }

    #[expect(clippy::cast_possible_truncation, reason = "times in milliseconds are below 2^53")]
    fn now_ns(&self) -> i64 {
        (js_sys::Date::now() as i64).saturating_mul(MS_NS)
    }

    fn random_u64(&self) -> u64 {
        random_u64()
    }

    fn location(&self) -> Option<&'static str> {
        if let Some(configured) = self.placement().location {
            return Some(configured);
        }
        // The location is read only when it is needed, because the runtime then parses the whole
        // `cf` object.
        location(self.request.as_ref()?)
    }

    fn jurisdiction(&self) -> Option<&'static str> {
        self.placement().jurisdiction
    }

    /// Returns the default limits if the settings are invalid. In that case, requests fail before
    /// they need the limits.
    fn limits(&self) -> Limits {
        limits_and_placement(&self.env).unwrap_or_default().0
    }

    fn new_object_id(
        &self,
        kind: ObjectKind,
        jurisdiction: Option<&str>,
    ) -> Result<ObjectId, PlacementError> {
        self.unique_id(kind, jurisdiction).map(ObjectId).map_err(|error| {
            // Without a jurisdiction, the only possible error is a missing binding, but every
            // deployment has this binding.
            worker::console_error!("the object's id could not be computed: {error}");
            PlacementError::Jurisdiction(jurisdiction.unwrap_or_default().to_owned())
        })
    }
}

/// Returns the location hint for the client of `request`, from the runtime's `cf` object.
fn location(request: &web_sys::Request) -> Option<&'static str> {
    let cf = get(request, "cf").filter(JsValue::is_object)?;
    let continent = get(&cf, "continent")?.as_string()?;
    let longitude = get(&cf, "longitude").and_then(|text| text.as_string()?.parse().ok());
    location_hint::hint(&continent, longitude)
}

pub(super) fn random_u64() -> u64 {
    let mut bytes = [0; 8];
    if get_random_values(&mut bytes).is_err() {
        // The call fails only outside of a request, where the code needs no random bits.
        worker::console_error!("the runtime does not provide random numbers");
    }
    u64::from_le_bytes(bytes)
}
