//! Serves the v3 query routes.
//!
//! [`QueryRequest`] parses the parameters of both routes: `db` (or `db/rp`), `q`, `format`,
//! `params` and the header `Accept`. The parameters come from the URL, a form or a JSON body, which
//! may be compressed. [`influxql`] runs InfluxQL, and [`sql`] runs SQL.

pub mod influxql;
pub mod sql;

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::action::Action;
use crate::error::{ApiError, ApiResult, invalid};
use crate::http::{Parameters, RequestHead};
use crate::params::{database_and_policy, form_fields};
use crate::routes::handler::{PendingRequest, Request, json_body};
use tidemark_engine::protocol::sql::Parameter;
use tidemark_response::table::TableFormat;

/// Creates the request for a query route. `respond` receives the parsed request.
pub(super) fn begin<F>(
    respond: impl FnOnce(Request, QueryRequest) -> F + 'static,
) -> ApiResult<PendingRequest>
where
    F: Future<Output = ApiResult<Action>> + 'static,
{
    Ok(PendingRequest::stream(|request, _, body| async move {
        let query = QueryRequest::parse(&request.head, &request.url, &body)?;
        drop(body);
        request.log_database(&query.database);
        respond(request, query).await
    }))
}

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
    /// The values of the parameters, without `$`, in ascending order of their unique names. A
    /// non-negative integer is unsigned. Only Arrow Flight has parameters of the type time.
    pub params: Vec<(String, Parameter)>,
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
    /// `url` supplies the parameters that are missing in the body. The content type is ignored, as
    /// in InfluxDB, because curl labels every body as a form. A body is JSON if it begins with `{`
    /// or is not a form.
    pub fn parse(head: &RequestHead, url: &Parameters, body: &[u8]) -> ApiResult<Self> {
        check_once(url)?;
        let is_json = body.trim_ascii_start().starts_with(b"{");
        let form = if is_json { None } else { form_fields(head, body)? };
        if let Some(form) = &form {
            check_once(form)?;
        }
        let json = match (&form, body.is_empty()) {
            (None, false) => json_body(body)?,
            _ => JsonBody::default(),
        };
        let text = |name: &str| form.as_ref().and_then(|form| form.get(name)).or(url.get(name));
        let one = |of_json: Option<String>, name: &str| {
            of_json.map(Cow::Owned).or_else(|| text(name).map(Cow::Borrowed))
        };
        let (db, q) = (one(json.db, "db"), one(json.q, "q"));
        let q = match (&db, q) {
            (None, None) => return invalid("missing query parameters 'db' and 'q'"),
            (Some(_), None) => return invalid("missing query parameter 'q'"),
            (_, Some(q)) => q.trim().to_owned(),
        };
        let format = one(json.format, "format");
        let format = TableFormat::of_request(format.as_deref(), head.header("accept"))
            .or_else(|error| invalid(error.to_string()))?;
        let params = match json.params {
            Some(object) => object,
            None => object(text("params").unwrap_or_default())?,
        };
        let (database, policy) = database_and_policy(db.as_deref().unwrap_or_default());
        Ok(Self { database, policy, q, format, params: values(params)? })
    }
}

/// Returns an error with InfluxDB's message. The commands `influxdb3 show tokens` and `show
/// retention` read InfluxDB's database `_internal`.
fn database_not_found(name: &str) -> ApiError {
    let hint = match name {
        "_internal" => {
            "; list tokens with GET /api/v3/configure/token, and retention policies with SHOW \
             RETENTION POLICIES at /query"
        }
        _ => "",
    };
    ApiError::NotFound(format!("query error: database not found: {name}{hint}"))
}

fn check_once(parameters: &Parameters) -> ApiResult<()> {
    match NAMES.into_iter().find(|name| parameters.count(name) > 1) {
        Some(name) => invalid(format!("duplicate field `{name}`")),
        None => Ok(()),
    }
}

/// Parses a JSON object. An empty text is an empty object.
fn object(text: &str) -> ApiResult<Map<String, Value>> {
    if text.is_empty() {
        return Ok(Map::new());
    }
    let object: Option<_> = serde_json::from_str(text).or_else(|error| {
        invalid(format!("invalid params: {error}; expected a JSON object of names and values"))
    })?;
    Ok(object.unwrap_or_default())
}

/// Returns the values of `params` in ascending order of their names.
pub fn values(object: Map<String, Value>) -> ApiResult<Vec<(String, Parameter)>> {
    let mut values = Vec::with_capacity(object.len());
    for (name, value) in object {
        let value = match &value {
            Value::Null => Some(Parameter::Null),
            Value::Bool(value) => Some(Parameter::Boolean(*value)),
            Value::String(text) => Some(Parameter::String(text.clone())),
            Value::Number(number) => (number.as_u64().map(Parameter::Unsigned))
                .or(number.as_i64().map(Parameter::Integer))
                .or(number.as_f64().map(Parameter::Float)),
            Value::Array(_) | Value::Object(_) => None,
        };
        let Some(value) = value else {
            return invalid(format!(
                "invalid value of ${name}: expected a string, a number, a boolean or null"
            ));
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
            ..RequestHead::with_headers(headers)
        };
        let url = Parameters::parse(url.as_bytes()).unwrap();
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
                ("a".into(), Parameter::Unsigned(1)),
                ("b".into(), Parameter::Float(1.5)),
                ("c".into(), Parameter::String("x".into())),
                ("d".into(), Parameter::Integer(-1)),
                ("e".into(), Parameter::Null),
                ("f".into(), Parameter::Boolean(true)),
                ("g".into(), Parameter::Unsigned(u64::MAX)),
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
