//! Serves one request from its head to the last byte of its response.

use std::rc::Rc;
use std::sync::Arc;

use hyper::Request;
use hyper::body::Incoming;
use tidemark_engine::protocol::call::{Call, Platform};
use tidemark_server::drive::{Driver, Host, PendingCall, ResponseStart, drain};
use tidemark_server::http::RequestHead;
use tidemark_server::isolate_state::Service;
use tokio::sync::oneshot;

use crate::body::{BodyReader, Disconnected};
use crate::calls::{SqlSession, make_call};
use crate::engine::{Busy, EngineThread};
use crate::log;
use crate::reply::{self, Form, HttpResponse};
use crate::unsent::Client;

/// Serves a request. The channel `to` is closed if the client has disconnected.
pub async fn run(
    engine: Rc<EngineThread>,
    request: Request<Incoming>,
    head: RequestHead,
    form: Form,
    client: Arc<Client>,
    mut to: oneshot::Sender<HttpResponse>,
) {
    let shared = Arc::clone(&engine.shared);
    let _busy = Busy::new(&shared);
    // A client that expects "100 Continue" sends no body if the request is rejected.
    let expects_continue = request.headers().contains_key(hyper::header::EXPECT);
    let mut body = request.into_body();
    let (mut driver, first) = Driver::start(RequestTask { engine, sql: Rc::default() }, head);
    let start = tokio::select! {
        biased;
        start = driver.run_to_response(first, || Ok(BodyReader::new(&mut body))) => start,
        () = to.closed() => Err(Disconnected),
    };
    match start {
        Ok(ResponseStart::Complete(response)) => {
            driver.log();
            let count = |bytes| shared.clients.count(&client, bytes);
            let _ = to.send(reply::complete(response, form, count));
        }
        Ok(ResponseStart::Stream(response)) => {
            let (outgoing, mut pieces) = reply::stream(&response, form, shared, client);
            let _ = to.send(outgoing);
            let disconnected = pieces.disconnected();
            let is_sent = tokio::select! {
                biased;
                is_sent = driver.send(response.body, &mut pieces) => is_sent,
                () = disconnected => false,
            };
            if !is_sent {
                driver.abandon().await;
            }
            driver.log();
        }
        Err(Disconnected) => {
            driver.abandon().await;
            driver.log();
            return;
        }
    }
    let calls = driver.background_calls();
    driver.make_background_calls(calls).await;
    // A slow client must not keep the memory of the request's head.
    drop(driver);
    // Closing a connection with unread bytes would reset the connection, and the client would lose
    // the response.
    if !expects_continue {
        let _ = drain(&mut BodyReader::new(&mut body)).await;
    }
}

struct RequestTask {
    engine: Rc<EngineThread>,
    sql: SqlSession,
}

impl Host for RequestTask {
    fn with_service<T>(&self, step: impl FnOnce(&mut Service, &dyn Platform) -> T) -> T {
        step(&mut self.engine.service.borrow_mut(), &self.engine.platform)
    }

    fn call(&self, call: Call) -> PendingCall {
        let (engine, sql) = (Rc::clone(&self.engine), Rc::clone(&self.sql));
        Box::pin(async move {
            let reply = make_call(engine, Some(Rc::clone(&sql)), call).await;
            if let Some(session) = sql.borrow().as_ref() {
                session.touch();
            }
            reply
        })
    }

    async fn end_sql(&self) {
        self.sql.take();
    }

    fn log(&self, line: &str) {
        log::request(line);
    }

    async fn yield_now(&self) {
        tokio::task::yield_now().await;
    }
}
