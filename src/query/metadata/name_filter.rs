//! Decides which measurements a source names, and which tag keys `WITH KEY` names.

use crate::influxql::ast::{Measurement, MeasurementName, TagKeyFilter};
use crate::model::regex::Pattern;
use crate::query::error::QueryError;

/// Which measurements a source names.
pub(super) enum NameTest {
    Name(String),
    Matches(Pattern),
}

impl NameTest {
    pub(super) fn new(measurement: &Measurement) -> Result<Self, QueryError> {
        Ok(match &measurement.name {
            MeasurementName::Name(name) => Self::Name(name.clone()),
            MeasurementName::Regex(regex) => Self::Matches(Pattern::new(regex.as_str())?),
        })
    }

    pub(super) fn accepts(&self, name: &str) -> bool {
        match self {
            Self::Name(wanted) => wanted == name,
            Self::Matches(pattern) => pattern.is_match(name),
        }
    }
}

/// WITH KEY.
#[derive(Clone, Debug)]
pub(super) enum KeyFilter {
    /// One of these, or none of them.
    Names(Vec<String>, bool),
    /// Those that match, or those that do not.
    Matches(Pattern, bool),
}

impl KeyFilter {
    pub(super) fn new(filter: &TagKeyFilter) -> Result<Self, QueryError> {
        Ok(match filter {
            TagKeyFilter::Equal(key) => Self::Names(vec![key.clone()], true),
            TagKeyFilter::NotEqual(key) => Self::Names(vec![key.clone()], false),
            TagKeyFilter::In(keys) => Self::Names(keys.clone(), true),
            TagKeyFilter::Match(regex) => Self::Matches(Pattern::new(regex.as_str())?, true),
            TagKeyFilter::NotMatch(regex) => Self::Matches(Pattern::new(regex.as_str())?, false),
        })
    }

    pub(super) fn accepts(&self, key: &str) -> bool {
        match self {
            Self::Names(keys, wanted) => keys.iter().any(|known| known == key) == *wanted,
            Self::Matches(pattern, wanted) => pattern.is_match(key) == *wanted,
        }
    }
}
