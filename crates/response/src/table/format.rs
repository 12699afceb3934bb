//! Defines the formats of v3 responses, and finds the format that a request selects.

use crate::accept;
use tidemark_model::limits::MEDIA_TYPE_CHARS_MAX;

/// A format of `/api/v3/query_sql` and `/api/v3/query_influxql`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum TableFormat {
    /// An array of objects.
    #[default]
    Json,
    /// One JSON object per line.
    JsonLines,
    /// A line of column names, and then one line for each row.
    Csv,
    /// A table for human readers.
    Pretty,
    /// A Parquet file.
    Parquet,
    /// A stream of Arrow IPC messages.
    Arrow,
}

/// The reason why no format can be selected for a request. The server returns 400.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// The parameter `format` contains an unknown name.
    #[error("unknown format \"{0}\": expected one of json, jsonl, csv, pretty, parquet, arrow")]
    Name(String),
    /// The `Accept` header contains no known media type. The error text has the same beginning as
    /// in InfluxDB 3.
    #[error(
        "invalid mime type ({0}): accept application/json, application/jsonl, text/csv, \
         text/plain, application/vnd.apache.parquet or application/vnd.apache.arrow.stream"
    )]
    Accept(String),
}

const FORMATS: [(TableFormat, &[&str], &str); 6] = [
    (TableFormat::Json, &["json"], "application/json"),
    (TableFormat::JsonLines, &["jsonl", "json_lines"], "application/jsonl"),
    (TableFormat::Csv, &["csv"], "text/csv"),
    (TableFormat::Pretty, &["pretty"], "text/plain; charset=utf-8"),
    (TableFormat::Parquet, &["parquet"], "application/vnd.apache.parquet"),
    (TableFormat::Arrow, &["arrow"], "application/vnd.apache.arrow.stream"),
];

/// Media types for which the server returns JSON. Browsers and clients without a preference send
/// these types.
const ANYTHING: [&str; 3] = ["*/*", "application/*", "text/html"];

impl TableFormat {
    /// Returns the format in the parameter `format`. Without this parameter, returns the client's
    /// preferred format in the `Accept` list. Without a list, returns JSON.
    ///
    /// # Errors
    /// [`FormatError`] if the name is unknown, or if the request has no name and the list contains
    /// no known type.
    pub fn of_request(name: Option<&str>, accept: Option<&str>) -> Result<Self, FormatError> {
        match (name, accept) {
            (Some(name), _) => {
                Self::from_name(name).ok_or_else(|| FormatError::Name(shortened(name)))
            }
            (None, None) => Ok(Self::default()),
            (None, Some(list)) => {
                let mut accepted = accept::media_types(list).into_iter();
                let found = accepted.find_map(|media_type| Self::of_media_type(&media_type));
                found.ok_or_else(|| FormatError::Accept(shortened(list)))
            }
        }
    }

    /// Returns the format that a request selects with `format={name}`.
    pub fn from_name(name: &str) -> Option<Self> {
        let known = FORMATS.iter().find(|(_, names, _)| names.contains(&name));
        known.map(|row| row.0)
    }

    /// Returns the first name of the format.
    pub fn name(self) -> &'static str {
        self.row().1.first().copied().unwrap_or_default()
    }

    fn of_media_type(media_type: &str) -> Option<Self> {
        let known = FORMATS.iter().find(|row| row.2.split(';').next() == Some(media_type));
        known.map(|row| row.0).or_else(|| ANYTHING.contains(&media_type).then_some(Self::Json))
    }

    /// Returns the response's content type.
    pub fn content_type(self) -> &'static str {
        self.row().2
    }

    /// Returns the format's row. The rows are in the order of the enum.
    fn row(self) -> (Self, &'static [&'static str], &'static str) {
        FORMATS[self as usize]
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(MEDIA_TYPE_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_format_follows_name_or_accept() {
        for (name, accept, format) in [
            (None, None, TableFormat::Json),
            (Some("jsonl"), Some("text/csv"), TableFormat::JsonLines),
            (Some("json_lines"), Some("nonsense"), TableFormat::JsonLines),
            (Some("arrow"), None, TableFormat::Arrow),
            (None, Some("application/json"), TableFormat::Json),
            (None, Some("application/jsonl"), TableFormat::JsonLines),
            (None, Some("Text/CSV; header=present"), TableFormat::Csv),
            (None, Some("text/plain"), TableFormat::Pretty),
            (None, Some("application/vnd.apache.parquet"), TableFormat::Parquet),
            (None, Some("application/vnd.apache.arrow.stream"), TableFormat::Arrow),
            (None, Some("*/*"), TableFormat::Json),
            (None, Some("application/json, text/plain, */*"), TableFormat::Json),
            (None, Some("text/html,application/xhtml+xml;q=0.9"), TableFormat::Json),
            (None, Some("image/png, text/csv"), TableFormat::Csv),
            (None, Some("text/csv;q=0.5, application/jsonl;q=0.9"), TableFormat::JsonLines),
        ] {
            assert_eq!(TableFormat::of_request(name, accept), Ok(format), "{name:?} {accept:?}");
        }
    }

    #[test]
    fn unknown_table_format_is_reported() {
        let text = |name, accept| TableFormat::of_request(name, accept).unwrap_err().to_string();
        assert!(text(Some("xml"), None).starts_with("unknown format \"xml\": expected one of"));
        assert!(text(None, Some("image/png")).starts_with("invalid mime type (image/png)"));
        assert!(text(None, Some("text/csv;q=0")).starts_with("invalid mime type (text/csv;q=0)"));
        assert!(text(Some(""), None).starts_with("unknown format \"\""));
        assert!(text(None, Some(&"x".repeat(100_000))).len() < 1_000);
    }
}
