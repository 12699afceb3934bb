//! Serves one request: passes its head to the engine and executes the actions of the exchange until
//! the last byte of the response is sent.

use std::rc::Rc;

use hyper::Request;
use hyper::body::Incoming;
use tidemark::api::action::Action;
use tidemark::api::exchange::Exchange;
use tidemark::api::http::{RequestHead, Response};
use tidemark::protocol::call::{Call, Platform as _};
use tokio::sync::oneshot;

use crate::body;
use crate::calls::Flights;
use crate::engine::{Busy, Engine};
use crate::log;
use crate::reply::{self, Form, Outgoing};

/// A response whose body is sent while the engine produces it.
pub type HttpResponse = hyper::Response<Outgoing>;

/// A request in progress.
pub struct Conversation {
    engine: Rc<Engine>,
    flights: Flights,
    _busy: Busy,
}

/// Serves a request. `to` is closed if the client has disconnected.
pub async fn converse(
    engine: Rc<Engine>,
    request: Request<Incoming>,
    head: RequestHead,
    form: Form,
    mut to: oneshot::Sender<HttpResponse>,
) {
    // After a refusal without "100 Continue", such a client sends no body.
    let expects_continue = request.headers().contains_key(hyper::header::EXPECT);
    let mut body = request.into_body();
    let mut conversation = Conversation {
        flights: Flights::new(Rc::clone(&engine)),
        _busy: Busy::new(&engine.shared),
        engine,
    };
    let (mut exchange, first) =
        conversation.engine.tell(|service, platform| Exchange::start(service, platform, head));
    let beginning = tokio::select! {
        biased;
        beginning = conversation.begin(&mut exchange, &mut body, first) => beginning,
        () = to.closed() => Beginning::Gone,
    };
    match beginning {
        Beginning::Whole(response) => {
            conversation.log(&exchange);
            let _ = to.send(reply::whole(response, form));
        }
        Beginning::Stream(response) => {
            let (outgoing, mut pieces) = reply::stream(&response, form);
            let is_sent = to.send(outgoing).is_ok();
            let sent = is_sent && {
                let sending = pieces.send(response.body, &mut conversation, &mut exchange);
                sending.await.is_ok()
            };
            if !sent {
                conversation.abandon(&mut exchange).await;
            }
            conversation.log(&exchange);
        }
        Beginning::Gone => {
            conversation.abandon(&mut exchange).await;
            conversation.log(&exchange);
            return;
        }
    }
    conversation.flights.clear();
    let calls =
        conversation.engine.tell(|service, platform| exchange.background_calls(service, platform));
    conversation.hear(&mut exchange, calls).await;
    // Closing a connection with unread bytes would reset it, and the client would lose the response.
    if !expects_continue {
        let _ = body::drain(&mut body).await;
    }
}

/// The beginning of a response.
enum Beginning {
    Whole(Response),
    Stream(Response),
    /// The client has disconnected.
    Gone,
}

impl Conversation {
    /// Executes actions until the response begins.
    async fn begin(
        &mut self,
        exchange: &mut Exchange,
        body: &mut Incoming,
        first: Action,
    ) -> Beginning {
        let mut action = first;
        loop {
            action = match action {
                Action::ReadBody => match body::read(body, exchange).await {
                    Ok(None) => self
                        .engine
                        .tell(|service, platform| exchange.body(service, platform, Vec::new())),
                    Ok(Some(refusal)) => refusal,
                    Err(body::Gone) => return Beginning::Gone,
                },
                Action::Calls(calls) => self.call(exchange, calls).await,
                Action::Respond(response) => return Beginning::Whole(response),
                Action::Stream(response) => return Beginning::Stream(response),
                // A body before its head is a bug. It must not become an empty, successful
                // response.
                Action::Bytes(_) | Action::End => return Beginning::Whole(Response::empty(500)),
            };
        }
    }

    /// Continues the exchange after a piece of the response.
    pub fn proceed(&self, exchange: &mut Exchange) -> Action {
        self.engine.tell(|service, platform| exchange.proceed(service, platform))
    }

    /// Records that a piece waits for its reader.
    pub fn sending(&self, exchange: &mut Exchange) {
        exchange.sending(self.engine.platform.now_ns());
    }

    /// Makes calls and processes the first reply, to these or to earlier calls.
    pub async fn call(&mut self, exchange: &mut Exchange, calls: Vec<Call>) -> Action {
        self.flights.start(calls);
        match self.flights.next().await {
            Some(reply) => {
                self.engine.tell(|service, platform| exchange.reply(service, platform, reply))
            }
            // The exchange waits for a reply, but made no call.
            None => Action::End,
        }
    }

    /// Makes the calls that follow a response.
    async fn hear(&mut self, exchange: &mut Exchange, calls: Vec<Call>) {
        self.flights.start(calls);
        while let Some(reply) = self.flights.next().await {
            let more = self
                .engine
                .tell(|service, platform| exchange.on_background_reply(service, platform, reply));
            self.flights.start(more);
        }
    }

    /// Ends a request whose client has disconnected: frees its memory, and removes its query from
    /// the list.
    async fn abandon(&mut self, exchange: &mut Exchange) {
        let calls = exchange.abandon();
        self.flights.clear();
        if !calls.is_empty() {
            self.flights.start(calls);
            // If the call is lost, the entry expires.
            let _ = self.flights.next().await;
        }
    }

    fn log(&self, exchange: &Exchange) {
        let line = self.engine.tell(|service, platform| exchange.log_line(service, platform));
        if let Some(line) = line {
            log::line(&line);
        }
    }
}
