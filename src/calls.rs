//! Makes calls: to objects by RPC, and to services such as pauses, key derivation, SQL and the
//! backup store.

use std::rc::Rc;

use js_sys::{Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use worker::{Env, Error};

use super::sql::SqlSession;
use super::{backups, cloudflare_access, platform, runtime, web_crypto};
use tidemark_engine::protocol::call::{Address, Call, CallFailure, Reply};
use tidemark_model::limits::CALL_REPEATS_MAX;
use tidemark_server::location_hint::Placement;

/// Executes one call. `sql` is the SQL session of the request. Objects make no calls to SQL.
pub(super) async fn make_call(env: Env, sql: Rc<SqlSession>, call: Call) -> Reply {
    let Call { id, to, location, message } = call;
    if to == Address::Sql {
        return Reply { id, result: sql.turn(&env, &message).await };
    }
    let of_runtime = match to {
        Address::KeyDerivation => Some(web_crypto::derive(&message).await),
        Address::AccessKeys => Some(cloudflare_access::keys(&env).await),
        Address::SignatureCheck => Some(web_crypto::check(&message).await),
        Address::Timer { ms } => {
            runtime::pause(ms).await;
            Some(Ok(Vec::new()))
        }
        Address::Backups => Some(backups::execute(&env, &message).await),
        Address::Sql | Address::Catalog | Address::Database(_) | Address::Shard(_) => None,
    };
    if let Some(result) = of_runtime {
        return Reply { id, result: result.map_err(CallFailure::Failed) };
    }
    let mut repeats_left = CALL_REPEATS_MAX;
    loop {
        let result = send(&env, &to, location.as_deref(), &message).await;
        match result.map_err(|error| failure(&error)) {
            Err(CallFailure::Retryable(_)) if repeats_left > 0 => repeats_left -= 1,
            result => return Reply { id, result },
        }
    }
}

async fn send(
    env: &Env,
    to: &Address,
    location: Option<&str>,
    message: &[u8],
) -> worker::Result<Vec<u8>> {
    let (binding, object, is_name) = match to {
        Address::Database(id) => (platform::DATABASE, id.0.as_str(), false),
        Address::Shard(id) => (platform::SHARD, id.0.as_str(), false),
        // The caller of this function handles calls to the runtime's services.
        _ => (platform::CATALOG, platform::CATALOG_NAME, true),
    };
    let namespace = Reflect::get(env, &JsValue::from_str(binding))?;
    let message = Uint8Array::from(message);
    // The id of any other object contains its jurisdiction, and the first call to the object
    // contains its location.
    let placement = match is_name {
        true => {
            let known = platform::limits_and_placement(env);
            known.map_err(|reason| Error::RustError(reason.to_string()))?.1
        }
        false => Placement::default(),
    };
    let (location, jurisdiction) = (location.or(placement.location), placement.jurisdiction);
    let reply = runtime::call_object(&namespace, object, is_name, location, jurisdiction, message);
    let reply = reply.await?;
    Ok(runtime::taken(&reply.unchecked_into()))
}

/// Converts the error of a call. An error with `durableObjectReset` also permits a retry, although
/// the platform does not mark it as retryable. The platform resets an object whose storage is full,
/// and the object responds again after the reset.
fn failure(error: &Error) -> CallFailure {
    let thrown = error.to_js_value();
    let has_flag = |name: &str| runtime::get(&thrown, name).is_some_and(|value| value.is_truthy());
    if has_flag("overloaded") {
        CallFailure::Overloaded
    } else if has_flag("retryable") || has_flag("durableObjectReset") {
        CallFailure::Retryable(error.to_string())
    } else {
        CallFailure::Failed(error.to_string())
    }
}
