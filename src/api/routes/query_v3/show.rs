//! Turns what SHOW and its kind list into the tables that InfluxDB 3 answers.

use std::rc::Rc;

use crate::api::error::ApiError;
use crate::influxql::ast::Statement;
use crate::query::result::{Column, ResultColumn, SeriesChunk, Values};
use crate::response::table::Layout;

/// Columns of SHOW DATABASES.
const DATABASES: [&str; 2] = ["iox::database", "deleted"];
/// Columns of SHOW RETENTION POLICIES.
const POLICIES: [&str; 3] = ["iox::database", "name", "duration"];

/// How the pieces of a statement's answer become rows of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// They are.
    Rows,
    /// SHOW DATABASES
    Databases,
    /// SHOW RETENTION POLICIES of this database.
    Policies(String),
}

impl Shape {
    /// The shape of what `statement` answers, `database` being the request's.
    ///
    /// # Errors
    /// [`ApiError::Invalid`] for a statement that does not only read, or answers no table.
    pub(super) fn of(statement: &Statement, database: Option<&str>) -> Result<Self, ApiError> {
        match statement {
            Statement::Select(select) if select.into.is_some() => {
                let text = "SELECT … INTO is not carried out here: POST it to /query";
                Err(ApiError::Invalid(text.to_owned()))
            }
            Statement::ShowDatabases => Ok(Self::Databases),
            Statement::ShowRetentionPolicies { database: named } => {
                let database = named.as_deref().or(database).unwrap_or_default();
                Ok(Self::Policies(database.to_owned()))
            }
            Statement::Select(_)
            | Statement::Explain(_)
            | Statement::ShowMeasurements(_)
            | Statement::ShowSeries(_)
            | Statement::ShowTagKeys(_)
            | Statement::ShowTagValues(_)
            | Statement::ShowFieldKeys(_)
            | Statement::ShowCardinality(_)
            | Statement::ShowQueries => Ok(Self::Rows),
            other => Err(ApiError::Invalid(format!(
                "'{other}' is not carried out here, which takes SELECT, EXPLAIN and SHOW of \
                 measurements, keys, values, series, databases, retention policies and queries: \
                 POST it to /query"
            ))),
        }
    }

    /// A piece as rows of the table.
    pub(super) fn table(&self, chunk: SeriesChunk) -> SeriesChunk {
        let rows = chunk.rows;
        let full = |values| ResultColumn::Values(Column::full(values));
        let (names, added) = match self {
            Self::Rows => return chunk,
            // Whatever is dropped is gone at once here.
            Self::Databases => (DATABASES.as_slice(), Values::Boolean(vec![false; rows])),
            Self::Policies(database) => {
                let same = std::iter::repeat_n(database.as_str(), rows);
                (POLICIES.as_slice(), Values::String(same.collect()))
            }
        };
        let mut values: Vec<ResultColumn> =
            chunk.values.into_iter().take(names.len() - 1).collect();
        let at = if *self == Self::Databases { values.len() } else { 0 };
        values.insert(at, full(added));
        let columns = names.iter().map(|name| (*name).to_owned()).collect();
        SeriesChunk { name: None, tags: Rc::from([]), columns, values, ..chunk }
    }
}

/// The table of a list with nothing in it.
pub(super) fn empty(statement: &Statement) -> Layout {
    match statement {
        Statement::ShowTagKeys(_) => Layout::of_names(true, &["tagKey"]),
        Statement::ShowFieldKeys(_) => Layout::of_names(true, &["fieldKey", "fieldType"]),
        Statement::ShowTagValues(_) => Layout::of_names(true, &["key", "value"]),
        Statement::ShowMeasurements(_) => Layout::of_names(true, &["name"]),
        Statement::ShowSeries(_) => Layout::of_names(false, &["key"]),
        Statement::ShowDatabases => Layout::of_names(false, &DATABASES),
        Statement::ShowRetentionPolicies { .. } => Layout::of_names(false, &POLICIES),
        _ => Layout::of_names(false, &[]),
    }
}
