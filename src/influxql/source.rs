//! What a statement reads: measurements by name or regex, and subqueries.

use super::regex::Regex;
use super::select::SelectStatement;

/// One entry of FROM.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// A measurement, or all that match a regex.
    Measurement(Measurement),
    /// `(SELECT …)`; SELECT only.
    Subquery(Box<SelectStatement>),
}

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
