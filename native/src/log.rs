//! Writes the log. Each event is one line of JSON.

use std::io::Write as _;

use serde_json::{Map, Value};
use tidemark::response::time;

use crate::platform::now_ns;

/// Writes a line to the log. Ignores errors, because a closed log must not stop the server.
pub fn line(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// Writes a fault to the log. Ignores errors, like [`line`].
pub fn fault(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Writes an event with the current time.
pub fn event(name: &str, more: &[(&str, Value)]) {
    let mut text = Vec::new();
    time::rfc3339(now_ns() / 1_000_000 * 1_000_000, 0, &mut text);
    let mut event = Map::new();
    event.insert("time".to_owned(), String::from_utf8_lossy(&text).into());
    event.insert("event".to_owned(), name.into());
    event.extend(more.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
    line(&Value::Object(event).to_string());
}
