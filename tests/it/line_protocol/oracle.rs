//! Checks the parser without a second implementation, for fuzzing. The points of any bytes are
//! written as line protocol, and the parser must return the same points. `fuzz/` uses this check as
//! well.

use std::collections::BTreeMap;

use tidemark_engine::batch::Batch;
use tidemark_engine::batch::from_lines::from_lines;
use tidemark_line_protocol::{Options, TimestampUnit};
use tidemark_model::time::Precision;
use tidemark_model::value::FieldValue;

pub(crate) const NOW_NS: i64 = 1_700_000_000_000_000_000;

/// A point as text: the name, the tags by key, the last value of each field by key, and the time.
pub(crate) type Point = (String, BTreeMap<String, String>, BTreeMap<String, String>, i64);

/// Panics unless the points of `body` are the same after writing and parsing. Returns the number of
/// points, which is 0 for bytes that are not valid text.
pub(crate) fn check(body: &[u8]) -> usize {
    let options = Options::new(TimestampUnit::Fixed(Precision::Nanosecond), NOW_NS);
    let Ok((batch, _)) = from_lines(body, options, 1) else { return 0 };
    let text = written(&batch);
    let (again, rejected) = from_lines(text.as_bytes(), options, 2).unwrap();
    let points = points(&batch);
    let body = String::from_utf8_lossy(body);
    assert_eq!(rejected.named, [], "{body:?}\n{text:?}");
    assert_eq!(self::points(&again), points, "{body:?}\n{text:?}");
    points.len()
}

/// Returns the points as line protocol, in the order of the original lines.
fn written(batch: &Batch) -> String {
    let escaped = |name: &str, special: &[char]| {
        let escape = |c: char| if special.contains(&c) { format!("\\{c}") } else { c.to_string() };
        name.chars().map(escape).collect::<String>()
    };
    let name = |text: &str| escaped(text, &[',', '=', ' ', '"']);
    let tag_text = |text: &str| escaped(text, &[',', '=', ' ']);
    let mut lines: Vec<(u32, String)> = Vec::new();
    for table in &batch.measurements {
        let block = &table.block;
        for row in 0..block.rows() {
            let mut line = name(&table.name);
            let series = block.row_series[row] as usize;
            for (key, tag) in table.tag_keys.iter().zip(&block.series.tags) {
                let value = tag.get(series);
                if !value.is_empty() {
                    line += &format!(",{}={}", tag_text(key), tag_text(value));
                }
            }
            let mut before = ' ';
            for (key, column) in table.field_keys.iter().zip(&block.fields) {
                let Some(value) = column.get(row) else { continue };
                let value = match value {
                    FieldValue::Float(value) => format!("{value:?}"),
                    FieldValue::Integer(value) => format!("{value}i"),
                    FieldValue::Unsigned(value) => format!("{value}u"),
                    FieldValue::Boolean(value) => value.to_string(),
                    FieldValue::String(text) => format!("\"{}\"", escaped(&text, &['"', '\\'])),
                };
                line += &format!("{before}{}={value}", name(key));
                before = ',';
            }
            lines.push((table.lines.get(row), format!("{line} {}\n", block.times_ns[row])));
        }
    }
    lines.sort_by_key(|(line, _)| *line);
    lines.into_iter().map(|(_, text)| text).collect()
}

pub(crate) fn points(batch: &Batch) -> Vec<Point> {
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
                table.lines.get(row),
                (table.name.clone(), tags, fields.collect(), block.times_ns[row]),
            ));
        }
    }
    found.sort_by_key(|(line, _)| *line);
    found.into_iter().map(|(_, point)| point).collect()
}

pub(crate) fn shown(value: &FieldValue) -> String {
    match value {
        // Changes -0 to 0, because the corpus is JSON that Go has written without the sign of -0.
        FieldValue::Float(value) => format!("float {}", value + 0.0),
        FieldValue::Integer(value) => format!("int {value}"),
        FieldValue::Unsigned(value) => format!("uint {value}"),
        FieldValue::String(value) => format!("string {value}"),
        FieldValue::Boolean(value) => format!("bool {value}"),
    }
}
