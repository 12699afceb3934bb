//! Reads the parameters of writes and queries. [`query_parameters`] combines the parameters of a
//! query from its URL, its form and its raw query text.

use crate::error::{ApiError, ApiResult};
use crate::foreign_origin;
use crate::http::{Parameters, RequestHead};
use tidemark_line_protocol::TimestampUnit;
use tidemark_model::limits::{CHUNK_ROWS_DEFAULT, CHUNK_ROWS_MAX, NAME_BYTES_MAX, PARAMETERS_MAX};
use tidemark_model::name::{self, InvalidName};
use tidemark_model::time::Precision;

/// The write route of a request. After the parameters are parsed, the route affects only texts and
/// error bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `/write`
    V1,
    /// `/api/v2/write`
    V2,
    /// `/api/v3/write_lp`
    V3,
}

/// The parameters of a write in any dialect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteParams {
    /// The database's name.
    pub database: String,
    /// The policy's name; `None` means the default policy.
    pub policy: Option<String>,
    /// The unit of timestamps.
    pub precision: TimestampUnit,
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
#[expect(missing_docs, reason = "the error texts describe the variants")]
pub enum ParamsError {
    #[error(
        "the request has more than {PARAMETERS_MAX} parameters (PARAMETERS_MAX): send only the \
         parameters that the server supports"
    )]
    TooMany,
    #[error("database is required: name it with the parameter db")]
    MissingDatabase,
    /// A metric protocol's request names no database.
    #[error(
        "database is required: name it with the parameter db, or in the path (/prometheus/{{db}}/… or \
         /otlp/{{db}}/…), or use a token that may write to only one database"
    )]
    MissingTarget,
    /// The database name is invalid. The message begins with the first two words of 1.x's message.
    #[error(
        "{reason}: \"{name}\" cannot be the name of a database; use at most {NAME_BYTES_MAX} bytes of \
         printable characters without / and \\, and neither . nor .. alone"
    )]
    DatabaseName { name: String, reason: InvalidName },
    #[error("missing bucket value")]
    MissingBucket,
    #[error(
        "failed to deserialize {place}/precision in request: unknown variant `{value}`, expected one of {expected}"
    )]
    Precision { place: &'static str, value: String, expected: &'static str },
    #[error("invalid epoch \"{0}\": expected one of ns, u, ms, s, m, h")]
    Epoch(String),
    /// 1.12's text.
    #[error("Time format must be one of the following: rfc3339,epoch")]
    TimeFormat,
    #[error("invalid value \"{value}\" of {name}: expected {expected}")]
    Value { name: &'static str, value: String, expected: String },
    #[error("invalid value \"{0}\" of accept_partial: expected true or false")]
    AcceptPartial(String),
    /// The query text is missing (1.x's message).
    #[error("missing required parameter \"q\"")]
    MissingQuery,
}

impl WriteParams {
    /// Parses the parameters of a write.
    pub fn parse(dialect: Dialect, parameters: &Parameters) -> Result<Self, ParamsError> {
        let name = match dialect {
            Dialect::V2 => parameters.filled("bucket").ok_or(ParamsError::MissingBucket)?,
            Dialect::V1 | Dialect::V3 => {
                parameters.filled("db").ok_or(ParamsError::MissingDatabase)?
            }
        };
        let (database, policy) = match dialect {
            // Some 1.x clients send two quotes for "none".
            Dialect::V1 => (name, parameters.filled("rp").filter(|rp| *rp != "''")),
            Dialect::V2 | Dialect::V3 => name::split_bucket(name),
        };
        name::check(database)
            .map_err(|reason| ParamsError::DatabaseName { name: database.to_owned(), reason })?;
        Ok(Self {
            database: database.to_owned(),
            policy: policy.filter(|name| !name.is_empty()).map(str::to_owned),
            precision: precision(dialect, parameters.filled("precision"))?,
            accept_partial: match parameters.filled("accept_partial") {
                None | Some("true") => true,
                Some("false") => false,
                Some(value) => return Err(ParamsError::AcceptPartial(value.to_owned())),
            },
        })
    }
}

fn precision(dialect: Dialect, value: Option<&str>) -> Result<TimestampUnit, ParamsError> {
    let Some(value) = value else {
        return Ok(match dialect {
            Dialect::V1 | Dialect::V2 => TimestampUnit::Fixed(Precision::Nanosecond),
            Dialect::V3 => TimestampUnit::Auto,
        });
    };
    let (place, expected) = match dialect {
        Dialect::V1 => ("db/rp", "`s`, `ms`, `us`, `ns`"),
        Dialect::V2 => ("org/bucket", "`s`, `ms`, `us`, `ns`"),
        Dialect::V3 => ("db", "`auto`, `nanosecond`, `microsecond`, `millisecond`, `second`"),
    };
    let short = match (dialect, value) {
        (Dialect::V3, "auto") => return Ok(TimestampUnit::Auto),
        (Dialect::V3, "nanosecond") => "ns",
        (Dialect::V3, "microsecond") => "us",
        (Dialect::V3, "millisecond") => "ms",
        (Dialect::V3, "second") => "s",
        (_, other) => other,
    };
    let unreadable = || ParamsError::Precision { place, value: value.to_owned(), expected };
    Precision::parse(short).map(TimestampUnit::Fixed).ok_or_else(unreadable)
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
        let epoch = parameters
            .filled("epoch")
            .map(|unit| Precision::parse(unit).ok_or_else(|| ParamsError::Epoch(unit.to_owned())))
            .transpose()?;
        let epoch = match parameters.get("time_format").unwrap_or_default().trim() {
            "" | "epoch" => epoch,
            "rfc3339" => None,
            _ => return Err(ParamsError::TimeFormat),
        };
        // As in 1.x, only the exact word `true` enables chunks, and an invalid chunk size means the
        // default.
        let chunk_rows = (parameters.get("chunked") == Some("true")).then(|| {
            let rows = parameters.get("chunk_size").and_then(|size| size.parse().ok());
            rows.filter(|&rows: &usize| rows > 0).unwrap_or(CHUNK_ROWS_DEFAULT).min(CHUNK_ROWS_MAX)
        });
        // In 1.x, no database name contains a slash.
        let (database, policy) = database_and_policy(parameters.get("db").unwrap_or_default());
        Ok(Self {
            q: q.ok_or(ParamsError::MissingQuery)?,
            database,
            policy: filled("rp").or(policy),
            epoch,
            pretty: parameters.get("pretty") == Some("true"),
            chunk_rows,
            bound: filled("params"),
            writing: match head.method.as_str() {
                _ if parameters.get("read_only") == Some("true") => WritingStatements::Refuse,
                "POST" => WritingStatements::Run,
                _ if foreign_origin::is_same_origin(head) => WritingStatements::Warn,
                // A link on another site may have caused this request, to which the browser added
                // credentials.
                _ => WritingStatements::Refuse,
            },
        })
    }
}

/// Splits `database/policy`. Empty names are absent.
pub fn database_and_policy(bucket: &str) -> (Option<String>, Option<String>) {
    let (database, policy) = name::split_bucket(bucket);
    let named = |name: &str| Some(name.to_owned()).filter(|name| !name.is_empty());
    (named(database), policy.and_then(named))
}

const MULTIPART: &str = "multipart/form-data";

/// Combines the parameters in a query's `url` with the parameters in the body. The second value of
/// the result is the query text of a raw body.
///
/// As in 1.x, the fields of a URL-encoded form override the URL, but the URL overrides the fields
/// of a multipart form. A body of an unknown content type is not a form, because influxdb-python
/// sends `application/json` with an empty body.
pub fn query_parameters(
    head: &RequestHead,
    url: &Parameters,
    body: &[u8],
) -> ApiResult<(Parameters, Option<String>)> {
    let url = url.clone();
    if body.is_empty() || head.method == "GET" {
        return Ok((url, None));
    }
    if let Some(form) = form_fields(head, body)? {
        let url_is_first = content_type(head).1 == MULTIPART;
        let both = if url_is_first { form.prepend(url) } else { url.prepend(form) };
        return Ok((both, None));
    }
    match content_type(head).1.as_str() {
        "" | "application/vnd.influxql" => Ok((url, Some(text(body)?))),
        kind if kind.starts_with("text/") => Ok((url, Some(text(body)?))),
        _ => Ok((url, None)),
    }
}

/// Returns the fields of a URL-encoded or multipart form, or `None` if the body is not a form.
pub fn form_fields(head: &RequestHead, body: &[u8]) -> ApiResult<Option<Parameters>> {
    let (whole, kind) = content_type(head);
    match kind.as_str() {
        "application/x-www-form-urlencoded" => Ok(Some(Parameters::parse(body)?)),
        MULTIPART => multipart(whole, body).map(Some),
        _ => Ok(None),
    }
}

/// Returns the content type twice: as sent, and in lower case without its parameters.
fn content_type(head: &RequestHead) -> (&str, String) {
    let whole = head.header("content-type").unwrap_or_default();
    (whole, whole.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

fn text(body: &[u8]) -> ApiResult<String> {
    String::from_utf8(body.to_vec())
        .map_err(|_| ApiError::Invalid("the query is not valid UTF-8".into()))
}

/// Parses the fields of a multipart form (`curl -F q=…`, also `-F q=@file`).
fn multipart(content_type: &str, body: &[u8]) -> ApiResult<Parameters> {
    let malformed = || ApiError::Invalid("the multipart form is malformed".into());
    let boundary = header_parameter(content_type, "boundary").ok_or_else(malformed)?;
    let delimiter = format!("--{boundary}");
    let body = text(body)?;
    let mut fields = Vec::new();
    // `None` in the preamble before the first delimiter.
    let mut part_start = None;
    let mut line_end = 0;
    for line in body.split_inclusive('\n') {
        let line_start = line_end;
        line_end += line.len();
        let Some(rest) = line.strip_prefix(&delimiter) else { continue };
        let is_last = rest.trim_end() == "--";
        if !is_last && !rest.trim_end().is_empty() {
            continue;
        }
        if let Some(start) = part_start {
            let part = body.get(start..line_start).unwrap_or_default();
            fields.extend(multipart_field(part).ok_or_else(malformed)?);
        }
        if is_last {
            return Ok(Parameters::from_pairs(fields));
        }
        part_start = Some(line_end);
    }
    Err(malformed())
}

/// Returns the name and the value of a part, `Some(None)` for a part without a name, and `None` for
/// a part without a value.
fn multipart_field(part: &str) -> Option<Option<(String, String)>> {
    let mut name = None;
    let mut line_end = 0;
    for line in part.split_inclusive('\n') {
        line_end += line.len();
        if line.trim_end().is_empty() {
            let value = part.get(line_end..)?;
            let value = value.strip_suffix('\n').unwrap_or(value);
            let value = value.strip_suffix('\r').unwrap_or(value);
            return Some(name.map(|name| (name, value.to_owned())));
        }
        let (header, value) = line.trim_end().split_once(':')?;
        if header.eq_ignore_ascii_case("content-disposition") {
            name = header_parameter(value, "name");
        }
    }
    None
}

/// Returns the value of a parameter in a header such as `form-data; name="q"`.
fn header_parameter(header: &str, name: &str) -> Option<String> {
    let (_, mut rest) = header.split_once(';')?;
    loop {
        let (key, after) = rest.split_once('=')?;
        let key = key.rsplit(';').next().unwrap_or_default().trim();
        let (value, after) = match after.trim_start().strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => {
                let (value, after) = after.split_once(';').unwrap_or((after, ""));
                (value.trim().to_owned(), after)
            }
        };
        if key.eq_ignore_ascii_case(name) {
            return Some(value);
        }
        rest = after;
    }
}

/// Returns the text before the closing quote, and the rest of the header.
fn unquote(quoted: &str) -> Option<(String, &str)> {
    let mut text = String::new();
    let mut characters = quoted.chars();
    loop {
        match characters.next()? {
            '"' => return Some((text, characters.as_str())),
            '\\' if characters.as_str().starts_with(['"', '\\']) => text.extend(characters.next()),
            character => text.push(character),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(dialect: Dialect, query: &str) -> Result<WriteParams, String> {
        WriteParams::parse(dialect, &Parameters::parse(query.as_bytes()).unwrap())
            .map_err(|e| e.to_string())
    }

    #[test]
    fn write_dialects_parse_same_destination() {
        let expected = WriteParams {
            database: "db".into(),
            policy: Some("rp".into()),
            precision: TimestampUnit::Fixed(Precision::Second),
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
        assert_eq!(write(Dialect::V3, "db=d").unwrap().precision, TimestampUnit::Auto);
    }

    fn fixed_ns() -> TimestampUnit {
        TimestampUnit::Fixed(Precision::Nanosecond)
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

    fn query(query: &str, body: Option<&str>) -> Result<QueryParams, ParamsError> {
        let head = RequestHead { method: "GET".into(), ..RequestHead::default() };
        QueryParams::parse(&head, &Parameters::parse(query.as_bytes()).unwrap(), body)
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
            let headers: Vec<_> = header.into_iter().collect();
            let head = RequestHead { method: method.into(), ..RequestHead::with_headers(&headers) };
            let params =
                QueryParams::parse(&head, &Parameters::parse(query.as_bytes()).unwrap(), None);
            assert_eq!(params.unwrap().writing, writing, "{method} {query} {header:?}");
        }
    }

    #[test]
    fn query_needs_text_and_valid_epoch() {
        assert_eq!(query("db=d", Some(" ")), Err(ParamsError::MissingQuery));
        assert_eq!(query("q=%0a+SHOW+DATABASES+", None).map(|p| p.q), Ok("SHOW DATABASES".into()));
        assert_eq!(query("q=x&epoch=d", None), Err(ParamsError::Epoch("d".into())));
        for (format, epoch) in [
            ("rfc3339", Ok(None)),
            ("+epoch", Ok(Some(Precision::Second))),
            ("", Ok(Some(Precision::Second))),
            ("RFC3339", Err(ParamsError::TimeFormat)),
        ] {
            let found = query(&format!("q=x&epoch=s&time_format={format}"), None);
            assert_eq!(found.map(|params| params.epoch), epoch, "{format}");
        }
    }

    fn read(content_type: Option<&str>, body: &[u8]) -> (Option<String>, Option<String>) {
        let headers: Vec<_> = content_type.map(|t| ("content-type", t)).into_iter().collect();
        let head = RequestHead { method: "POST".into(), ..RequestHead::with_headers(&headers) };
        let (parameters, raw) =
            query_parameters(&head, &Parameters::parse(b"q=url&db=d").unwrap(), body).unwrap();
        assert_eq!(parameters.get("db"), Some("d"));
        (parameters.get("q").map(str::to_owned), raw)
    }

    #[test]
    fn form_and_url_parameters_combine() {
        let url = Some("url".to_owned());
        let form = Some("a b".to_owned());
        assert_eq!(read(Some("application/x-www-form-urlencoded"), b"q=a+b"), (form, None));
        let multipart =
            b"--X\r\nContent-Disposition: form-data; name=\"q\"\r\n\r\na b\r\n--X--\r\n";
        assert_eq!(read(Some("multipart/form-data; boundary=X"), multipart), (url.clone(), None));
        assert_eq!(read(Some("application/json"), b""), (url.clone(), None));
        assert_eq!(read(Some("application/json"), b"{}"), (url.clone(), None));
        assert_eq!(read(Some("text/plain"), b"SHOW"), (url.clone(), Some("SHOW".into())));
        assert_eq!(read(None, b"SHOW"), (url, Some("SHOW".into())));
    }

    /// InfluxDB 1.6.7 accepts each of these forms.
    #[test]
    fn multipart_forms_parse_like_influxdb_1() {
        let crlf = |disposition: &str, value: &str| {
            format!("--X\r\n{disposition}\r\n\r\n{value}\r\n--X--\r\n")
        };
        let plain = crlf("Content-Disposition: form-data; name=\"q\"", "a b");
        let usual = "multipart/form-data; boundary=X";
        for (content_type, body, value) in [
            (usual, plain.clone(), "a b"),
            ("MULTIPART/form-data;Boundary=X", plain.clone(), "a b"),
            ("multipart/form-data; charset=utf-8; boundary=\"X\"", plain.clone(), "a b"),
            (usual, plain.replace('\r', ""), "a b"),
            (usual, format!("preamble\r\n{}", plain.trim_end()), "a b"),
            (usual, crlf("content-disposition: form-data; Name=q", "a b"), "a b"),
            (
                usual,
                crlf(
                    "Content-Type: text/plain\r\n\
                     Content-Disposition: form-data; filename=\"a; \\\"name=z\"; name=\"q\"",
                    "a b",
                ),
                "a b",
            ),
            (
                usual,
                crlf("Content-Disposition: form-data; name=\"q\"", "a --X\r\n--Xb\r\n\r\n"),
                "a --X\r\n--Xb\r\n\r\n",
            ),
            (
                usual,
                format!(
                    "--X\r\nContent-Disposition: form-data\r\n\r\nz\r\n--X \r\n{}",
                    &plain[5..]
                ),
                "a b",
            ),
        ] {
            let fields = multipart(content_type, body.as_bytes()).unwrap();
            assert_eq!(fields.get("q"), Some(value), "{content_type} {body:?}");
        }
    }

    #[test]
    fn truncated_multipart_form_is_rejected() {
        let body = b"--X\r\nContent-Disposition: form-data; name=\"q\"\r\n\r\na";
        assert!(multipart("multipart/form-data; boundary=X", body).is_err());
        assert!(multipart("multipart/form-data", body).is_err());
    }
}
