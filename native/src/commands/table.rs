//! Formats rows as a text table.

use serde_json::Value;
use tidemark_response::number::json_float;

use super::print;
use crate::Failure;
use crate::printable::printable;

/// Returns the lines of a table with a header. Numbers are right-aligned.
pub fn lines(head: &[&str], rows: &[Vec<Value>]) -> Vec<String> {
    let columns = head.len();
    let mut cells = vec![head.iter().map(|name| printable(name).into_owned()).collect::<Vec<_>>()];
    cells.extend(rows.iter().map(|row| row.iter().take(columns).map(shown).collect()));
    let width = |text: &String| text.chars().count();
    let mut widths = vec![0; columns];
    let mut is_numeric = vec![!rows.is_empty(); columns];
    for row in &cells {
        for (widest, cell) in widths.iter_mut().zip(row) {
            *widest = width(cell).max(*widest);
        }
    }
    for row in rows {
        for (is_numeric, value) in is_numeric.iter_mut().zip(row) {
            *is_numeric &= value.is_number() || value.is_null();
        }
    }
    let line = |row: &Vec<String>| {
        let aligned = row.iter().zip(&widths).zip(&is_numeric).map(|((cell, widest), right)| {
            let space = " ".repeat(widest - width(cell));
            match right {
                true => space + cell,
                false => cell.clone() + &space,
            }
        });
        aligned.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let mut lines: Vec<_> = cells.iter().map(line).collect();
    let ruler = widths.iter().map(|width| "-".repeat(*width)).collect::<Vec<_>>().join("  ");
    lines.insert(1, ruler);
    lines
}

pub fn show(head: &[&str], rows: &[Vec<Value>]) -> Result<(), Failure> {
    print(lines(head, rows).join("\n") + "\n")
}

/// Returns a value as text. Numbers have all the digits that the server sent.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => printable(text).into_owned(),
        Value::Number(number) if number.is_f64() => {
            let mut text = Vec::new();
            let written = number.as_f64().map(|float| json_float(float, &mut text));
            match written {
                Some(Ok(())) => String::from_utf8_lossy(&text).into_owned(),
                _ => number.to_string(),
            }
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tables_align_and_preserve_numbers() {
        let rows = [
            vec![json!("a\nb"), json!(9_007_199_254_740_993_i64), json!(1e300)],
            vec![json!("é\u{1b}"), Value::Null, json!(12.5)],
        ];
        let expected = [
            "text                    n       x",
            "-------  ----------------  ------",
            "a\\nb     9007199254740993  1e+300",
            "é\\u001b                      12.5",
        ];
        assert_eq!(lines(&["text", "n", "x"], &rows), expected);
    }
}
