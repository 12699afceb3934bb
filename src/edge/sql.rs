//! Holds a request's session at the Worker of SQL.

use std::cell::RefCell;

use js_sys::{Function, Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use worker::Env;

use super::config;
use crate::protocol::call::CallFailure;
use crate::protocol::sql::thrown;

#[wasm_bindgen]
extern "C" {
    /// The binding.
    type JsSql;

    #[wasm_bindgen(method, catch, structural)]
    fn open(this: &JsSql) -> Result<Promise, JsValue>;

    /// A stub of a session.
    #[derive(Clone)]
    type JsSession;

    #[wasm_bindgen(method, catch, structural)]
    fn turn(this: &JsSession, message: &Uint8Array) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch, structural)]
    fn end(this: &JsSession) -> Result<Promise, JsValue>;
}

/// A session, which is opened by its first message.
#[derive(Default)]
pub(super) struct SqlSession(RefCell<Option<JsSession>>);

impl SqlSession {
    /// The reply to a message.
    pub(super) async fn turn(&self, env: &Env, message: &[u8]) -> Result<Vec<u8>, CallFailure> {
        self.carry(env, message).await.or_else(|error| {
            let said = Reflect::get(&error, &JsValue::from_str("message")).ok();
            thrown(&said.and_then(|said| said.as_string()).unwrap_or_default())
        })
    }

    /// Whether it was opened and not ended.
    pub(super) fn is_open(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// Ends it: the runtime does not tell the other Worker by itself.
    pub(super) async fn end(&self) {
        let Some(session) = self.0.take() else { return };
        if let Ok(ended) = session.end() {
            // Where it is not heard, whoever waits for its room ends it after some seconds.
            drop(JsFuture::from(ended).await);
        }
        // Else both Workers keep their ends of it until garbage is collected, and the log says so.
        let _ = dispose(&session);
    }

    async fn carry(&self, env: &Env, message: &[u8]) -> Result<Vec<u8>, JsValue> {
        let open = self.0.borrow().clone();
        let session = match open {
            Some(session) => session,
            None => {
                let sql = config::sql(env).ok_or(JsValue::UNDEFINED)?;
                // Not waited for: the runtime sends the first message behind the call, and takes
                // the promise for the session from then on.
                let session: JsSession = sql.unchecked_into::<JsSql>().open()?.unchecked_into();
                *self.0.borrow_mut() = Some(session.clone());
                session
            }
        };
        let reply = JsFuture::from(session.turn(&Uint8Array::from(message))?).await?;
        Ok(reply.unchecked_into::<Uint8Array>().to_vec())
    }
}

/// Calls what a stub has under `Symbol.dispose`.
fn dispose(stub: &JsValue) -> Result<(), JsValue> {
    let symbols = Reflect::get(&js_sys::global(), &JsValue::from_str("Symbol"))?;
    let name = Reflect::get(&symbols, &JsValue::from_str("dispose"))?;
    let dispose: Function = Reflect::get(stub, &name)?.dyn_into()?;
    dispose.call0(stub).map(drop)
}
