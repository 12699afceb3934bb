//! Generates the page of all limits from the table of limits.

use tidemark_model::limits::{LimitConstant, SECTIONS};

use crate::markdown::{code, generated_by, one_line, table};

const INTRODUCTION: &str = r#"# All limits

This page is for operators and engineers who need the value of a limit. It lists every constant of `crates/model/src/limits.rs` with its value and its
description from the code. [Settings and limits](../SETTINGS.md) describes the limits that affect users, and the settings that change them.
One MB is 10⁶ bytes. An *edge* is an isolate of the Worker, or an engine thread of the native program. [Concepts](../concepts.md) defines
the other terms.
"#;

/// The units of time with their length in nanoseconds, largest first.
const TIMES: [(&str, i128); 5] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("min", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
];

fn grouped(number: i128) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Formats a value with its unit, which the constant's name contains.
fn formatted(name: &str, value: &str) -> String {
    let Ok(number) = value.parse::<i128>() else { return value.to_owned() };
    let has = |unit: &str| name.split('_').skip(1).any(|word| word == unit);
    let to_ns = match () {
        () if name.contains("_PER_") => None,
        () if has("NS") => Some(1),
        () if has("MS") => Some(1_000_000),
        () if has("S") => Some(1_000_000_000),
        () => None,
    };
    let Some(to_ns) = to_ns else { return grouped(number) };
    let ns = number * to_ns;
    let (unit, size) = TIMES.into_iter().find(|(_, size)| ns % size == 0).unwrap_or(("ns", 1));
    format!("{} {unit}", grouped(ns / size))
}

fn row(limit: &LimitConstant) -> Vec<String> {
    let mut description = one_line(limit.description.iter().map(ToString::to_string));
    // The formatted value contains a unit, so the description needs none.
    for unit in [", in nanoseconds", ", in milliseconds", ", in seconds"] {
        description = description.replace(unit, "");
    }
    vec![code(limit.name), formatted(limit.name, &format!("{:?}", limit.value)), description]
}

pub(crate) fn page() -> String {
    let mut parts = vec![generated_by("crates/model/src/limits.rs"), INTRODUCTION.to_owned()];
    for (title, limits) in SECTIONS {
        let rows = limits.iter().map(row).collect();
        parts.push(format!("## {title}\n\n{}", table(&["limit", "value", "description"], rows)));
    }
    parts.join("\n")
}
