//! Defines the JavaScript interface of a database in a web page: requests, alarms and persistence.
//!
//! The clock and random numbers are arguments. The caller is `www/engine/worker.js`.

use js_sys::{Array, Function, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;

use super::image::{Image, Restored};
use super::in_process::InProcess;
use super::influxql_outline::PageOutline;
use super::validate::{LineError, SuspectUnit, Validation};
use tidemark_server::http::{RequestHead, Response};
use tidemark_server::settings::{Settings, SettingsError};

/// The settings for a web page. Points are kept permanently, and requests are not logged. A shard
/// becomes full before the page's 4 GB of memory are used up.
const SETTINGS: &[(&str, &str)] = &[
    ("AUTO_CREATE_RETENTION", "INF"),
    ("LOG_REQUESTS", "none"),
    ("SHARD_FULL_BYTES", "1000000000"),
    ("SHARD_SPLIT_BYTES", "4000000000"),
];

/// The database of a page.
#[wasm_bindgen]
pub struct Tidemark {
    inner: InProcess,
    /// The administrator's token, which the module uses for requests without credentials, because
    /// such requests come from the page's user.
    token: String,
    /// The rows that the browser has stored.
    image: Image,
    /// The rows from an earlier page, while they are being restored.
    restored: Option<Restored>,
}

#[wasm_bindgen]
impl Tidemark {
    /// Creates an empty database. `seed` and `secret` must be random.
    ///
    /// # Errors
    /// An error occurs only if a setting in this file is invalid.
    #[wasm_bindgen(constructor)]
    pub fn new(seed: u64, secret: u64) -> Result<Self, JsError> {
        console_error_panic_hook::set_once();
        let token = format!("{secret:016x}");
        let inner = database(seed, &token)?;
        Ok(Self { inner, token, image: Image::default(), restored: None })
    }

    /// Adds a row that [`Self::changes`] returned to an earlier page. The order of rows does not
    /// matter.
    ///
    /// # Errors
    /// An error occurs if the row is damaged or has another version.
    pub fn restore(&mut self, key: &str, value: &[u8]) -> Result<(), JsError> {
        Ok(self.restored.get_or_insert_default().add(key, value)?)
    }

    /// Ends a restore after its last row. The database then has the restored state.
    ///
    /// # Errors
    /// An error occurs if rows are missing or belong to different states.
    pub fn restored(&mut self) -> Result<(), JsError> {
        let (stores, image) = self.restored.take().unwrap_or_default().finish()?;
        self.inner.set_object_count(image.objects);
        for (address, store) in stores {
            self.inner.put_store(address, store);
        }
        self.image = image;
        Ok(())
    }

    /// Processes a request and returns `[status, [name, value, …], body]`. `headers` contains
    /// alternating lower-case names and values. A request without `authorization` has the
    /// administrator's permissions.
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
        let Response { status, headers, body } = self.inner.respond(head, body, now_ns);
        let texts =
            headers.into_iter().flat_map(|(name, value)| [name.to_owned(), value.into_owned()]);
        let texts: Array = texts.map(JsValue::from).collect();
        Array::of3(&status.into(), &texts, &Uint8Array::from(body.as_slice()))
    }

    /// Runs SQL statements with `turn(message)`, which receives and returns bytes of
    /// [`tidemark_engine::protocol::sql`]. If `turn` throws an error, the statement ends with the message of
    /// this error.
    pub fn set_sql(&mut self, turn: Function) {
        self.inner.set_sql(Box::new(move |message| {
            let reply = turn.call1(&JsValue::NULL, &Uint8Array::from(message));
            let reply = reply.map_err(|error| error_message(&error))?;
            Ok(Uint8Array::new(&reply).to_vec())
        }));
    }

    /// Returns `true` until the first database is created.
    pub fn is_empty(&self) -> bool {
        self.inner.object_count() == 0
    }

    /// Advances the time to `now_ns` and runs the due alarms.
    pub fn pass_time(&mut self, now_ns: i64) {
        self.inner.pass_time(now_ns);
    }

    /// Loads the restored objects and runs the alarms that were missed while the page was closed.
    pub fn wake(&mut self, now_ns: i64) {
        self.inner.wake_all(now_ns);
    }

    /// Returns the time at which the page should next call [`Self::pass_time`].
    pub fn next_alarm_ns(&self) -> Option<i64> {
        self.inner.next_alarm_ns()
    }

    /// Forgets which rows the browser has stored, so that the next call of [`Self::changes`]
    /// returns all rows.
    pub fn keep_anew(&mut self) {
        self.image = Image::default();
        for store in self.inner.stores().values() {
            store.forget_changes();
        }
    }

    /// Returns the rows to store as `[key, bytes | undefined, …]`. The first call returns all rows,
    /// and further calls return the changes. The page must store the result of a call in a single
    /// transaction.
    pub fn changes(&mut self) -> Array {
        let changes = self.image.changes(&self.inner.stores(), self.inner.object_count());
        let flat = changes.into_iter().flat_map(|(key, value)| {
            let value = value.map(|bytes| Uint8Array::from(bytes.as_slice()));
            [JsValue::from(key), value.map_or(JsValue::UNDEFINED, JsValue::from)]
        });
        flat.collect()
    }
}

/// Returns the message of a thrown error.
fn error_message(error: &JsValue) -> String {
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

/// Parses line protocol like a write. Returns `[good, bad, unit, lines, line, column, reason, …]`.
/// The last three values are repeated for each of the first rejected lines. `lines` is the number
/// of lines whose timestamps were probably meant in `unit`. If there are no such lines, `unit` is
/// empty. `precision` has the same values as in a write.
///
/// # Errors
/// An error occurs if the precision is invalid.
#[wasm_bindgen]
pub fn validate(text: &[u8], precision: &str, now_ns: i64) -> Result<Array, JsError> {
    let Validation { good, bad, errors, mistaken } = Validation::new(text, precision, now_ns)?;
    let SuspectUnit { unit, lines } = mistaken.unwrap_or(SuspectUnit { unit: "", lines: 0 });
    let result = Array::of4(&good.into(), &bad.into(), &unit.into(), &lines.into());
    for LineError { line, column, reason } in errors {
        result.push(&line.into());
        result.push(&column.into());
        result.push(&reason.into());
    }
    Ok(result)
}

/// Parses InfluxQL like the server. Returns `[does, [kind, from, to, …], [does, from, to, …]]`: the
/// effect of the text, its words, and its statements. See [`PageOutline`].
#[wasm_bindgen]
pub fn outline(text: &str) -> Array {
    let PageOutline { does, words, statements } = PageOutline::new(text);
    let numbers = |numbers: &[u32]| JsValue::from(js_sys::Uint32Array::from(numbers));
    Array::of3(&does.into(), &numbers(&words), &numbers(&statements))
}
