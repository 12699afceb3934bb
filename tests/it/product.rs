//! The whole product in one process. HTTP requests and responses need no network.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::Value;
use tidemark_browser::in_process::{InProcess, SqlSession};
use tidemark_engine::protocol::call::Address;
use tidemark_engine::store::memory::MemoryStore;
use tidemark_server::http::{RequestHead, Response};
use tidemark_server::settings::Settings;

use crate::backup_place::MemoryPlace;
use crate::sql_stand_in::stand_in;

pub(crate) const TOKEN: &str = "token-of-the-tests";
/// The time of the first request: 2023-11-14T22:13:20Z.
const START_NS: i64 = 1_700_000_000_000_000_000;
const S_NS: i64 = 1_000_000_000;
/// The header with the admin token.
pub(crate) const AUTHORIZATION: (&str, &str) = ("authorization", "Token token-of-the-tests");

/// Returns the head of a request. The target may contain a query string.
pub(crate) fn head(method: &str, target: &str, headers: &[(&str, &str)]) -> RequestHead {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let [method, path, query] = [method, path, query].map(str::to_owned);
    let headers = headers.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
    RequestHead { method, path, query, headers: headers.collect() }
}

/// Encodes pairs of names and values as a query string or a form.
pub(crate) fn form(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// Returns the error of a query or of its first statement, or an empty text.
pub(crate) fn error_of(answer: &Value) -> String {
    let error = answer["error"].as_str().or(answer["results"][0]["error"].as_str());
    error.unwrap_or_default().to_owned()
}

pub(crate) fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    let mut headers = response.headers.iter();
    let found = headers.find(|(known, _)| known.eq_ignore_ascii_case(name))?;
    Some(&found.1)
}

pub(crate) struct Product {
    inner: InProcess,
    now_ns: i64,
    tick_ns: i64,
}

impl Product {
    /// Creates a product with settings. The setting `SQL` enables the stand-in for SQL, and
    /// `BACKUPS` enables backups in memory.
    pub(crate) fn with(settings: &[(&str, &str)]) -> Self {
        let given = |name: &str| settings.iter().find(|(n, _)| *n == name).map(|(_, v)| *v);
        let token = |name: &str| (name == "ADMIN_TOKEN").then_some(TOKEN);
        let settings =
            Settings::read(|name| given(name).or(token(name)).map(str::to_owned)).unwrap();
        let inner = InProcess::new(settings, 1);
        let mut product = Self { inner, now_ns: START_NS, tick_ns: S_NS };
        if given("SQL").is_some() {
            product.answer_sql(stand_in());
        }
        if given("BACKUPS").is_some() {
            product.keep_backups(&MemoryPlace::default());
        }
        product
    }

    /// Adds an edge, which has its own caches.
    pub(crate) fn add_edge(&mut self) {
        self.inner.add_edge();
    }

    /// Makes the next edge process the following requests.
    pub(crate) fn switch_edge(&mut self) {
        self.inner.switch_edge();
    }

    /// Empties the caches of the current edge.
    pub(crate) fn forget_caches(&mut self) {
        self.inner.forget_caches();
    }

    pub(crate) fn answer_sql(&mut self, session: SqlSession) {
        self.inner.set_sql(session);
    }

    /// Stores backups in `place` from now on. Earlier backups are not copied.
    pub(crate) fn keep_backups(&mut self, place: &MemoryPlace) {
        let place = place.clone();
        self.inner.set_backups(Box::new(move |message| place.answer(message)));
    }

    /// Creates a product that continues another product, which has created `objects` objects. The
    /// caller must add the stores of the other product with `put_store`.
    pub(crate) fn going_on(now_s: i64, objects: u64) -> Self {
        let mut product = Self::with(&[]);
        product.now_ns = now_s * S_NS;
        product.inner.set_object_count(objects);
        product
    }

    pub(crate) fn object_count(&self) -> u64 {
        self.inner.object_count()
    }

    pub(crate) fn wake(&mut self) {
        self.inner.wake_all(self.now_ns);
    }

    /// Sends a request of the administrator, and runs no alarms afterwards.
    pub(crate) fn ask_alone(&mut self, method: &str, target: &str, body: &str) -> Response {
        self.now_ns += self.tick_ns;
        let head = head(method, target, &[AUTHORIZATION, ("host", "tidemark.example")]);
        self.inner.respond(head, body.into(), self.now_ns)
    }

    /// Sends a request with only these headers.
    pub(crate) fn send(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: impl Into<Vec<u8>>,
    ) -> Response {
        self.request(head(method, target, headers), body.into())
    }

    /// Sends a request after moving the clock by one second.
    pub(crate) fn request(&mut self, head: RequestHead, body: Vec<u8>) -> Response {
        self.now_ns += self.tick_ns;
        self.inner.request(head, body, self.now_ns)
    }

    pub(crate) fn standing_still(&mut self, act: impl FnOnce(&mut Self)) {
        let tick_ns = std::mem::replace(&mut self.tick_ns, 0);
        act(self);
        self.tick_ns = tick_ns;
    }

    /// Sets the time between two requests.
    pub(crate) fn set_tick(&mut self, tick_ns: i64) {
        self.tick_ns = tick_ns;
    }

    /// Runs no alarms.
    pub(crate) fn pass(&mut self, seconds: i64) {
        self.now_ns += seconds * S_NS;
    }

    pub(crate) fn log_line(&self) -> Option<&str> {
        self.inner.last_log_line.as_deref()
    }

    pub(crate) fn ask(
        &mut self,
        method: &str,
        path: &str,
        query: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> (u16, String) {
        let headers = [&[AUTHORIZATION][..], headers].concat();
        let response = self.send(method, &format!("{path}?{query}"), &headers, body);
        (response.status, String::from_utf8(response.body).unwrap())
    }

    pub(crate) fn post(&mut self, target: &str, body: &str) -> Response {
        let form = ("content-type", "application/x-www-form-urlencoded");
        self.send("POST", target, &[AUTHORIZATION, form], body)
    }

    pub(crate) fn write(&mut self, db: &str, lines: &str) {
        let response = self.post(&format!("/write?db={db}&precision=s"), lines);
        let text = String::from_utf8_lossy(&response.body).into_owned();
        assert_eq!(response.status, 204, "{text}");
    }

    /// Runs a statement. The timestamps in the response are in seconds.
    pub(crate) fn query(&mut self, db: &str, q: &str) -> Value {
        let response = self.post(&format!("/query?db={db}&epoch=s"), &form(&[("q", q)]));
        let text = String::from_utf8(response.body).unwrap();
        assert_eq!(response.status, 200, "{q}: {text}");
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{q}: {e}: {text}"))
    }

    /// Returns the rows of the first series that a statement returns.
    pub(crate) fn values(&mut self, db: &str, q: &str) -> Value {
        self.query(db, q)["results"][0]["series"][0]["values"].clone()
    }

    /// Runs alarms until all data is flushed and merged.
    pub(crate) fn rest(&mut self) {
        self.pass_hours(8);
    }

    pub(crate) fn stores(&self) -> BTreeMap<Address, MemoryStore> {
        self.inner.stores()
    }

    pub(crate) fn object_requests(&self) -> &BTreeMap<Address, u64> {
        &self.inner.object_requests
    }

    pub(crate) fn last_was_streamed(&self) -> bool {
        self.inner.last_was_streamed
    }

    /// Returns a counter of the pauses in which other requests can run.
    pub(crate) fn count_pauses(&mut self) -> Rc<Cell<u32>> {
        let pauses = Rc::new(Cell::new(0));
        let counter = Rc::clone(&pauses);
        self.inner.watch_calls(Box::new(move |to| {
            counter.set(counter.get() + u32::from(matches!(to, Address::Timer { .. })));
        }));
        pauses
    }

    /// Sets a function that is called before and after each call that a request makes to an object.
    pub(crate) fn watch_calls(&mut self, watcher: Box<dyn FnMut(&Address)>) {
        self.inner.watch_calls(watcher);
    }

    pub(crate) fn put_store(&mut self, address: Address, store: MemoryStore) {
        self.inner.put_store(address, store);
    }

    pub(crate) fn now_s(&self) -> i64 {
        self.now_ns / S_NS
    }

    pub(crate) fn configure(&mut self, method: &str, body: &str) -> (u16, String) {
        self.ask(method, "/api/v3/configure/database", "", &[], body)
    }

    pub(crate) fn pass_hours(&mut self, hours: i64) {
        for _ in 0..hours {
            self.wait(3_600);
        }
    }

    pub(crate) fn shard_bytes(&self) -> Vec<u64> {
        let stored = self.inner.stored_bytes().into_iter();
        stored.filter(|(at, _)| matches!(at, Address::Shard(_))).map(|(_, bytes)| bytes).collect()
    }

    /// Runs all alarms that are due after `seconds`.
    pub(crate) fn wait(&mut self, seconds: i64) {
        self.now_ns += seconds * S_NS;
        self.inner.pass_time(self.now_ns);
    }

    /// Evicts every object and empties every cache. Storage remains.
    pub(crate) fn sleep(&mut self) {
        self.inner.sleep();
    }
}

pub(crate) fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    out.extend(miniz_oxide::deflate::compress_to_vec(plain, 6));
    out.extend(crc32fast::hash(plain).to_le_bytes());
    out.extend(u32::try_from(plain.len()).unwrap().to_le_bytes());
    out
}
