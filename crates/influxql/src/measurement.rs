//! Parses and prints a measurement or a pattern, with an optional database and retention policy.

use std::fmt;

use super::error::ParseError;
use super::expr_parser::segments;
use super::parser::Parser;
use super::quote;
use tidemark_model::regex::Regex;

/// `[database.][policy.]name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measurement {
    /// The database, which is never empty, or `None` for the request's database.
    pub database: Option<String>,
    /// The retention policy, which is never empty, or `None` for the default policy.
    pub policy: Option<String>,
    /// The measurement's name or a pattern.
    pub name: MeasurementName,
}

/// The name of a measurement, or a pattern for names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MeasurementName {
    /// Exactly this name. An empty name means every measurement in lists such as SHOW SERIES, and is
    /// an error elsewhere, as in 1.x.
    Name(String),
    /// All measurements that match the regex.
    Regex(Regex),
}

pub(super) fn parse(p: &mut Parser<'_>) -> Result<Measurement, ParseError> {
    match p.regex_if()? {
        Some(regex) => Ok(matching(regex)),
        None => named(p),
    }
}

pub(super) fn matching(regex: Regex) -> Measurement {
    Measurement { database: None, policy: None, name: MeasurementName::Regex(regex) }
}

pub(super) fn named(p: &mut Parser<'_>) -> Result<Measurement, ParseError> {
    let mut segments = segments(p)?;
    let regex = if segments.len() == 3 { None } else { p.regex_if()? };
    let name = match regex {
        Some(regex) => MeasurementName::Regex(regex),
        None => MeasurementName::Name(segments.pop().unwrap_or_default()),
    };
    let policy = segments.pop().filter(|policy| !policy.is_empty());
    let database = segments.pop().filter(|database| !database.is_empty());
    Ok(Measurement { database, policy, name })
}

/// Prints `[database.][policy.]`, with an empty text between the dots for the default policy.
pub(super) fn write_qualifier(
    f: &mut fmt::Formatter<'_>,
    database: Option<&str>,
    policy: Option<&str>,
) -> fmt::Result {
    if let Some(database) = database {
        write!(f, "{}.", quote::ident(database))?;
    }
    if let Some(policy) = policy {
        f.write_str(&quote::ident(policy))?;
    }
    if database.is_some() || policy.is_some() { f.write_str(".") } else { Ok(()) }
}

impl fmt::Display for Measurement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_qualifier(f, self.database.as_deref(), self.policy.as_deref())?;
        match &self.name {
            MeasurementName::Name(name) => f.write_str(&quote::ident(name)),
            MeasurementName::Regex(regex) => write!(f, "{regex}"),
        }
    }
}
