//! Reads the parameters of writes and queries.

use super::foreign_origin;
use super::http::{Parameters, RequestHead};
use crate::model::limits::{CHUNK_ROWS_DEFAULT, CHUNK_ROWS_MAX};
use crate::model::name;
use crate::model::time::Precision;

/// The write route of a request. The route affects only texts and error bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `/write`
    V1,
    /// `/api/v2/write`
    V2,
    /// `/api/v3/write_lp`
    V3,
}

/// The unit of a write's timestamps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WritePrecision {
    /// Every timestamp has this unit.
    Fixed(Precision),
    /// The parser guesses the unit of each timestamp from its size (v3 only).
    Auto,
}

/// The parameters of a write in any dialect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteParams {
    /// The database's name.
    pub database: String,
    /// The policy's name; `None` means the default policy.
    pub policy: Option<String>,
    /// The unit of timestamps.
    pub precision: WritePrecision,
    /// Whether the write stores valid lines if other lines are invalid.
    pub accept_partial: bool,
}

/// Whether a query may contain statements that write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WritingStatements {
    /// The statements run.
    Run,
    /// The statements run, and each result has a warning, because 1.x deprecated writing by GET.
    Warn,
    /// The server refuses the whole query.
    Refuse,
}

/// The parameters of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryParams {
    /// The InfluxQL text.
    pub q: String,
    /// The default database.
    pub database: Option<String>,
    /// The default policy.
    pub policy: Option<String>,
    /// The unit of integer timestamps; `None` means RFC 3339.
    pub epoch: Option<Precision>,
    /// Whether the JSON is indented.
    pub pretty: bool,
    /// The maximum number of rows in a chunk; `None` means one document.
    pub chunk_rows: Option<usize>,
    /// The bound parameters, as the JSON text of an object.
    pub bound: Option<String>,
    /// Whether statements may write.
    pub writing: WritingStatements,
}

/// An error in the parameters. The status is always 400.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParamsError {
    /// The request to `/write` has no parameter `db`.
    #[error("database is required: name it with the parameter db")]
    MissingDatabase,
    /// The database name is invalid. The message begins with the first two words of 1.x's message.
    #[error(
        "invalid name: \"{0}\" cannot be the name of a database; use printable characters without \
         / and \\, and neither . nor .. alone"
    )]
    DatabaseName(String),
    /// The request to `/api/v2/write` has no parameter `bucket`.
    #[error("missing bucket value")]
    MissingBucket,
    /// The route does not support the precision.
    #[error(
        "failed to deserialize {place}/precision in request: unknown variant `{value}`, expected one of {expected}"
    )]
    Precision {
        /// The place of the parameter `precision`, in the words of InfluxDB's error message.
        place: &'static str,
        /// The value that the client gave.
        value: String,
        /// The supported values.
        expected: &'static str,
    },
    /// The parameter `epoch` of `/query` is invalid.
    #[error("invalid epoch \"{0}\": expected one of ns, u, ms, s, m, h")]
    Epoch(String),
    /// The value of a Boolean parameter is neither true nor false.
    #[error("invalid value \"{value}\" of {name}: expected true or false")]
    Switch {
        /// The parameter.
        name: &'static str,
        /// The value that the client gave.
        value: String,
    },
    /// The query text is missing (1.x's message).
    #[error("missing required parameter \"q\"")]
    MissingQuery,
}

impl WriteParams {
    /// Parses the parameters of a write.
    pub fn parse(dialect: Dialect, parameters: &Parameters) -> Result<Self, ParamsError> {
        let (database, policy) = match dialect {
            Dialect::V1 => {
                let database = parameters.filled("db").ok_or(ParamsError::MissingDatabase)?;
                // Some 1.x clients send two quotes for "none".
                (database, parameters.filled("rp").filter(|rp| *rp != "''"))
            }
            Dialect::V2 => {
                let bucket = parameters.filled("bucket").ok_or(ParamsError::MissingBucket)?;
                name::split_bucket(bucket)
            }
            Dialect::V3 => {
                let database = parameters.filled("db").ok_or(ParamsError::MissingDatabase)?;
                name::split_bucket(database)
            }
        };
        name::check(database).map_err(|_| ParamsError::DatabaseName(database.to_owned()))?;
        Ok(Self {
            database: database.to_owned(),
            policy: policy.filter(|name| !name.is_empty()).map(str::to_owned),
            precision: precision(dialect, parameters.filled("precision"))?,
            accept_partial: switch(parameters, "accept_partial")?.unwrap_or(true),
        })
    }
}

fn precision(dialect: Dialect, value: Option<&str>) -> Result<WritePrecision, ParamsError> {
    let fixed = |value: &str| Precision::parse(value).map(WritePrecision::Fixed);
    let (place, expected, found) = match (dialect, value) {
        (Dialect::V1 | Dialect::V2, None) => {
            return Ok(WritePrecision::Fixed(Precision::Nanosecond));
        }
        (Dialect::V3, None) => return Ok(WritePrecision::Auto),
        (Dialect::V1, Some(value)) => ("db/rp", "`s`, `ms`, `us`, `ns`", fixed(value)),
        (Dialect::V2, Some(value)) => ("org/bucket", "`s`, `ms`, `us`, `ns`", fixed(value)),
        (Dialect::V3, Some(value)) => (
            "db",
            "`auto`, `nanosecond`, `microsecond`, `millisecond`, `second`",
            match value {
                "auto" => Some(WritePrecision::Auto),
                "nanosecond" => fixed("ns"),
                "microsecond" => fixed("us"),
                "millisecond" => fixed("ms"),
                "second" => fixed("s"),
                other => fixed(other),
            },
        ),
    };
    let value = value.unwrap_or_default().to_owned();
    found.ok_or(ParamsError::Precision { place, value, expected })
}

fn switch(parameters: &Parameters, name: &'static str) -> Result<Option<bool>, ParamsError> {
    match parameters.filled(name) {
        None => Ok(None),
        Some("true") => Ok(Some(true)),
        Some("false") => Ok(Some(false)),
        Some(value) => Err(ParamsError::Switch { name, value: value.to_owned() }),
    }
}

impl QueryParams {
    /// Parses the parameters of a query. `parameters` lists the form's fields before the URL's
    /// parameters. If no parameter is named `q`, the raw `body` is the query.
    pub fn parse(
        head: &RequestHead,
        parameters: &Parameters,
        body: Option<&str>,
    ) -> Result<Self, ParamsError> {
        let filled = |name: &str| parameters.filled(name).map(str::to_owned);
        // 1.x trims the text before it counts positions.
        let text = |q: &str| Some(q.trim().to_owned()).filter(|q| !q.is_empty());
        let q = parameters.get("q").and_then(text).or_else(|| body.and_then(text));
        let epoch = match parameters.filled("epoch") {
            None => None,
            Some(unit) => {
                Some(Precision::parse(unit).ok_or_else(|| ParamsError::Epoch(unit.to_owned()))?)
            }
        };
        // As in 1.x, only the exact word `true` enables chunks, and an invalid chunk size means the
        // default.
        let chunk_rows = (parameters.get("chunked") == Some("true")).then(|| {
            let rows = parameters.get("chunk_size").and_then(|size| size.parse().ok());
            rows.filter(|&rows: &usize| rows > 0).unwrap_or(CHUNK_ROWS_DEFAULT).min(CHUNK_ROWS_MAX)
        });
        // Splits `database/policy`, like the write routes of v2 and v3. In 1.x, no database name
        // contains a slash.
        let (database, named) = name::split_bucket(parameters.filled("db").unwrap_or_default());
        let some = |name: &str| Some(name.to_owned()).filter(|name| !name.is_empty());
        Ok(Self {
            q: q.ok_or(ParamsError::MissingQuery)?,
            database: some(database),
            policy: filled("rp").or_else(|| named.and_then(some)),
            epoch,
            pretty: parameters.get("pretty") == Some("true"),
            chunk_rows,
            bound: filled("params"),
            writing: if parameters.get("read_only") == Some("true") {
                WritingStatements::Refuse
            } else if head.method == "POST" {
                WritingStatements::Run
            } else if foreign_origin::is_same_origin(head) {
                WritingStatements::Warn
            } else {
                // The browser may have added the credentials to a request for a link on another
                // site.
                WritingStatements::Refuse
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(dialect: Dialect, query: &str) -> Result<WriteParams, String> {
        WriteParams::parse(dialect, &Parameters::parse(query.as_bytes())).map_err(|e| e.to_string())
    }

    #[test]
    fn write_dialects_parse_same_destination() {
        let expected = WriteParams {
            database: "db".into(),
            policy: Some("rp".into()),
            precision: WritePrecision::Fixed(Precision::Second),
            accept_partial: true,
        };
        for (dialect, query) in [
            (Dialect::V1, "db=db&rp=rp&precision=s&consistency=&u=x"),
            (Dialect::V2, "org=&bucket=db%2Frp&precision=s"),
            (Dialect::V3, "db=db/rp&precision=second&no_sync=false"),
        ] {
            assert_eq!(write(dialect, query).as_ref(), Ok(&expected), "{query}");
        }
        for query in ["db=db", "db=db&rp=", "db=db&rp=''", "db=db&precision="] {
            let params = write(Dialect::V1, query).unwrap();
            assert_eq!((params.policy, params.precision), (None, fixed_ns()), "{query}");
        }
    }

    fn fixed_ns() -> WritePrecision {
        WritePrecision::Fixed(Precision::Nanosecond)
    }

    #[test]
    fn invalid_parameters_are_reported() {
        for (dialect, query, message) in [
            (Dialect::V1, "", "database is required: name it with the parameter db"),
            (Dialect::V2, "bucket=", "missing bucket value"),
            (
                Dialect::V1,
                "db=a/b",
                "invalid name: \"a/b\" cannot be the name of a database; use printable \
                 characters without / and \\, and neither . nor .. alone",
            ),
            (
                Dialect::V2,
                "bucket=b&precision=x",
                "failed to deserialize org/bucket/precision in request: unknown variant `x`, \
                 expected one of `s`, `ms`, `us`, `ns`",
            ),
            (
                Dialect::V1,
                "db=b&precision=NS",
                "failed to deserialize db/rp/precision in request: unknown variant `NS`, \
                 expected one of `s`, `ms`, `us`, `ns`",
            ),
        ] {
            assert_eq!(write(dialect, query), Err(message.to_owned()));
        }
    }

    #[test]
    fn unsafe_write_destinations_are_rejected() {
        for (dialect, query) in [
            (Dialect::V1, "db=.."),
            (Dialect::V1, "db=%2e"),
            (Dialect::V1, "db=a%5Cb"),
            (Dialect::V1, "db=a%0Ab"),
            (Dialect::V2, "bucket=/rp"),
            (Dialect::V2, "bucket=../rp"),
            (Dialect::V3, "db=%00"),
        ] {
            let error = write(dialect, query).unwrap_err();
            assert!(error.starts_with("invalid name: "), "{query}: {error}");
        }
    }

    #[test]
    fn v3_write_detects_precision() {
        assert_eq!(write(Dialect::V3, "db=d").unwrap().precision, WritePrecision::Auto);
    }

    fn query(query: &str, body: Option<&str>) -> Result<QueryParams, ParamsError> {
        let head = RequestHead { method: "GET".into(), ..RequestHead::default() };
        QueryParams::parse(&head, &Parameters::parse(query.as_bytes()), body)
    }

    #[test]
    fn empty_query_parameters_mean_nothing() {
        let params = query("q=SHOW+DATABASES&db=&rp=&epoch=&params={}&chunked=1", None).unwrap();
        assert_eq!((params.database, params.policy, params.epoch), (None, None, None));
        assert_eq!((params.chunk_rows, params.writing), (None, WritingStatements::Warn));
        let params = query("db=d&epoch=ms&chunked=true&chunk_size=-1", Some(" SELECT 1 ")).unwrap();
        assert_eq!((params.q.as_str(), params.chunk_rows), ("SELECT 1", Some(10_000)));
        assert_eq!(params.epoch, Some(Precision::Millisecond));
    }

    #[test]
    fn cross_site_get_cannot_write() {
        use WritingStatements::{Refuse, Run, Warn};
        for (method, query, header, writing) in [
            ("POST", "q=x", None, Run),
            ("POST", "q=x&read_only=true", None, Refuse),
            ("POST", "q=x", Some(("sec-fetch-site", "cross-site")), Run),
            ("GET", "q=x", None, Warn),
            ("GET", "q=x&read_only=false", None, Warn),
            ("GET", "q=x&read_only=true", None, Refuse),
            ("GET", "q=x", Some(("sec-fetch-site", "none")), Warn),
            ("GET", "q=x", Some(("sec-fetch-site", "same-origin")), Warn),
            ("GET", "q=x", Some(("sec-fetch-site", "same-site")), Refuse),
            ("GET", "q=x", Some(("sec-fetch-site", "cross-site")), Refuse),
            ("GET", "q=x", Some(("origin", "https://b.example")), Refuse),
        ] {
            let headers = header.map(|(name, value)| (name.to_owned(), value.to_owned()));
            let headers = headers.into_iter().collect();
            let head = RequestHead { method: method.into(), headers, ..RequestHead::default() };
            let params = QueryParams::parse(&head, &Parameters::parse(query.as_bytes()), None);
            assert_eq!(params.unwrap().writing, writing, "{method} {query} {header:?}");
        }
    }

    #[test]
    fn query_needs_text_and_valid_epoch() {
        assert_eq!(query("db=d", Some(" ")), Err(ParamsError::MissingQuery));
        assert_eq!(query("q=%0a+SHOW+DATABASES+", None).map(|p| p.q), Ok("SHOW DATABASES".into()));
        assert_eq!(query("q=x&epoch=d", None), Err(ParamsError::Epoch("d".into())));
    }
}
