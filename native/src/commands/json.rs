//! Reads the members of JSON objects.

use serde_json::Value;

/// Returns the elements of an array in an object. Returns an empty slice if the object has no such
/// array.
pub fn array<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Returns a text in an object. Returns an empty text if the object has no such text.
pub fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Returns a number in an object, or 0 if the number is absent.
pub fn number(value: &Value, name: &str) -> u64 {
    value.get(name).and_then(Value::as_u64).unwrap_or(0)
}

/// Returns the texts of an array in an object.
pub fn texts(value: &Value, name: &str) -> impl Iterator<Item = String> {
    array(value, name).iter().filter_map(|text| text.as_str().map(str::to_owned))
}
