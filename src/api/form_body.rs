//! Combines the parameters of a query request from its URL, its form and its raw query text.

use super::error::{ApiError, ApiResult};
use super::http::{Parameters, RequestHead};

const MULTIPART: &str = "multipart/form-data";

/// Combines the parameters in a query's `url` with the parameters in the body. The second value of
/// the result is the query text of a raw body.
///
/// The fields of a URL-encoded form override the URL, and the URL overrides the fields of a multipart
/// form, as in 1.x. A body of an unknown content type is not a form, because influxdb-python sends
/// `application/json` with an empty body.
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
        "application/x-www-form-urlencoded" => Ok(Some(Parameters::parse(body))),
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

/// Returns the name and the value of a part, `Some(None)` for a part without a name, and `None` for a
/// part without a value.
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
