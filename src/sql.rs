//! Manages a request's session with the SQL Worker.

use std::cell::RefCell;

use js_sys::{Function, Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use worker::Env;

use super::platform;
use super::runtime::message_of;
use tidemark_engine::protocol::call::CallFailure;
use tidemark_engine::protocol::sql::error_reply;

#[wasm_bindgen]
extern "C" {
    type JsSql;

    #[wasm_bindgen(method, catch, structural)]
    fn open(this: &JsSql) -> Result<Promise, JsValue>;

    #[derive(Clone)]
    type JsSession;

    #[wasm_bindgen(method, catch, structural)]
    fn turn(this: &JsSession, message: &Uint8Array) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch, structural)]
    fn end(this: &JsSession) -> Result<Promise, JsValue>;
}

/// A session with the SQL Worker. The first message opens the session.
#[derive(Default)]
pub(super) struct SqlSession(RefCell<Option<JsSession>>);

impl SqlSession {
    pub(super) async fn turn(&self, env: &Env, message: &[u8]) -> Result<Vec<u8>, CallFailure> {
        self.send(env, message)
            .await
            .or_else(|error| error_reply(&message_of(&error).unwrap_or_default()))
    }

    /// Whether the session is open.
    pub(super) fn is_open(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// Ends the session, because the runtime does not notify the SQL Worker automatically.
    pub(super) async fn end(&self) {
        let Some(session) = self.0.take() else { return };
        if let Ok(ended) = session.end() {
            // If the message is lost, the SQL Worker ends the session when another statement needs
            // the memory, but not within the first seconds.
            drop(JsFuture::from(ended).await);
        }
        // Without this call, both Workers keep the session until garbage collection, with a warning
        // in the log.
        let _ = dispose(&session);
    }

    async fn send(&self, env: &Env, message: &[u8]) -> Result<Vec<u8>, JsValue> {
        let open = self.0.borrow().clone();
        let session = match open {
            Some(session) => session,
            None => {
                let sql = platform::sql(env).ok_or(JsValue::UNDEFINED)?;
                // The code does not await `open`. The runtime accepts the promise as the session,
                // and sends the first message directly after the call of `open`.
                let session: JsSession = sql.unchecked_into::<JsSql>().open()?.unchecked_into();
                *self.0.borrow_mut() = Some(session.clone());
                session
            }
        };
        let reply = JsFuture::from(session.turn(&Uint8Array::from(message))?).await?;
        Ok(reply.unchecked_into::<Uint8Array>().to_vec())
    }
}

fn dispose(stub: &JsValue) -> Result<(), JsValue> {
    let symbols = Reflect::get(&js_sys::global(), &JsValue::from_str("Symbol"))?;
    let name = Reflect::get(&symbols, &JsValue::from_str("dispose"))?;
    let dispose: Function = Reflect::get(stub, &name)?.dyn_into()?;
    dispose.call0(stub).map(drop)
}
