//! Implements [`Store`] with the object's SQLite.
//!
//! This module has its own bindings for two reasons. First, the bindings in `worker` lack
//! `transactionSync`. Second, these bindings pass a `&[u8]` argument without a copy, as a view of
//! WASM memory. The view is created during the call, so that no allocation can invalidate the view.
//! The module uses only `exec` and `raw`, because the cursor's other methods throw through WASM
//! instead of returning an error.
//!
//! No 64-bit integer loses precision in JavaScript: keys are below 2^53, and all other integers are
//! inside blobs.

use std::cell::Cell;
use std::fmt::Write as _;
use std::ops::{Range, RangeInclusive};

use js_sys::{Array, Iterator, Promise, Uint8Array};
use wasm_bindgen::prelude::*;

use super::runtime;
use tidemark_engine::store::{
    HeadAndBody, KEY_MAX, RowCounts, Store, StoreError, StoreResult, Table,
};
use tidemark_model::bug::{self, OrBug};

#[wasm_bindgen]
extern "C" {
    type JsStorage;

    #[wasm_bindgen(method, getter, structural)]
    fn sql(this: &JsStorage) -> JsSql;

    #[wasm_bindgen(method, catch, structural, js_name = transactionSync)]
    fn transaction_sync(
        this: &JsStorage,
        work: &mut dyn FnMut() -> Result<JsValue, JsValue>,
    ) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch, structural, js_name = deleteAll)]
    fn delete_all(this: &JsStorage) -> Result<Promise, JsValue>;

    type JsSql;

    #[wasm_bindgen(method, getter, structural, js_name = databaseSize)]
    fn database_size(this: &JsSql) -> f64;

    #[wasm_bindgen(method, catch, structural, variadic)]
    fn exec(this: &JsSql, query: &str, numbers: &[f64]) -> Result<JsCursor, JsValue>;

    #[wasm_bindgen(method, catch, structural, js_name = exec)]
    fn exec_row(
        this: &JsSql,
        query: &str,
        key: f64,
        head: &[u8],
        body: &[u8],
    ) -> Result<JsCursor, JsValue>;

    type JsCursor;

    #[wasm_bindgen(method, catch, structural)]
    fn raw(this: &JsCursor) -> Result<Iterator, JsValue>;

    #[wasm_bindgen(method, getter, structural, js_name = rowsRead)]
    fn rows_read(this: &JsCursor) -> f64;

    #[wasm_bindgen(method, getter, structural, js_name = rowsWritten)]
    fn rows_written(this: &JsCursor) -> f64;
}

pub(super) struct DoStore {
    storage: JsStorage,
    sql: JsSql,
    /// Whether the store is known to be open. The flag avoids a query of `sqlite_master`.
    open: Cell<bool>,
    counts: Cell<RowCounts>,
}

impl DoStore {
    /// Wraps the object's storage, which may not be open yet.
    pub(super) fn new(state: &worker::State) -> Self {
        let storage: JsStorage = JsValue::from(state.storage().as_raw()).unchecked_into();
        let sql = storage.sql();
        Self { storage, sql, open: Cell::new(false), counts: Cell::default() }
    }

    /// Reads every row of `cursor`, and counts the rows that the platform bills.
    fn rows(&self, cursor: Result<JsCursor, JsValue>) -> StoreResult<Vec<Array>> {
        let cursor = cursor.map_err(failure)?;
        let iterator = cursor.raw().map_err(failure)?;
        let mut rows = Vec::new();
        for row in &iterator {
            rows.push(row.map_err(failure)?.unchecked_into());
        }
        let mut counts = self.counts.get();
        counts.read += count(cursor.rows_read());
        counts.written += count(cursor.rows_written());
        self.counts.set(counts);
        Ok(rows)
    }

    fn row(&self, columns: &str, table: Table, key: u64) -> StoreResult<Option<Array>> {
        let query = format!("SELECT {columns} FROM {} WHERE key = ?", table.name());
        Ok(self.rows(self.sql.exec(&query, &[number(key)?]))?.pop())
    }
}

impl Store for DoStore {
    fn is_open(&self) -> StoreResult<bool> {
        if !self.open.get() {
            let query =
                format!("SELECT 1 FROM sqlite_master WHERE name = '{}'", Table::ALL[0].name());
            self.open.set(!self.rows(self.sql.exec(&query, &[]))?.is_empty());
        }
        Ok(self.open.get())
    }

    fn open(&self) -> StoreResult<()> {
        let mut query = String::new();
        for table in Table::ALL {
            let name = table.name();
            let _ = write!(
                query,
                "CREATE TABLE IF NOT EXISTS {name} (key INTEGER PRIMARY KEY, head BLOB, body BLOB);"
            );
        }
        self.rows(self.sql.exec(&query, &[])).map(|_| ())
    }

    fn atomically<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let mut work = Some(work);
        let mut outcome = None;
        let committed = self.storage.transaction_sync(&mut || {
            let result = work.take().map(|work| work());
            let failed = !matches!(result, Some(Ok(_)));
            outcome = result;
            // A thrown error rolls the transaction back. The Rust code keeps the original error.
            if failed { Err(JsValue::from_str("rolled back")) } else { Ok(JsValue::UNDEFINED) }
        });
        match (outcome, committed) {
            (Some(Ok(value)), Ok(_)) => Ok(value),
            (Some(Err(error)), _) => Err(error),
            (_, Err(thrown)) => Err(failure(thrown).into()),
            (None, Ok(_)) => {
                Err(StoreError::Failed("the transaction did not run".to_owned()).into())
            }
        }
    }

    fn put(&self, table: Table, key: u64, head: &[u8], body: &[u8]) -> StoreResult<()> {
        bug::check()?;
        let bytes = head.len() + body.len();
        if bytes > Self::VALUE_BYTES_MAX {
            return Err(StoreError::TooLarge { bytes, limit: Self::VALUE_BYTES_MAX });
        }
        let query = format!("INSERT OR REPLACE INTO {} VALUES (?, ?, ?)", table.name());
        self.rows(self.sql.exec_row(&query, number(key)?, head, body)).map(|_| ())
    }

    fn head(&self, table: Table, key: u64) -> StoreResult<Option<Vec<u8>>> {
        Ok(self.row("head", table, key)?.map(|row| blob(&row.get(0))))
    }

    fn body(&self, table: Table, key: u64) -> StoreResult<Option<Vec<u8>>> {
        Ok(self.row("body", table, key)?.map(|row| blob(&row.get(0))))
    }

    fn body_slice(
        &self,
        table: Table,
        key: u64,
        bytes: Range<u32>,
    ) -> StoreResult<Option<Vec<u8>>> {
        let query = format!("SELECT substr(body, ?, ?) FROM {} WHERE key = ?", table.name());
        // SQLite counts bytes from 1.
        let first = f64::from(bytes.start) + 1.0;
        let length = f64::from(bytes.end.saturating_sub(bytes.start));
        let rows = self.rows(self.sql.exec(&query, &[first, length, number(key)?]))?;
        Ok(rows.first().map(|row| blob(&row.get(0))))
    }

    fn head_and_body(&self, table: Table, key: u64) -> StoreResult<Option<HeadAndBody>> {
        let row = self.row("head, body", table, key)?;
        Ok(row.map(|row| (blob(&row.get(0)), blob(&row.get(1)))))
    }

    fn heads(
        &self,
        table: Table,
        keys: RangeInclusive<u64>,
        limit: u32,
    ) -> StoreResult<Vec<(u64, Vec<u8>)>> {
        let query = format!(
            "SELECT key, head FROM {} WHERE key BETWEEN ? AND ? ORDER BY key LIMIT ?",
            table.name()
        );
        let (first, last) = (number(*keys.start())?, number(last_key(&keys))?);
        let rows = self.rows(self.sql.exec(&query, &[first, last, f64::from(limit)]))?;
        Ok(rows
            .iter()
            .map(|row| (count(row.get(0).as_f64().or_bug()), blob(&row.get(1))))
            .collect())
    }

    fn delete(&self, table: Table, keys: RangeInclusive<u64>) -> StoreResult<()> {
        bug::check()?;
        let query = format!("DELETE FROM {} WHERE key BETWEEN ? AND ?", table.name());
        let (first, last) = (number(*keys.start())?, number(last_key(&keys))?);
        self.rows(self.sql.exec(&query, &[first, last])).map(|_| ())
    }

    fn wipe(&self) -> StoreResult<()> {
        // `delete_all` takes effect before it returns. The promise only reports durability, which
        // the runtime's output gate awaits before it sends a response.
        let _durable = self.storage.delete_all().map_err(failure)?;
        self.open.set(false);
        Ok(())
    }

    fn bytes(&self) -> StoreResult<u64> {
        Ok(count(self.sql.database_size()))
    }

    fn row_counts(&self) -> RowCounts {
        self.counts.get()
    }
}

/// Returns the last key of a range. A range without an end ends at the maximum key.
fn last_key(keys: &RangeInclusive<u64>) -> u64 {
    (*keys.end()).min(KEY_MAX)
}

#[expect(clippy::cast_precision_loss, reason = "checked to be below 2^53")]
fn number(key: u64) -> StoreResult<f64> {
    if key > KEY_MAX {
        return Err(StoreError::Failed(format!("key {key} is not below 2^53")));
    }
    Ok(key as f64)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count from the platform: not negative, below 2^53"
)]
fn count(number: f64) -> u64 {
    number as u64
}

/// Returns the bytes of a blob. SQLite binds an empty blob as NULL, so NULL is also read as an
/// empty blob.
fn blob(value: &JsValue) -> Vec<u8> {
    if value.is_null() || value.is_undefined() {
        return Vec::new();
    }
    runtime::taken(&Uint8Array::new(value))
}

fn failure(thrown: JsValue) -> StoreError {
    let message = thrown
        .dyn_ref::<js_sys::Error>()
        .map_or_else(|| format!("{thrown:?}"), |error| String::from(error.message()));
    if message.contains("SQLITE_FULL") { StoreError::Full } else { StoreError::Failed(message) }
}
