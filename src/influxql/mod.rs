//! InfluxQL: text to statements and back.
//!
//! [`parse`] takes a whole query; statements print themselves in 1.x's canonical form. What names
//! mean, which functions exist and whether a statement makes sense is the planner's business.
//! Reference: InfluxDB 1.x, package `influxql`.

pub mod alter_retention_policy;
pub mod ast;
pub mod cardinality;
pub mod create_continuous_query;
pub mod create_database;
pub mod create_retention_policy;
pub mod create_subscription;
pub mod create_user;
pub mod delete;
pub mod drop;
pub mod drop_series;
pub mod error;
pub mod explain;
pub mod expr;
pub mod grant;
pub mod kill_query;
pub mod order_by;
pub mod params;
pub mod regex;
pub mod select;
pub mod set_password;
pub mod show_field_keys;
pub mod show_measurements;
pub mod show_series;
pub mod show_tag_keys;
pub mod show_tag_values;
pub mod source;
pub mod tag_key_filter;

use ast::Statement;
use error::{ParseError, Position};
use params::Params;

/// Parses all statements of `text`, separated by `;`. An empty text has none.
///
/// # Errors
/// [`ParseError`], whose text is 1.x's. Nothing of a text with an error may be executed.
pub fn parse(_text: &str, _params: &Params) -> Result<Vec<Statement>, ParseError> {
    let expected = vec!["a parser"];
    Err(ParseError::Unexpected { found: String::new(), expected, position: Position::default() })
}
