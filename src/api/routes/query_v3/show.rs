//! Converts the results of SHOW statements to the tables that InfluxDB 3 returns.

use std::rc::Rc;

use crate::api::error::{ApiError, ApiResult};
use crate::influxql::ast::{ListOf, Statement};
use crate::query::result::{Column, ResultColumn, SeriesChunk, Values};
use crate::response::table::Layout;

const DATABASES: [&str; 2] = ["iox::database", "deleted"];
const POLICIES: [&str; 3] = ["iox::database", "name", "duration"];

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Rows,
    Databases,
    Policies(String),
}

impl Shape {
    pub(super) fn of(statement: &Statement, database: Option<&str>) -> ApiResult<Self> {
        match statement {
            Statement::Select(select) if select.into.is_some() => {
                let text = "this route does not support SELECT … INTO: send the statement with \
                            POST to /query";
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
            | Statement::ShowList(_)
            | Statement::ShowCardinality(_)
            | Statement::ShowQueries => Ok(Self::Rows),
            other => Err(ApiError::Invalid(format!(
                "this route does not support '{other}': it supports only SELECT, EXPLAIN, and \
                 SHOW for measurements, keys, values, series, databases, retention policies and \
                 queries; send other statements with POST to /query"
            ))),
        }
    }

    pub(super) fn table(&self, chunk: SeriesChunk) -> SeriesChunk {
        let rows = chunk.rows;
        let full = |values| ResultColumn::Values(Column::full(values));
        let (names, added) = match self {
            Self::Rows => return chunk,
            // `deleted` is always false, because a dropped database disappears immediately.
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

pub(super) fn empty(statement: &Statement) -> Layout {
    match statement {
        Statement::ShowList(show) => match show.of {
            ListOf::TagKeys(_) => Layout::of_names(true, &["tagKey"]),
            ListOf::FieldKeys => Layout::of_names(true, &["fieldKey", "fieldType"]),
            ListOf::TagValues(_) => Layout::of_names(true, &["key", "value"]),
            ListOf::Series => Layout::of_names(false, &["key"]),
        },
        Statement::ShowMeasurements(_) => Layout::of_names(true, &["name"]),
        Statement::ShowDatabases => Layout::of_names(false, &DATABASES),
        Statement::ShowRetentionPolicies { .. } => Layout::of_names(false, &POLICIES),
        _ => Layout::of_names(false, &[]),
    }
}
