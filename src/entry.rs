//! Exports the Worker, which passes a request's head to `api` and sends the response.

use std::cell::RefCell;
use std::rc::Rc;

use wasm_bindgen::prelude::*;
use worker::{Context, Env, Result, event};

use super::body::BodyReader;
use super::calls::make_call;
use super::platform::{self, EdgePlatform, random_u64};
use super::sql::SqlSession;
use super::{reply, runtime};
use tidemark_engine::protocol::call::{Call, Platform};
use tidemark_query::admission::QueryMemory;
use tidemark_server::drive::{Driver, Host, PendingCall, ResponseStart};
use tidemark_server::http::RequestHead;
use tidemark_server::isolate_state::Service;

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
    let platform = EdgePlatform::new(&env, Some(&request));
    let (mut driver, first) =
        Driver::start(RequestTask { platform, sql: Rc::default() }, head(&request));
    match driver.run_to_response(first, || BodyReader::open(&request)).await {
        Ok(ResponseStart::Complete(response)) => {
            driver.log();
            let response = reply::with_compression(response, &request);
            let calls = driver.background_calls();
            if !calls.is_empty() || driver.host.sql.is_open() {
                context.wait_until(async move { driver.make_background_calls(calls).await });
            }
            reply::complete(response)
        }
        Ok(ResponseStart::Stream(response)) => {
            reply::stream(reply::with_compression(response, &request), driver, &context)
        }
        Err(gone) => {
            driver.abandon().await;
            driver.log();
            Err(gone.into())
        }
    }
}

/// A request in progress, with its access to the service and the objects.
pub(super) struct RequestTask {
    platform: EdgePlatform,
    sql: Rc<SqlSession>,
}

impl Host for RequestTask {
    fn with_service<T>(&self, step: impl FnOnce(&mut Service, &dyn Platform) -> T) -> T {
        with_service(&self.platform.env, |service| step(service, &self.platform))
    }

    fn call(&self, call: Call) -> PendingCall {
        Box::pin(make_call(self.platform.env.clone(), Rc::clone(&self.sql), call))
    }

    async fn end_sql(&self) {
        self.sql.end().await;
    }

    fn log(&self, line: &str) {
        console_log(line);
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
