//! Exports to JavaScript one database, its requests, its alarms, and what to keep of it.
//!
//! Clock and randomness are arguments. `www/engine/worker.js` is the other side.

use js_sys::{Array, Function, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;

use super::image::{Image, Restored};
use super::in_process::InProcess;
use super::influxql_outline::PageOutline;
use super::validate::{LineError, Mistaken, Verdict};
use crate::api::http::{RequestHead, Response};
use crate::api::settings::{Settings, SettingsError};

/// What is different where nobody pays and nobody listens: points are kept for ever, nothing is
/// logged, and a shard is full long before the page's 4 GB are.
const SETTINGS: &[(&str, &str)] = &[
    ("AUTO_CREATE_RETENTION", "INF"),
    ("LOG_REQUESTS", "none"),
    ("SHARD_FULL_BYTES", "1000000000"),
    ("SHARD_SPLIT_BYTES", "4000000000"),
];

/// The database of this page.
#[wasm_bindgen]
pub struct Tidemark {
    inner: InProcess,
    /// The administrator's token: requests that name nobody come from who looks at the page.
    token: String,
    /// What is kept.
    image: Image,
    /// What was kept, while it is being read.
    restored: Option<Restored>,
}

#[wasm_bindgen]
impl Tidemark {
    /// An empty database. Both numbers are random.
    ///
    /// # Errors
    /// None; a wrong setting of this file would be one.
    #[wasm_bindgen(constructor)]
    pub fn new(seed: u64, secret: u64) -> Result<Self, JsError> {
        console_error_panic_hook::set_once();
        let token = format!("{secret:016x}");
        let inner = database(seed, &token)?;
        Ok(Self { inner, token, image: Image::default(), restored: None })
    }

    /// Takes one row of what [`Self::changes`] gave an earlier page, in any order.
    ///
    /// # Errors
    /// When it is damaged, or of another version.
    pub fn restore(&mut self, key: &str, value: &[u8]) -> Result<(), JsError> {
        Ok(self.restored.get_or_insert_default().add(key, value)?)
    }

    /// All rows were taken: from here on this is the database that they were.
    ///
    /// # Errors
    /// When rows are missing, or do not belong together.
    pub fn restored(&mut self) -> Result<(), JsError> {
        let (stores, image) = self.restored.take().unwrap_or_default().finish()?;
        self.inner.set_object_count(image.objects());
        for (address, store) in stores {
            self.inner.put_store(address, store);
        }
        self.image = image;
        Ok(())
    }

    /// Answers a request: `[status, [name, value, …], body]`. `headers` are names in lower case and
    /// values by turns; without `authorization` it may everything.
    pub fn request(
        &mut self,
        method: String,
        path: String,
        query: String,
        headers: Vec<String>,
        body: Vec<u8>,
        now_ns: i64,
    ) -> Array {
        let mut head = RequestHead { method, path, query, headers: Vec::new() };
        let mut texts = headers.into_iter();
        while let (Some(name), Some(value)) = (texts.next(), texts.next()) {
            head.headers.push((name, value));
        }
        if head.header("authorization").is_none() {
            let value = format!("Token {}", self.token);
            head.headers.push(("authorization".to_owned(), value));
        }
        let Response { status, headers, body } = self.inner.answer(head, body, now_ns);
        let texts = headers.into_iter().flat_map(|(name, value)| [name, value]);
        let texts: Array = texts.map(JsValue::from).collect();
        Array::of3(&status.into(), &texts, &Uint8Array::from(body.as_slice()))
    }

    /// Has statements of SQL answered by `turn(message)`, bytes of one to bytes of the other, of
    /// [`crate::protocol::sql`]. What it throws ends the statement with its message.
    pub fn set_sql(&mut self, turn: Function) {
        self.inner.set_sql(Box::new(move |message| {
            let reply = turn.call1(&JsValue::NULL, &Uint8Array::from(message));
            let reply = reply.map_err(|error| said(&error))?;
            Ok(Uint8Array::new(&reply).to_vec())
        }));
    }

    /// Whether no database was ever made in it.
    pub fn is_empty(&self) -> bool {
        self.inner.object_count() == 0
    }

    /// Lets time pass until `now_ns`, with the alarms that are due by then.
    pub fn pass_time(&mut self, now_ns: i64) {
        self.inner.pass_time(now_ns);
    }

    /// Lets the objects that were restored do what was due while there was no page.
    pub fn wake(&mut self, now_ns: i64) {
        self.inner.wake_all(now_ns);
    }

    /// When to let time pass next.
    pub fn next_alarm_ns(&self) -> Option<i64> {
        self.inner.next_alarm_ns()
    }

    /// Nothing is kept any more: [`Self::changes`] begins with everything again.
    pub fn keep_anew(&mut self) {
        self.image = Image::default();
        for store in self.inner.stores().values() {
            store.forget_changes();
        }
    }

    /// What to keep, `[key, bytes | undefined, …]`: everything at first, then what changed since
    /// the last call. It has to be kept wholly or not at all.
    pub fn changes(&mut self) -> Array {
        let changes = self.image.changes(&self.inner.stores(), self.inner.object_count());
        let flat = changes.into_iter().flat_map(|(key, value)| {
            let value = value.map(|bytes| Uint8Array::from(bytes.as_slice()));
            [JsValue::from(key), value.map_or(JsValue::UNDEFINED, JsValue::from)]
        });
        flat.collect()
    }
}

/// The message of what was thrown.
fn said(error: &JsValue) -> String {
    let message = Reflect::get(error, &JsValue::from_str("message")).ok();
    message.and_then(|message| message.as_string()).unwrap_or_default()
}

fn database(seed: u64, token: &str) -> Result<InProcess, SettingsError> {
    let settings = Settings::read(|name| {
        let given = SETTINGS.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        let token = (name == "ADMIN_TOKEN").then_some(token);
        given.or(token).map(str::to_owned)
    })?;
    Ok(InProcess::new(settings, seed))
}

/// Reads line protocol as a write would: `[good, bad, unit, lines, line, column, reason, …]`, the
/// first of the bad ones named. `lines` have times that look like counts of `unit`, which is empty
/// if there are none. `precision` is that of a write.
///
/// # Errors
/// When the precision is none.
#[wasm_bindgen]
pub fn validate(text: &[u8], precision: &str, now_ns: i64) -> Result<Array, JsError> {
    let Verdict { good, bad, errors, mistaken } = Verdict::new(text, precision, now_ns)?;
    let Mistaken { unit, lines } = mistaken.unwrap_or(Mistaken { unit: "", lines: 0 });
    let verdict = Array::of4(&good.into(), &bad.into(), &unit.into(), &lines.into());
    for LineError { line, column, reason } in errors {
        verdict.push(&line.into());
        verdict.push(&column.into());
        verdict.push(&reason.into());
    }
    Ok(verdict)
}

/// Reads InfluxQL as the server does: `[does, [kind, from, to, …], [does, from, to, …]]`, what the
/// text does, its words, and its statements. See [`PageOutline`].
#[wasm_bindgen]
pub fn outline(text: &str) -> Array {
    let PageOutline { does, words, statements } = PageOutline::new(text);
    let numbers = |numbers: &[u32]| JsValue::from(js_sys::Uint32Array::from(numbers));
    Array::of3(&does.into(), &numbers(&words), &numbers(&statements))
}
