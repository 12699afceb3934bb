//! Carries calls to objects with `fetch` and hands back each reply as it comes.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use js_sys::{Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{RequestInit, Response};
use worker::{Env, Error, Stub};

use super::sql::SqlSession;
use super::wait::wait;
use super::{backups, cloudflare_access, config, password_key};
use crate::model::limits::CALL_REPEATS_MAX;
use crate::protocol::call::{Address, Call, CallFailure, Reply};

/// Objects ignore it; the platform wants one.
const URL: &str = "https://object/";
#[wasm_bindgen]
extern "C" {
    /// A stub as the runtime knows it.
    type JsStub;

    #[wasm_bindgen(method, catch, structural)]
    fn fetch(this: &JsStub, url: &str, init: &RequestInit)
    -> std::result::Result<Promise, JsValue>;
}

/// Calls in flight. Dropping it forgets them.
pub(super) struct Flights {
    env: Env,
    sql: Rc<SqlSession>,
    pending: Vec<Pin<Box<dyn Future<Output = Reply>>>>,
}

impl Flights {
    pub(super) fn new(env: &Env) -> Self {
        Self { env: env.clone(), sql: Rc::default(), pending: Vec::new() }
    }

    /// Whether a session of SQL is open.
    pub(super) fn holds_sql(&self) -> bool {
        self.sql.is_open()
    }

    /// Forgets calls that are on their way, and ends the session of SQL.
    pub(super) async fn clear(&mut self) {
        self.pending.clear();
        self.sql.end().await;
    }

    /// Adds calls; they start with the next [`Flights::next`].
    pub(super) fn start(&mut self, calls: Vec<Call>) {
        for call in calls {
            let sql = Rc::clone(&self.sql);
            self.pending.push(Box::pin(carry(self.env.clone(), sql, call)));
        }
    }

    /// The next reply, whichever comes first; `None` when nothing is in flight.
    pub(super) async fn next(&mut self) -> Option<Reply> {
        if self.pending.is_empty() {
            return None;
        }
        let reply = poll_fn(|context| {
            for (position, flight) in self.pending.iter_mut().enumerate() {
                if let Poll::Ready(reply) = flight.as_mut().poll(context) {
                    drop(self.pending.swap_remove(position));
                    return Poll::Ready(reply);
                }
            }
            Poll::Pending
        });
        Some(reply.await)
    }
}

async fn carry(env: Env, sql: Rc<SqlSession>, call: Call) -> Reply {
    let Call { id, to, location, message } = call;
    if to == Address::Sql {
        return Reply { id, result: sql.turn(&env, &message).await };
    }
    let of_runtime = match to {
        Address::KeyDerivation => Some(password_key::derive(&message).await),
        Address::AccessKeys => Some(cloudflare_access::keys(&env).await),
        Address::SignatureCheck => Some(cloudflare_access::check(&message).await),
        Address::Pause => {
            let ms = message.first_chunk().map_or(0, |ms| u32::from_le_bytes(*ms));
            // Cut short it is still a pause.
            let _ = JsFuture::from(wait(ms)).await;
            Some(Ok(Vec::new()))
        }
        Address::Backups => Some(backups::carry(&env, &message).await),
        Address::Sql | Address::Catalog | Address::Database(_) | Address::Shard(_) => None,
    };
    if let Some(result) = of_runtime {
        return Reply { id, result: result.map_err(CallFailure::Failed) };
    }
    let mut repeats_left = CALL_REPEATS_MAX;
    loop {
        // A stub that failed once stays broken: each try has its own.
        let result = match stub(&env, &to, location.as_deref()) {
            Ok(stub) => fetch(stub, &message).await,
            Err(error) => Err(error),
        };
        match result.map_err(|error| failure(&error)) {
            Err(CallFailure::Retryable(_)) if repeats_left > 0 => repeats_left -= 1,
            result => return Reply { id, result },
        }
    }
}

fn stub(env: &Env, to: &Address, location: Option<&str>) -> worker::Result<Stub> {
    let (binding, id) = match to {
        // What the runtime does is done by whoever carries the call.
        Address::Catalog
        | Address::KeyDerivation
        | Address::AccessKeys
        | Address::SignatureCheck
        | Address::Sql
        | Address::Backups
        | Address::Pause => {
            return env.durable_object(config::CATALOG)?.get_by_name(config::CATALOG_NAME);
        }
        Address::Database(id) => (config::DATABASE, id),
        Address::Shard(id) => (config::SHARD, id),
    };
    let namespace = env.durable_object(binding)?;
    let id = namespace.id_from_string(&id.0)?;
    match location {
        Some(hint) => id.get_stub_with_location_hint(hint),
        None => id.get_stub(),
    }
}

async fn fetch(stub: Stub, message: &[u8]) -> worker::Result<Vec<u8>> {
    let init = RequestInit::new();
    init.set_method("POST");
    init.set_body(&Uint8Array::from(message));
    // `worker` would read back every property of a request that it makes first.
    let response = JsFuture::from(stub.into_rpc::<JsStub>().fetch(URL, &init)?).await?;
    let response: Response = response.unchecked_into();
    let status = response.status();
    // One buffer for the whole reply; worker's own reader appends piece by piece.
    let buffer = JsFuture::from(response.array_buffer()?).await?;
    let bytes = Uint8Array::new(&buffer).to_vec();
    if status != 200 {
        let text = String::from_utf8_lossy(&bytes);
        return Err(Error::RustError(format!("the object answered {status}: {text}")));
    }
    Ok(bytes)
}

fn failure(error: &Error) -> CallFailure {
    let thrown = error.to_js_value();
    let says = |name: &str| {
        Reflect::get(&thrown, &JsValue::from_str(name)).is_ok_and(|value| value.is_truthy())
    };
    if says("overloaded") {
        CallFailure::Overloaded
    } else if says("retryable") {
        CallFailure::Retryable(error.to_string())
    } else {
        CallFailure::Failed(error.to_string())
    }
}
