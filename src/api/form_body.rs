//! Combines the parameters of a query request from its URL, its form and its raw query text.

use super::error::ApiError;
use super::http::{Parameters, RequestHead};

/// Combines the parameters in a query's `url` with the parameters in the body. The second value of
/// the result is the query text of a raw body.
///
/// Form fields override the URL, as in 1.x. A body of an unknown content type is not a form,
/// because influxdb-python sends `application/json` with an empty body.
pub fn query_parameters(
    head: &RequestHead,
    url: &Parameters,
    body: &[u8],
) -> Result<(Parameters, Option<String>), ApiError> {
    let url = url.clone();
    if body.is_empty() || head.method == "GET" {
        return Ok((url, None));
    }
    if let Some(form) = form_fields(head, body)? {
        return Ok((url.prepend(form), None));
    }
    match content_type(head).1.as_str() {
        "" | "application/vnd.influxql" => Ok((url, Some(text(body)?))),
        kind if kind.starts_with("text/") => Ok((url, Some(text(body)?))),
        _ => Ok((url, None)),
    }
}

/// Returns the fields of a URL-encoded or multipart form, or `None` if the body is not a form.
pub fn form_fields(head: &RequestHead, body: &[u8]) -> Result<Option<Parameters>, ApiError> {
    let (whole, kind) = content_type(head);
    match kind.as_str() {
        "application/x-www-form-urlencoded" => Ok(Some(Parameters::parse(body))),
        "multipart/form-data" => multipart(whole, body).map(Some),
        _ => Ok(None),
    }
}

/// Returns the content type twice: as sent, and in lower case without its parameters.
fn content_type(head: &RequestHead) -> (&str, String) {
    let whole = head.header("content-type").unwrap_or_default();
    (whole, whole.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

fn text(body: &[u8]) -> Result<String, ApiError> {
    String::from_utf8(body.to_vec())
        .map_err(|_| ApiError::Invalid("the query is not valid UTF-8".into()))
}

/// Parses the fields of a multipart form (`curl -F q=…`, also `-F q=@file`).
fn multipart(content_type: &str, body: &[u8]) -> Result<Parameters, ApiError> {
    let malformed = || ApiError::Invalid("the multipart form is malformed".into());
    let (_, boundary) = content_type.split_once("boundary=").ok_or_else(malformed)?;
    let boundary = boundary.split(';').next().unwrap_or_default().trim().trim_matches('"');
    let body = text(body)?;
    let mut fields = Vec::new();
    // Skips the preamble before the first boundary.
    for part in body.split(&format!("--{boundary}")).skip(1) {
        if part.starts_with("--") {
            return Ok(Parameters::from_pairs(fields));
        }
        let (part_head, value) = part.split_once("\r\n\r\n").ok_or_else(malformed)?;
        let (_, name) = part_head.split_once("name=\"").ok_or_else(malformed)?;
        let name = name.split('"').next().unwrap_or_default();
        let value = value.strip_suffix("\r\n").unwrap_or(value);
        fields.push((name.to_owned(), value.to_owned()));
    }
    Err(malformed())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content_type: Option<&str>, body: &[u8]) -> (Option<String>, Option<String>) {
        let head = RequestHead {
            method: "POST".into(),
            headers: content_type.map(|t| ("content-type".into(), t.into())).into_iter().collect(),
            ..RequestHead::default()
        };
        let (parameters, raw) =
            query_parameters(&head, &Parameters::parse(b"q=url&db=d"), body).unwrap();
        assert_eq!(parameters.get("db"), Some("d"));
        (parameters.get("q").map(str::to_owned), raw)
    }

    #[test]
    fn form_parameters_override_url() {
        let url = Some("url".to_owned());
        let form = Some("a b".to_owned());
        assert_eq!(read(Some("application/x-www-form-urlencoded"), b"q=a+b"), (form.clone(), None));
        let multipart =
            b"--X\r\nContent-Disposition: form-data; name=\"q\"\r\n\r\na b\r\n--X--\r\n";
        assert_eq!(read(Some("multipart/form-data; boundary=X"), multipart), (form, None));
        assert_eq!(read(Some("application/json"), b""), (url.clone(), None));
        assert_eq!(read(Some("application/json"), b"{}"), (url.clone(), None));
        assert_eq!(read(Some("text/plain"), b"SHOW"), (url.clone(), Some("SHOW".into())));
        assert_eq!(read(None, b"SHOW"), (url, Some("SHOW".into())));
    }

    #[test]
    fn truncated_multipart_form_is_rejected() {
        let body = b"--X\r\nContent-Disposition: form-data; name=\"q\"\r\n\r\na";
        assert!(multipart("multipart/form-data; boundary=X", body).is_err());
        assert!(multipart("multipart/form-data", body).is_err());
    }
}
