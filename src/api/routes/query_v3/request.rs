//! Parses a request of `/api/v3/query_sql` or `/api/v3/query_influxql`.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::api::error::{ApiError, ApiResult};
use crate::api::form_body::form_fields;
use crate::api::http::{Parameters, RequestHead};
use crate::api::routes::handler::json_object;
use crate::influxql::time_literal::format_utc;
use crate::model::name;
use crate::response::table::{FormatError, TableFormat};

/// A parsed query request.
#[derive(Clone, Debug, PartialEq)]
pub struct QueryRequest {
    /// The database, if the request names one.
    pub database: Option<String>,
    /// The policy, which follows a `/` in `db`. `None` means the default policy.
    pub policy: Option<String>,
    /// The trimmed text of the query, which may be empty.
    pub q: String,
    /// The format of the response.
    pub format: TableFormat,
    /// The values of the parameters, without `$`, in ascending order of their unique names.
    pub params: Vec<(String, ParamValue)>,
}

/// A value of `params`.
#[derive(Clone, Debug, PartialEq)]
pub enum ParamValue {
    /// `null`
    Null,
    /// `true`, `false`
    Boolean(bool),
    /// A non-negative integer.
    Unsigned(u64),
    /// A negative integer.
    Integer(i64),
    /// Any other number.
    Float(f64),
    /// A string.
    String(String),
    /// A time in nanoseconds. Only Arrow Flight has parameters of this type.
    Time(i64),
}

impl ParamValue {
    /// Returns the value as JSON, or `None` for null.
    pub fn into_json(self) -> Option<Value> {
        Some(match self {
            Self::Null => return None,
            Self::Boolean(value) => value.into(),
            Self::Unsigned(value) => value.into(),
            Self::Integer(value) => value.into(),
            Self::Float(value) => value.into(),
            Self::String(text) => text.into(),
            Self::Time(time_ns) => format_utc(time_ns).into(),
        })
    }
}

/// An error in a request. The status is always 400.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The request has no parameters (InfluxDB's message).
    #[error("missing query parameters 'db' and 'q'")]
    Nothing,
    /// The query text is missing.
    #[error("missing query parameter 'q'")]
    MissingQuery,
    /// A parameter occurs twice in the URL or in the form.
    #[error("duplicate field `{0}`")]
    Twice(&'static str),
    /// The body is not a valid JSON object.
    #[error("the body is not valid: {0}")]
    Body(String),
    /// `params` is not a JSON object.
    #[error("invalid params: {0}; expected a JSON object of names and values")]
    Params(String),
    /// A parameter has a value of an unsupported type.
    #[error("invalid value of ${0}: expected a string, a number, a boolean or null")]
    ParamValue(String),
    /// The format is unknown.
    #[error(transparent)]
    Format(#[from] FormatError),
}

impl From<RequestError> for ApiError {
    fn from(error: RequestError) -> Self {
        Self::Invalid(error.to_string())
    }
}

/// The supported parameters. The server ignores other parameters, as InfluxDB does.
const NAMES: [&str; 4] = ["db", "q", "format", "params"];

#[derive(Debug, Default, Deserialize)]
struct JsonBody {
    db: Option<String>,
    q: Option<String>,
    format: Option<String>,
    params: Option<Map<String, Value>>,
}

impl QueryRequest {
    /// Parses the parameters of a form or JSON `body`, which is decompressed and empty for GET. The
    /// `url` supplies the parameters that are missing in the body. A body that begins with `{`, or
    /// that is not a form, is parsed as JSON regardless of its content type, because curl labels
    /// every body as a form and InfluxDB ignores the label.
    pub fn parse(head: &RequestHead, url: &Parameters, body: &[u8]) -> ApiResult<Self> {
        check_once(url)?;
        let is_json = body.trim_ascii_start().starts_with(b"{");
        let form = if is_json { None } else { form_fields(head, body)? };
        if let Some(form) = &form {
            check_once(form)?;
        }
        let json = match (&form, body.is_empty()) {
            (None, false) => json_object(body).map_err(RequestError::Body)?,
            _ => JsonBody::default(),
        };
        let text = |name: &str| form.as_ref().and_then(|form| form.get(name)).or(url.get(name));
        let one = |of_json: Option<String>, name: &str| {
            of_json.map(Cow::Owned).or_else(|| text(name).map(Cow::Borrowed))
        };
        let (db, q) = (one(json.db, "db"), one(json.q, "q"));
        let q = match (&db, q) {
            (None, None) => return Err(RequestError::Nothing.into()),
            (Some(_), None) => return Err(RequestError::MissingQuery.into()),
            (_, Some(q)) => q.trim().to_owned(),
        };
        let format = one(json.format, "format");
        let format = TableFormat::of_request(format.as_deref(), head.header("accept"))
            .map_err(RequestError::Format)?;
        let params = match json.params {
            Some(object) => object,
            None => object(text("params").unwrap_or_default())?,
        };
        let (database, policy) = name::split_bucket(db.as_deref().unwrap_or_default());
        let some = |name: &str| Some(name.to_owned()).filter(|name| !name.is_empty());
        Ok(Self {
            database: some(database),
            policy: policy.and_then(some),
            q,
            format,
            params: values(params)?,
        })
    }
}

fn check_once(parameters: &Parameters) -> Result<(), RequestError> {
    let twice = NAMES.into_iter().find(|name| parameters.count(name) > 1);
    twice.map_or(Ok(()), |name| Err(RequestError::Twice(name)))
}

/// Parses a JSON object. An empty text is an empty object.
fn object(text: &str) -> Result<Map<String, Value>, RequestError> {
    if text.is_empty() {
        return Ok(Map::new());
    }
    let object: Option<_> =
        serde_json::from_str(text).map_err(|error| RequestError::Params(error.to_string()))?;
    Ok(object.unwrap_or_default())
}

/// Returns the values of `params` in ascending order of their names.
pub fn values(object: Map<String, Value>) -> Result<Vec<(String, ParamValue)>, RequestError> {
    let mut values = Vec::with_capacity(object.len());
    for (name, value) in object {
        let value = match value {
            Value::Null => ParamValue::Null,
            Value::Bool(value) => ParamValue::Boolean(value),
            Value::String(text) => ParamValue::String(text),
            Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(value), ..) => ParamValue::Unsigned(value),
                (_, Some(value), _) => ParamValue::Integer(value),
                (.., Some(value)) => ParamValue::Float(value),
                (None, None, None) => return Err(RequestError::ParamValue(name)),
            },
            Value::Array(_) | Value::Object(_) => return Err(RequestError::ParamValue(name)),
        };
        values.push((name, value));
    }
    values.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(headers: &[(&str, &str)], url: &str, body: &str) -> Result<QueryRequest, String> {
        let head = RequestHead {
            method: if body.is_empty() { "GET" } else { "POST" }.into(),
            headers: headers.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect(),
            ..RequestHead::default()
        };
        let url = Parameters::parse(url.as_bytes());
        QueryRequest::parse(&head, &url, body.as_bytes()).map_err(|error| {
            assert_eq!(error.status(), 400, "{error}");
            error.to_string()
        })
    }

    #[test]
    fn query_parses_equally_from_every_source() {
        let expected = QueryRequest {
            database: Some("d".into()),
            policy: Some("rp".into()),
            q: "SELECT 1".into(),
            format: TableFormat::Csv,
            params: vec![
                ("a".into(), ParamValue::Unsigned(1)),
                ("b".into(), ParamValue::Float(1.5)),
                ("c".into(), ParamValue::String("x".into())),
                ("d".into(), ParamValue::Integer(-1)),
                ("e".into(), ParamValue::Null),
                ("f".into(), ParamValue::Boolean(true)),
                ("g".into(), ParamValue::Unsigned(u64::MAX)),
            ],
        };
        let params = r#"{"g":18446744073709551615,"b":1.5,"c":"x","d":-1,"e":null,"f":true,"a":1}"#;
        let escaped: String = form_urlencoded::byte_serialize(params.as_bytes()).collect();
        let url = format!("db=d/rp&q=+SELECT+1+&format=csv&params={escaped}&u=x&u=y");
        let form = [("content-type", "application/x-www-form-urlencoded; charset=utf-8")];
        let json = format!(r#"{{"db":"d/rp","q":"SELECT 1","format":"csv","params":{params}}}"#);
        assert_eq!(parse(&[], &url, "").as_ref(), Ok(&expected));
        assert_eq!(parse(&form, "", &url).as_ref(), Ok(&expected));
        assert_eq!(parse(&[], "db=other", &json).as_ref(), Ok(&expected));
        let text = [("content-type", "text/plain"), ("accept", "nonsense")];
        assert_eq!(parse(&text, "db=other", &json).as_ref(), Ok(&expected));
        assert_eq!(parse(&form, "", &format!(" {json}")).as_ref(), Ok(&expected));
        let rest = format!("format=csv&q=other&db=d/rp&params={escaped}");
        assert_eq!(parse(&[], &rest, r#"{"q":"SELECT 1"}"#).as_ref(), Ok(&expected));
        assert_eq!(parse(&form, &rest, "q=SELECT+1").as_ref(), Ok(&expected));
    }

    #[test]
    fn empty_query_names_are_ignored() {
        let request = parse(&[], "q=SHOW+DATABASES&db=&params=null", "").unwrap();
        assert_eq!((request.database, request.policy), (None, None));
        assert_eq!((request.format, request.params), (TableFormat::Json, Vec::new()));
        let request = parse(&[], "q=&db=d/", "").unwrap();
        assert_eq!((request.q.as_str(), request.policy), ("", None));
    }

    #[test]
    fn invalid_query_requests_are_reported() {
        for (url, body, text) in [
            ("", "", "missing query parameters 'db' and 'q'"),
            ("format=csv", "", "missing query parameters 'db' and 'q'"),
            ("db=d", "", "missing query parameter 'q'"),
            ("db=d&q=a&q=b", "", "duplicate field `q`"),
            ("db=d&q=a&params=1", "", "invalid params: "),
            ("db=d&q=a&params={\"a\":[1]}", "", "invalid value of $a: "),
            ("db=d&q=a&params={\"a\":{}}", "", "invalid value of $a: "),
            ("db=d&q=a&format=xml", "", "unknown format \"xml\""),
            ("db=d&q=a", "{", "the body is not valid: EOF"),
            ("", r#"{"q":1}"#, "the body is not valid: invalid type"),
            (
                "",
                r#"["d","SHOW DATABASES",null,null]"#,
                "the body is not valid: expected a JSON object",
            ),
            ("", r#"{"q":"a","q":"b"}"#, "the body is not valid: duplicate field `q`"),
        ] {
            let error = parse(&[], url, body).unwrap_err();
            assert!(error.starts_with(text), "{url} {body}: {error}");
        }
        let form = [("content-type", "application/x-www-form-urlencoded")];
        assert_eq!(parse(&form, "", "q=a&db=d&db=e"), Err("duplicate field `db`".into()));
        let accept = [("accept", "image/png")];
        assert!(
            parse(&accept, "q=a", "").unwrap_err().starts_with("invalid mime type (image/png)")
        );
        assert!(parse(&accept, "q=a&format=json", "").is_ok());
        let deep = format!(r#"{{"params":{{"a":{}"#, "[".repeat(100_000));
        assert!(parse(&[], "q=a", &deep).is_err());
    }
}
