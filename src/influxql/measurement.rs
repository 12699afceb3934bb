//! Parses and prints one measurement, or a pattern of measurements, with the database and the
//! policy before it.

use std::fmt;

use super::error::ParseError;
use super::expr_parser::segments;
use super::parser::Parser;
use super::quote;
use crate::model::regex::Regex;

/// `[database.][policy.]name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measurement {
    /// None means the request's database; never empty.
    pub database: Option<String>,
    /// None means the default policy; never empty.
    pub policy: Option<String>,
    /// Which measurements.
    pub name: MeasurementName,
}

/// One name, or a pattern of names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MeasurementName {
    /// Exactly this; 1.x takes an empty name for every measurement.
    Name(String),
    /// All that match.
    Regex(Regex),
}

/// Parses one measurement.
pub(super) fn parse(p: &mut Parser<'_>) -> Result<Measurement, ParseError> {
    match p.regex_if()? {
        Some(regex) => Ok(matching(regex)),
        None => named(p),
    }
}

/// All measurements of the default policy that match.
pub(super) fn matching(regex: Regex) -> Measurement {
    Measurement { database: None, policy: None, name: MeasurementName::Regex(regex) }
}

/// `[database.][policy.]name`, where the name may be a regex.
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

/// `[database.][policy.]` with its dots; the default policy of a named database leaves nothing
/// between two dots.
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
