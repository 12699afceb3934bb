//! Compares two responses and finds their first difference.

use super::answer::{Answer, Cell, Series, StatementResult};

const RELATIVE_TOLERANCE: f64 = 1e-9;

/// Compares two responses. The error describes the first difference. With `unordered`, rows with
/// the same time may be in any order.
pub(super) fn answers(expected: &Answer, actual: &Answer, unordered: bool) -> Result<(), String> {
    let (Answer::Results(expected), Answer::Results(actual)) = (expected, actual) else {
        if expected == actual {
            return Ok(());
        }
        return Err(format!("expected {}, got {}", brief(expected), brief(actual)));
    };
    same("number of results", &expected.len(), &actual.len())?;
    for (id, (expected, actual)) in expected.iter().zip(actual).enumerate() {
        results(expected, actual, unordered).map_err(|error| format!("statement {id}: {error}"))?;
    }
    Ok(())
}

fn brief(answer: &Answer) -> String {
    match answer {
        Answer::Text(text) => format!("the text {text:?}"),
        Answer::Failed { status, body } => format!("http {status} {body}"),
        Answer::Results(results) => match results.iter().find_map(|result| result.error.as_ref()) {
            Some(error) => format!("a result with the error {error:?}"),
            None => format!("{} result(s)", results.len()),
        },
    }
}

fn same<T: PartialEq + std::fmt::Debug>(
    what: &str,
    expected: &T,
    actual: &T,
) -> Result<(), String> {
    if expected == actual {
        return Ok(());
    }
    Err(format!("{what}: expected {expected:?}, got {actual:?}"))
}

fn results(
    expected: &StatementResult,
    actual: &StatementResult,
    unordered: bool,
) -> Result<(), String> {
    same("error", &expected.error, &actual.error)?;
    same("messages", &expected.messages, &actual.messages)?;
    let heads = |result: &StatementResult| -> Vec<_> {
        let head = |series: &Series| (series.name.clone(), series.tags.clone(), series.partial);
        result.series.iter().map(head).collect()
    };
    same("series", &heads(expected), &heads(actual))?;
    for (expected, actual) in expected.series.iter().zip(&actual.series) {
        let name = expected.name.as_deref().unwrap_or("-");
        let at = |error| format!("series {name} {:?}: {error}", expected.tags);
        same("columns", &expected.columns, &actual.columns).map_err(at)?;
        let time = expected.columns.iter().position(|column| column == "time");
        match time.filter(|_| unordered) {
            None => rows_in_order(&expected.rows, &actual.rows).map_err(at)?,
            Some(time) => rows_by_time(&expected.rows, &actual.rows, time).map_err(at)?,
        }
    }
    Ok(())
}

fn rows_in_order(expected: &[Vec<Cell>], actual: &[Vec<Cell>]) -> Result<(), String> {
    for (at, (expected, actual)) in expected.iter().zip(actual).enumerate() {
        if !same_row(expected, actual) {
            return Err(format!("row {at}: expected {}, got {}", show(expected), show(actual)));
        }
    }
    same("number of rows", &expected.len(), &actual.len())
}

fn rows_by_time(expected: &[Vec<Cell>], actual: &[Vec<Cell>], time: usize) -> Result<(), String> {
    let same_time = |a: &Vec<Cell>, b: &Vec<Cell>| a.get(time) == b.get(time);
    let (mut expected, mut actual) = (expected.chunk_by(same_time), actual.chunk_by(same_time));
    loop {
        let (expected, mut actual) = match (expected.next(), actual.next()) {
            (None, None) => return Ok(()),
            (Some(expected), Some(actual)) => (expected, actual.to_vec()),
            (more, less) => return Err(format!("rows: expected {more:?}, got {less:?}")),
        };
        for row in expected {
            let Some(at) = actual.iter().position(|candidate| same_row(row, candidate)) else {
                let left: Vec<_> = actual.iter().map(|row| show(row)).collect();
                return Err(format!("no row {} among {}", show(row), left.join(" and ")));
            };
            actual.swap_remove(at);
        }
        if let Some(row) = actual.first() {
            return Err(format!("unexpected row {}", show(row)));
        }
    }
}

fn same_row(expected: &[Cell], actual: &[Cell]) -> bool {
    expected.len() == actual.len()
        && expected.iter().zip(actual).all(|(expected, actual)| same_cell(expected, actual))
}

fn same_cell(expected: &Cell, actual: &Cell) -> bool {
    if expected == actual {
        return true;
    }
    let (Cell::Literal(expected), Cell::Literal(actual)) = (expected, actual) else { return false };
    // Two whole numbers must be equal, because they may be integers.
    if !(has_fraction(expected) || has_fraction(actual)) {
        return false;
    }
    let (Ok(wanted), Ok(found)) = (expected.parse::<f64>(), actual.parse::<f64>()) else {
        return false;
    };
    let scale = wanted.abs().max(found.abs());
    (wanted - found).abs() <= RELATIVE_TOLERANCE * scale && go_float(found) == *actual
}

fn has_fraction(number: &str) -> bool {
    number.contains(['.', 'e', 'E'])
}

/// Formats a finite float in the same way as Go's encoding/json.
fn go_float(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 || (1e-6..1e21).contains(&size) {
        return format!("{value}");
    }
    let text = format!("{value:e}");
    match text.split_once('e') {
        Some((digits, exponent)) if !exponent.starts_with('-') => format!("{digits}e+{exponent}"),
        _ => text,
    }
}

fn show(row: &[Cell]) -> String {
    let cells = row.iter().map(|cell| match cell {
        Cell::String(text) => format!("{text:?}"),
        Cell::Literal(text) => text.clone(),
    });
    cells.collect::<Vec<_>>().join(" ")
}
