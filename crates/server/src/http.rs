//! Represents requests and responses as plain values, so that native code can run the whole HTTP
//! contract.

use std::borrow::Cow;

use super::params::ParamsError;
use tidemark_model::limits::PARAMETERS_MAX;

/// A request without its body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestHead {
    /// The method in upper case.
    pub method: String,
    /// The percent-encoded path, without the query.
    pub path: String,
    /// The text after `?`, or an empty string.
    pub query: String,
    /// The headers, with names in lower case.
    pub headers: Vec<(String, String)>,
}

impl RequestHead {
    /// Returns the first header with this lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Returns the path without trailing slashes, because every route accepts trailing slashes.
    pub fn route(&self) -> &str {
        let trimmed = self.path.trim_end_matches('/');
        if trimmed.is_empty() { "/" } else { trimmed }
    }
}

#[cfg(test)]
impl RequestHead {
    pub(super) fn with_headers(headers: &[(&str, &str)]) -> Self {
        let headers = headers.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
        Self { headers: headers.collect(), ..Self::default() }
    }
}

/// A response whose body is complete.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The headers, in the order of sending.
    pub headers: Vec<(&'static str, Cow<'static, str>)>,
    /// The whole body, or its beginning if a stream follows.
    pub body: Vec<u8>,
}

impl Response {
    /// Returns a response without body.
    pub fn empty(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    /// Returns a JSON response.
    pub fn json(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, ..Self::ok("application/json", body) }
    }

    /// Returns one line of plain text.
    pub fn text(status: u16, line: &str) -> Self {
        Self { status, ..Self::ok("text/plain; charset=utf-8", format!("{line}\n")) }
    }

    /// Returns a response with status 200 and this content type.
    pub fn ok(content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self { status: 200, headers: Vec::new(), body: body.into() }
            .with_header("Content-Type", content_type)
    }

    /// Returns the response with one more header.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// The parameters of a query string or form body, in order. The first parameter of a name takes
/// precedence, as in 1.x.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Decodes `a=b&c=d`, with percent-encoding and `+` as in forms.
    ///
    /// # Errors
    /// [`ParamsError::TooMany`]
    pub fn parse(encoded: &[u8]) -> Result<Self, ParamsError> {
        let pairs = form_urlencoded::parse(encoded).into_owned();
        let pairs: Vec<_> = pairs.take(PARAMETERS_MAX + 1).collect();
        if pairs.len() > PARAMETERS_MAX {
            return Err(ParamsError::TooMany);
        }
        Ok(Self(pairs))
    }

    /// Wraps decoded parameters.
    pub fn from_pairs(pairs: Vec<(String, String)>) -> Self {
        Self(pairs)
    }

    /// Puts the parameters of `first` before the existing parameters.
    #[must_use]
    pub fn prepend(mut self, mut first: Self) -> Self {
        first.0.append(&mut self.0);
        first
    }

    /// Puts the parameter `db` first if the path contains the percent-encoded name of a database.
    #[must_use]
    pub fn with_database_of_path(self, database: Option<&str>) -> Self {
        let Some(encoded) = database else { return self };
        // In a path, these characters represent themselves.
        let encoded = encoded.replace('+', "%2B").replace('&', "%26");
        let decoded = form_urlencoded::parse(encoded.as_bytes()).into_owned();
        let name = decoded
            .map(|(name, value)| if value.is_empty() { name } else { format!("{name}={value}") });
        self.prepend(Self(name.take(1).map(|name| ("db".to_owned(), name)).collect()))
    }

    /// Returns the first value of this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Returns the number of values of this name.
    pub fn count(&self, name: &str) -> usize {
        self.0.iter().filter(|(n, _)| n == name).count()
    }

    /// Returns the first value of this name, or `None` if the value is empty, because clients send
    /// `rp=` for an absent value.
    pub fn filled(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_of_repeated_parameters_counts() {
        let parameters = Parameters::parse(b"db=a%20b+c&db=x&rp=&p=%2B").unwrap();
        assert_eq!(parameters.get("db"), Some("a b c"));
        assert_eq!((parameters.get("rp"), parameters.filled("rp")), (Some(""), None));
        assert_eq!(parameters.get("p"), Some("+"));
        let [url, form] =
            [&b"q=url&db=d"[..], b"q=form"].map(|text| Parameters::parse(text).unwrap());
        let both = url.prepend(form);
        assert_eq!((both.get("q"), both.get("db")), (Some("form"), Some("d")));
    }

    #[test]
    fn parameters_are_limited() {
        let parsed = |count: usize| Parameters::parse("a&".repeat(count).as_bytes());
        assert_eq!(parsed(PARAMETERS_MAX).map(|parsed| parsed.count("a")), Ok(PARAMETERS_MAX));
        assert_eq!(parsed(PARAMETERS_MAX + 1), Err(ParamsError::TooMany));
        // Separators without parameters do not count.
        assert_eq!(Parameters::parse("&".repeat(100_000).as_bytes()), Ok(Parameters::default()));
    }
}
