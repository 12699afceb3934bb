//! Prints the response to InfluxQL statements as text.

use serde_json::Value;

use super::json::{array, text};
use super::{print, table};
use crate::Failure;
use crate::printable::printable;

/// Prints the results of a response. Writes tables and messages to standard output, and errors of
/// statements to standard error. Returns whether every statement succeeded.
pub fn show(response: &Value) -> Result<bool, Failure> {
    let (mut lines, mut errors) = (Vec::new(), Vec::new());
    for result in array(response, "results") {
        for series in array(result, "series") {
            append(series, &mut lines);
        }
        for message in array(result, "messages") {
            let (level, text) = (text(message, "level"), text(message, "text"));
            lines.push(printable(&format!("{level}: {text}")).into_owned());
        }
        if let Some(error) = result.get("error").and_then(Value::as_str) {
            errors.push(error);
        }
    }
    // The last line is an empty separator between tables.
    lines.pop_if(|last| last.is_empty());
    for line in lines {
        print(line + "\n")?;
    }
    for error in &errors {
        stderr_line!("{error}");
    }
    Ok(errors.is_empty())
}

fn append(series: &Value, lines: &mut Vec<String>) {
    let mut title: Vec<_> =
        series.get("name").and_then(Value::as_str).map(str::to_owned).into_iter().collect();
    if let Some(tags) = series.get("tags").and_then(Value::as_object) {
        title.extend(
            tags.iter().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())),
        );
    }
    title.retain(|part| !part.is_empty());
    if !title.is_empty() {
        lines.push(printable(&title.join(" ")).into_owned());
    }
    let head: Vec<_> =
        array(series, "columns").iter().map(|name| name.as_str().unwrap_or_default()).collect();
    let rows =
        array(series, "values").iter().map(|row| row.as_array().cloned().unwrap_or_default());
    lines.extend(table::lines(&head, &rows.collect::<Vec<_>>()));
    lines.push(String::new());
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn titles_contain_no_control_characters() {
        let mut lines = Vec::new();
        let series = json!({
            "name": "m\u{1b}[2J", "tags": {"host": "\u{9b}1m\n"}, "columns": ["v"], "values": [[1]],
        });
        append(&series, &mut lines);
        assert_eq!(lines, ["m\\u001b[2J host=\\u009b1m\\n", "v", "-", "1", ""]);
    }
}
