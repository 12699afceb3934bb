//! Tests strings with quotes, backslashes, commas and spaces. Compares the results with those of
//! InfluxDB 1.6.7, which `tests/record/strings.mjs` has recorded. `STRINGS=FILE` selects another
//! recording.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::Value;
use tidemark_engine::batch::from_lines::from_lines;
use tidemark_line_protocol::{Options, TimestampUnit, unescape_string};
use tidemark_model::time::Precision;

use super::oracle::{NOW_NS, points};

/// The letters and the maximum length of the short texts. The recording contains all such texts
/// that InfluxDB accepted.
const LETTERS: [char; 6] = ['"', '\\', ',', ' ', '=', 'a'];
const SHORT_MOST: usize = 5;

type Fields = BTreeMap<String, String>;

/// Parses a line in which the text is a field's value. Returns the fields of the point, or `None`
/// if the line is rejected.
fn ours(text: &str) -> Option<Fields> {
    let options = Options::new(TimestampUnit::Fixed(Precision::Nanosecond), NOW_NS);
    let body = format!("m s={text} 1");
    let (batch, _) = from_lines(body.as_bytes(), options, 1).unwrap();
    let made = points(&batch).into_iter().find(|(name, ..)| name == "m");
    made.map(|(_, _, fields, _)| fields)
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("string {text}"),
        Value::Number(number) => format!("float {number}"),
        other => format!("boolean {other}"),
    }
}

/// If the value does not end with a quote, 1.x drops its last byte. The byte may be half a
/// character or the carriage return of CRLF.
fn lost_its_last_byte(text: &str, theirs: &Fields) -> bool {
    let line = format!("{text} 1");
    let bytes = line.as_bytes();
    let stored = theirs.get("s").map(String::as_str);
    (2..=bytes.len()).filter(|&length| bytes[length - 1] != b'"').any(|length| {
        let mut value = String::new();
        unescape_string(&String::from_utf8_lossy(&bytes[1..length - 1]), |part| value += part);
        stored == Some(&format!("string {value}"))
    })
}

/// Whether an `=` follows a closing quote and precedes an opening quote.
fn has_bare_equals(text: &str) -> bool {
    text.split('"').skip(1).step_by(2).any(|unquoted| unquoted.contains('='))
}

/// Returns why an intentional difference is permitted, or `None`.
fn known_difference(
    text: &str,
    ours: Option<&Fields>,
    theirs: Option<&Fields>,
) -> Option<&'static str> {
    match (ours, theirs) {
        (None, Some(theirs)) if lost_its_last_byte(text, theirs) => {
            Some("strict: the last byte is no quote, 1.x drops it")
        }
        (None, Some(theirs)) if theirs.get("s").is_some_and(|text| has_bare_equals(text)) => {
            Some("strict: an '=' that is not quoted")
        }
        _ => None,
    }
}

#[test]
fn line_strings_parse_like_influxdb_1() {
    let path = std::env::var_os("STRINGS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/line_protocol/strings.jsonl"),
        PathBuf::from,
    );
    let recorded = std::fs::read_to_string(path).unwrap();
    let mut texts: BTreeMap<String, Option<Fields>> = BTreeMap::new();
    let mut short: BTreeSet<String> = BTreeSet::from(["\"".to_owned()]);
    for _ in 1..SHORT_MOST {
        let longer = short.iter().flat_map(|text| LETTERS.map(|letter| format!("{text}{letter}")));
        let longer: Vec<String> = longer.collect();
        short.extend(longer);
    }
    texts.extend(short.into_iter().map(|text| (text, None)));
    for line in recorded.lines() {
        let (text, fields): (String, Option<BTreeMap<String, Value>>) =
            serde_json::from_str(line).unwrap();
        let fields = fields.map(|fields| {
            fields.into_iter().map(|(key, value)| (key, shown(&value))).collect::<Fields>()
        });
        texts.insert(text, fields);
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut faults = Vec::new();
    for (text, theirs) in &texts {
        let ours = ours(text);
        let verdict = match (&ours, theirs) {
            (None, None) => "refused by both",
            (Some(ours), Some(theirs)) if ours == theirs => "the same",
            _ => known_difference(text, ours.as_ref(), theirs.as_ref()).unwrap_or("disagree"),
        };
        *counts.entry(verdict).or_default() += 1;
        if verdict == "disagree" {
            faults.push(format!("{text:?}\n  {ours:?}\n  {theirs:?}"));
        }
    }
    println!("{counts:#?}");
    assert!(counts["the same"] > 100 && counts["refused by both"] > 1_000, "{counts:?}");
    faults.truncate(40);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
