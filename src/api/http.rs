//! Represents requests and responses as plain values, so that native tests run the whole contract.

/// A request without its body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestHead {
    /// Upper-case method.
    pub method: String,
    /// Path, percent-decoding not applied, without the query.
    pub path: String,
    /// What follows `?`, or empty.
    pub query: String,
    /// Header names in lower case.
    pub headers: Vec<(String, String)>,
}

impl RequestHead {
    /// The first header of this (lower-case) name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The path without trailing slashes, which every route accepts.
    pub fn route(&self) -> &str {
        let trimmed = self.path.trim_end_matches('/');
        if trimmed.is_empty() { "/" } else { trimmed }
    }
}

/// A response whose body is complete.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// In the order in which they are sent.
    pub headers: Vec<(String, String)>,
    /// The whole body, or its beginning when a stream follows.
    pub body: Vec<u8>,
}

impl Response {
    /// A response without body.
    pub fn empty(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    /// A JSON response.
    pub fn json(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, ..Self::ok("application/json", body) }
    }

    /// A response of success of this content type.
    pub fn ok(content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { status: 200, headers: Vec::new(), body: body.into() }
            .with_header("Content-Type", content_type)
    }

    /// The same response with one more header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

/// The parameters of a query string or form body, in order. The first of a name counts, as in 1.x.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Decodes `a=b&c=d`; percent-encoding and `+` as in forms.
    pub fn parse(encoded: &[u8]) -> Self {
        Self(form_urlencoded::parse(encoded).into_owned().collect())
    }

    /// Parameters that are decoded already.
    pub fn from_pairs(pairs: Vec<(String, String)>) -> Self {
        Self(pairs)
    }

    /// The parameters of `first`, then those of `self`: what stands in `first` wins.
    #[must_use]
    pub fn behind(mut self, mut first: Self) -> Self {
        first.0.append(&mut self.0);
        first
    }

    /// The first value of this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// How many values there are of this name.
    pub fn count(&self, name: &str) -> usize {
        self.0.iter().filter(|(n, _)| n == name).count()
    }

    /// The first value of this name, unless it is empty: clients send `rp=` and mean nothing by it.
    pub fn filled(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_decode_like_forms_and_the_first_counts() {
        let parameters = Parameters::parse(b"db=a%20b+c&db=x&rp=&p=%2B");
        assert_eq!(parameters.get("db"), Some("a b c"));
        assert_eq!((parameters.get("rp"), parameters.filled("rp")), (Some(""), None));
        assert_eq!(parameters.get("p"), Some("+"));
        let both = Parameters::parse(b"q=url&db=d").behind(Parameters::parse(b"q=form"));
        assert_eq!((both.get("q"), both.get("db")), (Some("form"), Some("d")));
    }

    #[test]
    fn trailing_slashes_do_not_matter() {
        let head = |path: &str| RequestHead { path: path.into(), ..RequestHead::default() };
        assert_eq!(head("/write/").route(), "/write");
        assert_eq!(head("/").route(), "/");
    }
}
