//! Prints expressions, numbers, durations and quoted texts as Prometheus does.

use std::fmt::{self, Write};

use super::expr::{Aggregate, At, Binary, Expr, Matching, Subquery, TimeShift, VectorSelector};
use super::labels::METRIC_NAME;
use super::matcher::{MatchOp, Matcher};
use super::parse::DURATION_UNITS;

/// An expression whose line is longer than this is split into several lines.
const LINE_CHARS_MAX: usize = 100;

/// Prints a number as in Prometheus' results: without an exponent, with `NaN`, `+Inf` and `-Inf`.
pub fn format_float(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    format!("{value}")
}

/// Prints a text in double quotes, with Go's escape sequences.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_ascii_control() => quoted.push_str(&format!("\\x{:02x}", c as u32)),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04x}", c as u32)),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Prints the name of a label, in quotes if it is no identifier.
pub(crate) fn write_label_name(f: &mut impl Write, name: &str) -> fmt::Result {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_identifier =
        name.chars().all(is_word) && !name.starts_with(|c: char| c.is_ascii_digit());
    if is_identifier && !name.is_empty() { f.write_str(name) } else { f.write_str(&quote(name)) }
}

/// Prints milliseconds as `1h30m`.
pub(crate) fn format_duration(ms: i64) -> String {
    if ms == 0 {
        return "0s".to_owned();
    }
    let (mut text, mut rest) = (String::new(), ms.unsigned_abs());
    if ms < 0 {
        text.push('-');
    }
    for (unit, unit_ms) in DURATION_UNITS {
        let unit_ms = unit_ms.unsigned_abs();
        // As in Prometheus, years and weeks only occur if they leave no rest.
        if matches!(unit, "y" | "w") && !rest.is_multiple_of(unit_ms) {
            continue;
        }
        if rest >= unit_ms {
            text.push_str(&format!("{}{unit}", rest / unit_ms));
            rest %= unit_ms;
        }
    }
    text
}

struct Names<'a>(&'a [String]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(")?;
        for (i, name) in self.0.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { ", " })?;
            write_label_name(f, name)?;
        }
        f.write_str(")")
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_label_name(f, &self.label)?;
        write!(f, "{}{}", self.op.as_str(), quote(&self.value))
    }
}

impl fmt::Display for TimeShift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            None => {}
            Some(At::Start) => f.write_str(" @ start()")?,
            Some(At::End) => f.write_str(" @ end()")?,
            Some(At::TimeMs(ms)) => {
                let sign = if ms < 0 { "-" } else { "" };
                let ms = ms.unsigned_abs();
                write!(f, " @ {sign}{}.{:03}", ms / 1000, ms % 1000)?;
            }
        }
        match self.offset_ms {
            0 => Ok(()),
            ms => write!(f, " offset {}", format_duration(ms)),
        }
    }
}

impl VectorSelector {
    /// Prints the selector without its modifiers.
    fn selection(&self) -> String {
        let is_name =
            |m: &Matcher| m.label == METRIC_NAME && m.op == MatchOp::Equal && m.value == self.name;
        let shown = self.matchers.iter().filter(|m| self.name.is_empty() || !is_name(m));
        let mut shown: Vec<_> = shown.map(ToString::to_string).collect();
        shown.sort();
        match shown.join(",") {
            shown if shown.is_empty() && !self.name.is_empty() => self.name.clone(),
            shown => format!("{}{{{shown}}}", self.name),
        }
    }
}

impl Matching {
    fn as_text(&self) -> String {
        let mut text = String::new();
        if self.is_on || !self.labels.is_empty() || self.group.is_some() {
            let word = if self.is_on { "on" } else { "ignoring" };
            text.push_str(&format!(" {word} {}", Names(&self.labels)));
        }
        if let Some(group) = &self.group {
            let side = if group.is_left { "left" } else { "right" };
            text.push_str(&format!(" group_{side} {}", Names(&group.include)));
        }
        text
    }
}

impl Binary {
    /// Prints the operator and its modifiers.
    fn operator(&self) -> String {
        let returns_bool = if self.returns_bool { " bool" } else { "" };
        format!("{}{returns_bool}{}", self.op.as_str(), self.matching.as_text())
    }
}

impl Aggregate {
    /// Prints the operator and its labels.
    fn operator(&self) -> String {
        let name = self.op.as_str();
        match (self.is_without, self.labels.is_empty()) {
            (true, _) => format!("{name} without {} ", Names(&self.labels)),
            (false, true) => name.to_owned(),
            (false, false) => format!("{name} by {} ", Names(&self.labels)),
        }
    }
}

impl Subquery {
    fn suffix(&self) -> String {
        let step = self.step_ms.map(format_duration).unwrap_or_default();
        format!("[{}:{step}]{}", format_duration(self.range_ms), self.time)
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number { value, is_duration: true } => {
                f.write_str(&format_duration((value * 1000.0) as i64))
            }
            Self::Number { value, is_duration: false } => f.write_str(&format_float(*value)),
            Self::String(text) => f.write_str(&quote(text)),
            Self::Paren(expr) => write!(f, "({expr})"),
            Self::Unary { is_minus, expr } => write!(f, "{}{expr}", sign(*is_minus)),
            Self::Binary(binary) => {
                write!(f, "{} {} {}", binary.left, binary.operator(), binary.right)
            }
            Self::Aggregate(aggregate) => {
                write!(f, "{}(", aggregate.operator())?;
                if let Some(param) = &aggregate.param {
                    write!(f, "{param}, ")?;
                }
                write!(f, "{})", aggregate.expr)
            }
            Self::Call { function, args } => {
                write!(f, "{}(", function.as_str())?;
                for (i, arg) in args.iter().enumerate() {
                    write!(f, "{}{arg}", if i == 0 { "" } else { ", " })?;
                }
                f.write_str(")")
            }
            Self::Vector(selector) => write!(f, "{}{}", selector.selection(), selector.time),
            Self::Matrix { selector, range_ms } => {
                let range = format_duration(*range_ms);
                write!(f, "{}[{range}]{}", selector.selection(), selector.time)
            }
            Self::Subquery(subquery) => write!(f, "{}{}", subquery.expr, subquery.suffix()),
        }
    }
}

fn sign(is_minus: bool) -> char {
    if is_minus { '-' } else { '+' }
}

impl Expr {
    /// Prints the expression, and splits long lines. `level` is the depth of the indentation.
    pub(crate) fn pretty(&self, level: usize) -> String {
        let indent = "  ".repeat(level);
        let line = self.to_string();
        let splits = line.len() > LINE_CHARS_MAX;
        match self {
            Self::Unary { is_minus, expr } => {
                format!("{indent}{}{}", sign(*is_minus), expr.pretty(level).trim())
            }
            Self::Paren(expr) if splits => {
                format!("{indent}(\n{}\n{indent})", expr.pretty(level + 1))
            }
            Self::Binary(binary) if splits => {
                let (left, right) = (binary.left.pretty(level + 1), binary.right.pretty(level + 1));
                format!("{left}\n{indent}{}\n{right}", binary.operator())
            }
            Self::Aggregate(aggregate) if splits => {
                let param = aggregate.param.as_ref().map(|param| param.pretty(level + 1) + ",\n");
                let (param, expr) = (param.unwrap_or_default(), aggregate.expr.pretty(level + 1));
                format!("{indent}{}(\n{param}{expr}\n{indent})", aggregate.operator())
            }
            Self::Call { function, args } if splits => {
                let args: Vec<_> = args.iter().map(|arg| arg.pretty(level + 1)).collect();
                format!("{indent}{}(\n{}\n{indent})", function.as_str(), args.join(",\n"))
            }
            Self::Subquery(subquery) if splits => {
                format!("{}{}", subquery.expr.pretty(level), subquery.suffix())
            }
            _ => indent + &line,
        }
    }
}
