//! Serves one request. Passes the request's head to the engine, and executes the actions of the
//! exchange until the last byte of the response is sent.

use std::rc::Rc;
use std::sync::Arc;

use hyper::Request;
use hyper::body::Incoming;
use tidemark::api::action::Action;
use tidemark::api::exchange::Exchange;
use tidemark::api::http::{RequestHead, Response};
use tidemark::protocol::call::{Call, Platform as _};
use tokio::sync::oneshot;

use crate::body;
use crate::calls::PendingCalls;
use crate::engine::{Busy, Engine};
use crate::log;
use crate::reply::{self, Form, Outgoing};
use crate::unsent::Reader;

/// A response whose body can be sent while the engine produces it.
pub type HttpResponse = hyper::Response<Outgoing>;

pub struct RequestTask {
    pub engine: Rc<Engine>,
    pending_calls: PendingCalls,
    _busy: Busy,
}

/// Serves a request. The channel `to` is closed if the client has disconnected.
pub async fn run(
    engine: Rc<Engine>,
    request: Request<Incoming>,
    head: RequestHead,
    form: Form,
    reader: Arc<Reader>,
    mut to: oneshot::Sender<HttpResponse>,
) {
    // A client that expects "100 Continue" sends no body if the request is rejected.
    let expects_continue = request.headers().contains_key(hyper::header::EXPECT);
    let mut body = request.into_body();
    let mut request_task = RequestTask {
        pending_calls: PendingCalls::new(Rc::clone(&engine)),
        _busy: Busy::new(&engine.shared),
        engine,
    };
    let (mut exchange, first) = request_task
        .engine
        .with_service(|service, platform| Exchange::start(service, platform, head));
    let beginning = tokio::select! {
        biased;
        beginning = request_task.begin(&mut exchange, &mut body, first) => beginning,
        () = to.closed() => ResponseStart::Disconnected,
    };
    match beginning {
        ResponseStart::Complete(response) => {
            request_task.log(&exchange);
            let count = |bytes| request_task.engine.shared.readers.count(&reader, bytes);
            let _ = to.send(reply::complete(response, form, count));
        }
        ResponseStart::Stream(response) => {
            let (outgoing, mut pieces) = reply::stream(&response, form, reader);
            let is_sent = to.send(outgoing).is_ok();
            let sent = is_sent && {
                let sending = pieces.send(response.body, &mut request_task, &mut exchange);
                sending.await.is_ok()
            };
            if !sent {
                request_task.abandon(&mut exchange).await;
            }
            request_task.log(&exchange);
        }
        ResponseStart::Disconnected => {
            request_task.abandon(&mut exchange).await;
            request_task.log(&exchange);
            return;
        }
    }
    request_task.pending_calls.clear();
    let calls = request_task
        .engine
        .with_service(|service, platform| exchange.background_calls(service, platform));
    request_task.make_background_calls(&mut exchange, calls).await;
    // Closing a connection with unread bytes would reset the connection, and the client would lose
    // the response.
    if !expects_continue {
        let _ = body::drain(&mut body).await;
    }
}

enum ResponseStart {
    Complete(Response),
    Stream(Response),
    Disconnected,
}

impl RequestTask {
    /// Executes actions until the response starts.
    async fn begin(
        &mut self,
        exchange: &mut Exchange,
        body: &mut Incoming,
        first: Action,
    ) -> ResponseStart {
        let mut action = first;
        loop {
            action = match action {
                Action::ReadBody => match body::read(body, exchange).await {
                    Ok(None) => self.engine.with_service(|service, platform| {
                        exchange.body(service, platform, Vec::new())
                    }),
                    Ok(Some(refusal)) => refusal,
                    Err(body::Disconnected) => return ResponseStart::Disconnected,
                },
                Action::Calls(calls) => self.call(exchange, calls).await,
                Action::Respond(response) => return ResponseStart::Complete(response),
                Action::Stream(response) => return ResponseStart::Stream(response),
                // A body before the head is a bug. The bug must not produce an empty, successful
                // response.
                Action::Bytes(_) | Action::End => {
                    return ResponseStart::Complete(Response::empty(500));
                }
            };
        }
    }

    /// Returns the next action after a piece of the response.
    pub fn proceed(&self, exchange: &mut Exchange) -> Action {
        self.engine.with_service(|service, platform| exchange.proceed(service, platform))
    }

    /// Records that a piece waits for the client to read it.
    pub fn sending(&self, exchange: &mut Exchange) {
        exchange.sending(self.engine.platform.now_ns());
    }

    /// Starts calls, and processes the first reply to these calls or to earlier calls.
    pub async fn call(&mut self, exchange: &mut Exchange, calls: Vec<Call>) -> Action {
        self.pending_calls.start(calls);
        match self.pending_calls.next().await {
            Some(reply) => self
                .engine
                .with_service(|service, platform| exchange.reply(service, platform, reply)),
            // The exchange waits for a reply although no call is in progress.
            None => Action::End,
        }
    }

    /// Makes the calls that the exchange requests after its response.
    async fn make_background_calls(&mut self, exchange: &mut Exchange, calls: Vec<Call>) {
        self.pending_calls.start(calls);
        while let Some(reply) = self.pending_calls.next().await {
            let more = self.engine.with_service(|service, platform| {
                exchange.on_background_reply(service, platform, reply)
            });
            self.pending_calls.start(more);
        }
    }

    /// Ends a request whose client has disconnected. Frees the request's memory, and removes its
    /// query from the list of running queries.
    async fn abandon(&mut self, exchange: &mut Exchange) {
        let calls = exchange.abandon();
        self.pending_calls.clear();
        if !calls.is_empty() {
            self.pending_calls.start(calls);
            // If this call is lost, the entry in the list of running queries expires later.
            let _ = self.pending_calls.next().await;
        }
    }

    fn log(&self, exchange: &Exchange) {
        let line =
            self.engine.with_service(|service, platform| exchange.log_line(service, platform));
        if let Some(line) = line {
            log::request(&line);
        }
    }
}
