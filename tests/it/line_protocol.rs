//! Line protocol against the corpus that InfluxData's implementations are held to.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use serde_json::Value;
use tidemark::batch::Batch;
use tidemark::batch::from_lines::from_lines;
use tidemark::line_protocol::{Options, TimestampUnit};
use tidemark::model::time::Precision;
use tidemark::model::value::FieldValue;

/// Where the shared test data lies, seen from the repository.
const CORPUS: &str = "../shared/data/line_protocol/corpus.json.gz";

/// A point as text: name, tags by key, fields by key with their last value, time.
type Point = (String, BTreeMap<String, String>, BTreeMap<String, String>, i64);

#[test]
fn every_corpus_case_agrees_or_is_a_known_leniency() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(CORPUS);
    let Ok(compressed) = std::fs::read(&path) else {
        println!("skipped: {CORPUS} is not there");
        return;
    };
    let corpus: Value = serde_json::from_slice(&gunzip(&compressed)).unwrap();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut faults = Vec::new();
    for (key, case) in corpus["decode"].as_object().unwrap() {
        let body = bytes(&case["input"]["text"]);
        let now_ns = case["input"]["defaultTime"].as_i64().unwrap();
        let ours = read(&body, precision(&case["input"]["precision"]), now_ns);
        let theirs = case["output"]["result"].as_array().map(|points| expected(points));
        let verdict = match (&ours, &theirs) {
            (None, None) => "rejected by both",
            (Some(ours), Some(theirs)) if ours == theirs => "same points",
            _ => leniency(&body, ours.as_deref(), theirs.as_deref()).unwrap_or("disagree"),
        };
        *counts.entry(verdict).or_default() += 1;
        if verdict == "disagree" {
            faults.push(format!(
                "{key} {:?}\n  {ours:?}\n  {theirs:?}",
                body.escape_ascii().to_string()
            ));
        }
    }
    println!("{counts:#?}");
    assert!(faults.is_empty(), "{}\n{}", faults.len(), faults.join("\n"));
}

/// The reason why we deliberately differ on this body, if one is on the list.
fn leniency(body: &[u8], ours: Option<&[Point]>, theirs: Option<&[Point]>) -> Option<&'static str> {
    let has = |part: &[u8]| body.windows(part.len()).any(|window| window == part);
    match (ours, theirs) {
        // Agents indent with tabs; InfluxDB 3 trims them.
        (Some(_), None) if body.starts_with(b"\t") => Some("lenient: tab before a line"),
        // Nothing of a comment is read.
        (Some([]), None) if body.starts_with(b"#") => Some("lenient: any byte in a comment"),
        // The name is the timestamp's; InfluxDB refuses it when the point is stored.
        (None, Some(_)) if has(b",time=") => Some("strict: a tag called time"),
        // They cannot be told apart in a shell or a log.
        (None, Some(_)) if body.iter().any(|byte| *byte < 0x20) => {
            Some("strict: control character in a name")
        }
        _ => None,
    }
}

/// The points of a body; `None` if any line is rejected.
fn read(body: &[u8], precision: Precision, now_ns: i64) -> Option<Vec<Point>> {
    let options = Options { unit: TimestampUnit::Fixed(precision), now_ns };
    let (batch, rejected) = from_lines(body, options, 1).ok()?;
    (rejected.count == 0).then(|| points(&batch))
}

fn points(batch: &Batch) -> Vec<Point> {
    let mut found: Vec<(u32, Point)> = Vec::new();
    for table in &batch.measurements {
        let block = &table.block;
        for row in 0..block.rows() {
            let series = block.row_series[row] as usize;
            let tags = table.tag_keys.iter().zip(&block.series.tags);
            let fields = table.field_keys.iter().zip(&block.fields);
            let tags = tags.map(|(key, tag)| (key.clone(), tag.get(series).to_owned()));
            let fields =
                fields.filter_map(|(key, column)| Some((key.clone(), shown(&column.get(row)?))));
            let tags = tags.filter(|(_, value)| !value.is_empty()).collect();
            found.push((
                table.lines[row],
                (table.name.clone(), tags, fields.collect(), block.times_ns[row]),
            ));
        }
    }
    found.sort_by_key(|(line, _)| *line);
    found.into_iter().map(|(_, point)| point).collect()
}

/// `1ns`, `1µs` and so on.
fn precision(value: &Value) -> Precision {
    match value.as_str().unwrap() {
        "1ns" => Precision::Nanosecond,
        "1µs" => Precision::Microsecond,
        "1ms" => Precision::Millisecond,
        "1s" => Precision::Second,
        other => panic!("precision {other}"),
    }
}

fn shown(value: &FieldValue) -> String {
    match value {
        // The corpus is JSON written by Go, which has lost the sign of -0.
        FieldValue::Float(value) => format!("float {}", value + 0.0),
        FieldValue::Integer(value) => format!("int {value}"),
        FieldValue::Unsigned(value) => format!("uint {value}"),
        FieldValue::String(value) => format!("string {value}"),
        FieldValue::Boolean(value) => format!("bool {value}"),
    }
}

/// The corpus' own points in the same form.
fn expected(points: &[Value]) -> Vec<Point> {
    points
        .iter()
        .map(|point| {
            let pairs = |list: &str| {
                let list = point[list].as_array().cloned().unwrap_or_default();
                list.into_iter().map(|pair| (text(&pair["key"]), pair["value"].clone()))
            };
            (
                text(&point["name"]),
                pairs("tags").map(|(key, value)| (key, text(&value))).collect(),
                pairs("fields").map(|(key, value)| (key, expected_value(&value))).collect(),
                point["time"].as_i64().unwrap(),
            )
        })
        .collect()
}

fn expected_value(value: &Value) -> String {
    let (kind, value) = value.as_object().unwrap().iter().next().unwrap();
    match (kind.as_str(), value) {
        ("float", value) => format!("float {}", value.as_f64().unwrap()),
        ("string" | "binary", value) => format!("string {}", text(value)),
        (kind, value) => format!("{kind} {value}"),
    }
}

/// Text, or bytes that are not text, lossily.
fn text(value: &Value) -> String {
    String::from_utf8_lossy(&bytes(value)).into_owned()
}

fn bytes(value: &Value) -> Vec<u8> {
    let engine = base64::engine::general_purpose::STANDARD;
    match value {
        Value::String(text) => text.clone().into_bytes(),
        value => engine.decode(value["binary"].as_str().unwrap()).unwrap(),
    }
}

/// Inflates one gzip member with at most a file name in its header.
fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let name =
        if bytes[3] & 8 != 0 { bytes[10..].iter().position(|b| *b == 0).unwrap() + 1 } else { 0 };
    miniz_oxide::inflate::decompress_to_vec(&bytes[10 + name..bytes.len() - 8]).unwrap()
}
