//! Converts SQL rows to line protocol. The rows are lines of JSON, in the format of `query_sql`.

use serde_json::{Deserializer, Value};
use tidemark_influxql::time_literal;
use tidemark_line_protocol::{escape_field_key, escape_measurement, escape_tag};

/// The measurement to which rows are written, and the columns that become tags.
pub struct Shape<'a> {
    /// The name of the measurement.
    pub measurement: &'a str,
    /// The tag columns, in order.
    pub tags: Vec<&'a str>,
}

/// Converts a row to a line. Every column that is neither `time` nor a tag becomes a field.
///
/// # Errors
/// Returns a description of the row's error.
pub fn line_of(row: &str, shape: &Shape<'_>) -> Result<String, String> {
    let columns = columns_of(row)?;
    let column = |name: &str| columns.iter().find(|(known, _, _)| known == name);
    let time_ns = column("time").and_then(|(_, value, _)| nanoseconds(value.as_str()?));
    let time_ns = time_ns.ok_or("the row has no time in column `time`")?;
    let mut line = String::new();
    escape_measurement(shape.measurement, |piece| line.push_str(piece));
    for tag in &shape.tags {
        match column(tag).map(|(_, value, _)| value) {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) if text.is_empty() => {}
            Some(Value::String(text)) => {
                line.push(',');
                escape_tag(tag, |piece| line.push_str(piece));
                line.push('=');
                escape_tag(text, |piece| line.push_str(piece));
            }
            Some(_) => return Err(format!("the tag {tag} is not a string")),
        }
    }
    let mut separator = ' ';
    for (name, value, source) in &columns {
        if name == "time" || shape.tags.contains(&name.as_str()) || value.is_null() {
            continue;
        }
        let field = match value {
            // A number with a decimal point or an exponent is a float. Every other number is an
            // integer.
            Value::Number(_) if source.contains(['.', 'e', 'E']) => (*source).to_owned(),
            Value::Number(_) => format!("{source}i"),
            Value::String(text) => {
                format!("\"{}\"", text.replace('\\', r"\\").replace('"', r#"\""#))
            }
            Value::Bool(value) => value.to_string(),
            _ => return Err(format!("the column {name} is not a number, string or boolean")),
        };
        line.push(separator);
        escape_field_key(name, |piece| line.push_str(piece));
        line += &format!("={field}");
        separator = ',';
    }
    if separator == ' ' {
        return Err("the row has no field: name only tag columns with --tags".to_owned());
    }
    Ok(format!("{line} {time_ns}"))
}

/// Parses a time. Returns nanoseconds since 1970. The default time zone is UTC. DuckDB writes a
/// space instead of the `T`, and `+01` for an offset.
fn nanoseconds(text: &str) -> Option<i64> {
    if !text.is_ascii() {
        return None;
    }
    // A date without a time of day is invalid.
    let (date, time) = text.split_once(['T', ' '])?;
    let mut text = format!("{date}T{time}");
    match text.bytes().rev().position(|byte| matches!(byte, b'+' | b'-')) {
        _ if text.ends_with('Z') => {}
        Some(2) => text += ":00",
        Some(4) => text.insert(text.len() - 2, ':'),
        Some(5) => {}
        _ => text.push('Z'),
    }
    time_literal::parse(&text, |_| 0).ok()
}

/// Returns the columns of a row in order. An entry contains the name, the value, and the value's
/// text as written, which has all digits.
fn columns_of(row: &str) -> Result<Vec<(String, Value, &str)>, &'static str> {
    let not_json = "the line is not JSON: export the rows with format=jsonl";
    match serde_json::from_str::<Value>(row) {
        Ok(Value::Object(_)) => {}
        Ok(_) => return Err("the line is not a JSON object: export the rows with format=jsonl"),
        Err(_) => return Err(not_json),
    }
    let mut columns = Vec::new();
    let mut rest = row.trim().strip_prefix('{').ok_or(not_json)?.trim_start();
    while rest != "}" {
        let (name, _, after) = next_value(rest).ok_or(not_json)?;
        let after = after.strip_prefix(':').ok_or(not_json)?;
        let (value, source, after) = next_value(after.trim_start()).ok_or(not_json)?;
        columns.push((name.as_str().ok_or(not_json)?.to_owned(), value, source));
        rest = after.strip_prefix(',').unwrap_or(after).trim_start();
    }
    Ok(columns)
}

/// Parses the first value of a JSON text. Returns the value, its text as written, and the rest of
/// the text.
fn next_value(text: &str) -> Option<(Value, &str, &str)> {
    let mut values = Deserializer::from_str(text).into_iter::<Value>();
    let value = values.next()?.ok()?;
    let (source, rest) = text.split_at_checked(values.byte_offset())?;
    Some((value, source, rest.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_convert_to_exact_lines() {
        let line = |measurement, tags: &[&'static str], row| {
            line_of(row, &Shape { measurement, tags: tags.to_vec() })
        };
        for (row, expected) in [
            (
                r#"{"time":"2023-11-14T22:13:20","a":"b c,=","v":1.5,"s":null}"#,
                "m\\,\\ x,a=b\\ c\\,\\= v=1.5 1700000000000000000",
            ),
            (
                r#" { "time" : "1969-12-31 23:59:59.999999999Z" , "f":1.0,"i":-9223372036854775808,"b":false,"a":"" } "#,
                "m\\,\\ x f=1.0,i=-9223372036854775808i,b=false -1",
            ),
            (
                r#"{"time":"2023-11-14T22:13:20Z","n":123456789012345678901234567890,"e":1e300,"t x":"\"\\é\n"}"#,
                "m\\,\\ x n=123456789012345678901234567890i,e=1e300,t\\ x=\"\\\"\\\\é\n\" 1700000000000000000",
            ),
        ] {
            assert_eq!(line("m, x", &["a"], row).as_deref(), Ok(expected));
        }
        for (row, reason) in [
            (r#"[{"time":"2023-11-14T22:13:20"}]"#, "export the rows with format=jsonl"),
            ("time,a,v", "the line is not JSON"),
            (r#"{"time":"2023-11-14T22:13:20","v":1}}"#, "the line is not JSON"),
            (r#"{"v":1}"#, "no time in column `time`"),
            (r#"{"time":1700000000,"v":1}"#, "no time in column `time`"),
            (r#"{"time":"2023-11-14T22:13:20","a":"x"}"#, "no field"),
            (r#"{"time":"2023-11-14T22:13:20","a":1,"v":1}"#, "the tag a is not a string"),
            (r#"{"time":"2023-11-14T22:13:20","v":[1]}"#, "the column v is not a number"),
        ] {
            let failure = line("m", &["a"], row).unwrap_err();
            assert!(failure.contains(reason), "{row}: {failure}");
        }
    }

    #[test]
    fn times_without_zone_are_utc() {
        let expected = Some(1_700_000_000_500_000_000);
        for text in [
            "2023-11-14T22:13:20.5",
            "2023-11-14 22:13:20.5",
            "2023-11-14T22:13:20.500Z",
            "2023-11-14T23:13:20.5+01:00",
            "2023-11-14 23:13:20.5+01",
            "2023-11-14T20:43:20.5-0130",
        ] {
            assert_eq!(nanoseconds(text), expected, "{text}");
        }
        for text in [
            "2023-11-14",
            "",
            "T",
            "now",
            "2023-11-14T22",
            "2023-13-14T22:13:20",
            "2023-11-14T22:13:20+0é0",
        ] {
            assert_eq!(nanoseconds(text), None, "{text}");
        }
    }
}
