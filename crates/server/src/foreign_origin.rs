//! Recognizes requests of browsers, and refuses requests that a browser sends for a page of another
//! origin.
//!
//! A browser sends the page's origin in the header `Origin`. CORS alone only prevents the page from
//! reading the response; the server would still execute the request.

use super::http::RequestHead;
use super::settings::CorsOrigins;

/// Returns the origin in `head` if it is neither this server's own origin nor in `allowed`. The
/// comparison with the own origin ignores the scheme, because a proxy that terminates TLS changes
/// it.
pub fn foreign<'a>(head: &'a RequestHead, allowed: &CorsOrigins) -> Option<&'a str> {
    let origin = head.header("origin")?;
    let own = authority(origin).is_some_and(|page| {
        let host = head.header("host").and_then(|host| split(host, page.1));
        host.is_some_and(|(name, port)| port == page.1 && name.eq_ignore_ascii_case(page.0))
    });
    (!own && !allowed.allow(origin)).then_some(origin)
}

/// Whether the request comes from this server's own page, or not from a page at all. For a page of
/// another origin, the server ignores credentials that the browser adds automatically, such as the
/// assertion of Cloudflare Access. The same applies to pages of allowed origins. Such a page may
/// send a token, but may not use the login of its viewer. A request for a link or an image has no
/// `Origin`, but its `Sec-Fetch-Site` reports the relation to the linking site.
pub fn is_same_origin(head: &RequestHead) -> bool {
    let from_elsewhere = |site: &str| !["same-origin", "none"].contains(&site);
    foreign(head, &CorsOrigins::List(Vec::new())).is_none()
        && !head.header("sec-fetch-site").is_some_and(from_elsewhere)
}

/// Whether a browser sent the request. A browser would show a login dialog for a 401 response with
/// `WWW-Authenticate`. The `User-Agent` of every current browser contains `Gecko`. Programs such
/// as PowerShell, whose `User-Agent` only begins with `Mozilla/`, need the challenge.
pub fn is_browser(head: &RequestHead) -> bool {
    let of_browser = |name: &str| name == "origin" || name.starts_with("sec-fetch-");
    head.headers.iter().any(|(name, _)| of_browser(name))
        || head.header("user-agent").is_some_and(|agent| agent.contains("Gecko"))
}

/// Returns host and port of `scheme://host[:port]`, or `None` for any other text, including `null`.
fn authority(origin: &str) -> Option<(&str, u16)> {
    let (scheme, rest) = origin.split_once("://")?;
    let port = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    split(rest, port)
}

fn split(authority: &str, default_port: u16) -> Option<(&str, u16)> {
    match authority.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => Some((name, port.parse().ok()?)),
        _ => Some((authority, default_port)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_foreign(origin: &str, host: Option<&str>, allowed: &[&str]) -> bool {
        let host = host.map(|host| ("host", host));
        let headers: Vec<_> = [("origin", origin)].into_iter().chain(host).collect();
        let allowed = CorsOrigins::List(allowed.iter().map(|&one| one.to_owned()).collect());
        foreign(&RequestHead::with_headers(&headers), &allowed).is_some()
    }

    #[test]
    fn own_origin_is_not_foreign() {
        for (origin, host) in [
            ("http://127.0.0.1:8787", "127.0.0.1:8787"),
            ("https://a.example", "a.example"),
            ("https://a.example", "A.example:443"),
            ("http://a.example", "a.example:80"),
            ("https://a.example:8443", "a.example:8443"),
            ("http://[::1]:8787", "[::1]:8787"),
            ("http://[::1]", "[::1]"),
        ] {
            assert!(!is_foreign(origin, Some(host), &[]), "{origin} {host}");
        }
    }

    #[test]
    fn other_origins_are_foreign_unless_listed() {
        for (origin, host) in [
            ("https://b.example", "a.example"),
            ("https://a.example.evil", "a.example"),
            ("https://evil-a.example", "a.example"),
            ("http://127.0.0.1:3000", "127.0.0.1:8787"),
            ("http://localhost:8787", "127.0.0.1:8787"),
            ("http://a.example", "a.example:443"),
            ("https://a.example:x", "a.example:x"),
            ("a.example", "a.example"),
            ("null", "null"),
            ("", ""),
            ("file://", ""),
        ] {
            assert!(is_foreign(origin, Some(host), &["https://c.example"]), "{origin} {host}");
            assert!(is_foreign(origin, None, &[]), "{origin}");
            assert!(!is_foreign(origin, Some(host), &["https://c.example", origin]), "{origin}");
        }
    }

    #[test]
    fn same_origin_check_uses_browser_headers() {
        let is_own = |headers: &[(&str, &str)]| {
            let headers = [headers, &[("host", "a.example")]].concat();
            is_same_origin(&RequestHead::with_headers(&headers))
        };
        assert!(is_own(&[]), "no browser");
        assert!(is_own(&[("origin", "https://a.example"), ("sec-fetch-site", "same-origin")]));
        assert!(is_own(&[("sec-fetch-site", "same-origin")]));
        assert!(is_own(&[("sec-fetch-site", "none")]), "typed by the visitor");
        for site in ["cross-site", "same-site", ""] {
            assert!(!is_own(&[("sec-fetch-site", site)]), "{site}");
            assert!(!is_own(&[("origin", "https://a.example"), ("sec-fetch-site", site)]));
        }
        for origin in ["https://b.example", "null", "https://b.a.example"] {
            assert!(!is_own(&[("origin", origin)]), "{origin}");
            assert!(!is_own(&[("origin", origin), ("sec-fetch-site", "same-origin")]));
        }
    }

    #[test]
    fn missing_or_allowed_origin_passes() {
        let head = RequestHead::default();
        assert_eq!(foreign(&head, &CorsOrigins::List(Vec::new())), None);
        let head = RequestHead::with_headers(&[("origin", "null")]);
        assert_eq!(foreign(&head, &CorsOrigins::List(Vec::new())), Some("null"));
        assert_eq!(foreign(&head, &CorsOrigins::Any), None);
    }
}
