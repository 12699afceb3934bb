//! Exports the Worker, which passes a request's head to `api` and executes the actions of the
//! exchange until the last byte of the response is sent.

use std::cell::RefCell;

use wasm_bindgen::prelude::*;
use worker::{Context, Env, Result, event};

use super::body;
use super::calls::PendingCalls;
use super::platform::{self, EdgePlatform, random_u64};
use super::reply;
use super::runtime;
use crate::admission::QueryMemory;
use crate::api::action::Action;
use crate::api::exchange::Exchange;
use crate::api::http::RequestHead;
use crate::api::isolate_state::Service;
use crate::protocol::call::{Call, Platform};

thread_local! {
    /// The isolate's state between requests. This state contains no JavaScript objects, because the
    /// runtime does not permit a request to use the objects of another request.
    static SERVICE: RefCell<Option<Service>> = const { RefCell::new(None) };
}

#[event(start)]
fn start() {
    console_error_panic_hook::set_once();
}

#[event(fetch)]
async fn fetch(request: web_sys::Request, env: Env, context: Context) -> Result<web_sys::Response> {
    let mut connection = Connection::new(&env, &request);
    let head = head(&request);
    let (mut exchange, mut action) =
        with_service(&env, |service| Exchange::start(service, &connection.platform, head));
    loop {
        action = match action {
            Action::ReadBody => {
                match body::read(&request, &mut exchange, &connection.platform).await {
                    Ok(None) => connection.with_service(|service, platform| {
                        exchange.body(service, platform, Vec::new())
                    }),
                    Ok(Some(refusal)) => refusal,
                    Err(gone) => {
                        exchange.client_disconnected();
                        connection.log(&exchange);
                        return Err(gone.into());
                    }
                }
            }
            Action::Calls(calls) => connection.call(&mut exchange, calls).await?,
            Action::Respond(response) => {
                connection.log(&exchange);
                let response = reply::packed(response, &request);
                let calls = connection.background_calls(&mut exchange);
                if !calls.is_empty() || connection.pending_calls.sql.is_open() {
                    context.wait_until(async move {
                        connection.run_background_calls(&mut exchange, calls).await;
                    });
                }
                return reply::complete(response);
            }
            Action::Stream(response) => {
                let response = reply::packed(response, &request);
                return reply::stream(response, connection, exchange, &context);
            }
            Action::Bytes(_) | Action::End => {
                return Err("the body was sent before its head".into());
            }
        };
    }
}

/// The connection between a request, the isolate's service and the objects.
pub(super) struct Connection {
    platform: EdgePlatform,
    pending_calls: PendingCalls,
}

impl Connection {
    fn new(env: &Env, request: &web_sys::Request) -> Self {
        let (platform, pending_calls) =
            (EdgePlatform::new(env, Some(request)), PendingCalls::new(env));
        Self { platform, pending_calls }
    }

    pub(super) fn with_service(
        &self,
        step: impl FnOnce(&mut Service, &EdgePlatform) -> Action,
    ) -> Action {
        with_service(&self.platform.env, |service| step(service, &self.platform))
    }

    pub(super) fn sending(&self, exchange: &mut Exchange) {
        exchange.sending(self.platform.now_ns());
    }

    pub(super) fn log(&self, exchange: &Exchange) {
        let line =
            with_service(&self.platform.env, |service| exchange.log_line(service, &self.platform));
        if let Some(line) = line {
            console_log(&line);
        }
    }

    /// Makes calls, and processes the first reply to these calls or to earlier calls.
    pub(super) async fn call(
        &mut self,
        exchange: &mut Exchange,
        calls: Vec<Call>,
    ) -> Result<Action> {
        self.pending_calls.start(calls);
        let Some(reply) = self.pending_calls.next().await else {
            return Err("the exchange waits for a reply, but made no call".into());
        };
        Ok(self.with_service(|service, platform| exchange.reply(service, platform, reply)))
    }

    /// Returns the calls to make after the response was sent.
    pub(super) fn background_calls(&self, exchange: &mut Exchange) -> Vec<Call> {
        with_service(&self.platform.env, |service| {
            exchange.background_calls(service, &self.platform)
        })
    }

    /// Makes calls after the response was sent. If a call is lost, a later request makes the call
    /// again.
    pub(super) async fn run_background_calls(&mut self, exchange: &mut Exchange, calls: Vec<Call>) {
        self.pending_calls.clear().await;
        self.pending_calls.start(calls);
        while let Some(reply) = self.pending_calls.next().await {
            let more = with_service(&self.platform.env, |service| {
                exchange.on_background_reply(service, &self.platform, reply)
            });
            self.pending_calls.start(more);
        }
    }

    /// Removes a query from the list of running queries after its client has disconnected.
    pub(super) async fn abandon(&mut self, exchange: &mut Exchange) {
        let calls = exchange.abandon();
        self.pending_calls.clear().await;
        if !calls.is_empty() {
            self.pending_calls.start(calls);
            // If the call is lost, the entry in the list expires.
            let _ = self.pending_calls.next().await;
        }
    }
}

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = console, js_name = log)]
    fn console_log(line: &str);
}

/// Returns the memory budget of this isolate's queries, including the queries that the isolate's
/// Databases run.
pub(super) fn query_memory(env: &Env) -> QueryMemory {
    with_service(env, |service| service.queries.clone())
}

/// Borrows the service for one step. The step must not await.
fn with_service<T>(env: &Env, step: impl FnOnce(&mut Service) -> T) -> T {
    SERVICE.with_borrow_mut(|slot| {
        let service =
            slot.get_or_insert_with(|| Service::new(platform::settings(env), random_u64()));
        step(service)
    })
}

fn head(request: &web_sys::Request) -> RequestHead {
    let text = runtime::head_of(request);
    let mut lines = text.split('\n');
    let method = lines.next().unwrap_or_default();
    let url = lines.next().unwrap_or_default();
    // The URL is scheme://host, followed by the path.
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let target = rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/");
    let target = target.split_once('#').map_or(target, |(target, _)| target);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    // The runtime's header names are in lower case.
    let header = || Some((lines.next()?.to_owned(), lines.next()?.to_owned()));
    let headers = std::iter::from_fn(header).collect();
    RequestHead {
        method: method.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers,
    }
}
