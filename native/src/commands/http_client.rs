//! Implements the HTTP client of the commands.

use std::fs;
use std::io::{BufReader, Read};
use std::path::Path;
use std::time::Duration;

use flate2::read::MultiGzDecoder;
use serde_json::Value;
use tokio_rustls::rustls::pki_types::CertificateDer;
use ureq::http::{self, Uri, header};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body, Error, Proxy, ProxyProtocol};

use super::command_line::Arguments;
use crate::Failure;

pub const URL: &str = "http://127.0.0.1:8787";
const DATA: &str = "tidemark-data";
/// The maximum time until the server starts its response, and between two pieces of the response.
/// The complete response may take hours.
const RESPONSE_MAX: Duration = Duration::from_secs(300);
/// The maximum size of a response that is read completely into memory.
const TEXT_BYTES_MAX: u64 = 1 << 30;

pub struct Server {
    /// The address without a trailing slash.
    pub url: String,
    token: String,
    roots: Vec<Certificate<'static>>,
    proxy: Option<Proxy>,
    agent: Agent,
}

/// A request without the address and the token of its server.
pub struct Request<'a> {
    method: &'static str,
    path: String,
    headers: Vec<(&'static str, &'static str)>,
    body: Option<&'a [u8]>,
}

impl<'a> Request<'a> {
    /// Creates a request without a body. The path starts with a slash.
    pub fn new(method: &'static str, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), headers: Vec::new(), body: None }
    }

    pub fn post(path: impl Into<String>, kind: &'static str, body: &'a [u8]) -> Self {
        Self { body: Some(body), ..Self::new("POST", path).with("Content-Type", kind) }
    }

    pub fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }
}

pub const JSON: &str = "application/json";
pub const FORM: &str = "application/x-www-form-urlencoded";

/// Returns a query string or form with the pairs that have a value.
pub fn form(pairs: &[(&str, Option<&str>)]) -> String {
    let given = pairs.iter().filter_map(|(name, value)| Some((name, (*value)?)));
    form_urlencoded::Serializer::new(String::new()).extend_pairs(given).finish()
}

impl Server {
    /// Returns the server that the command line or the environment specifies.
    pub fn of(line: &Arguments) -> Result<Self, Failure> {
        let url = line.value_or_variable("url", "TIDEMARK_URL").unwrap_or_else(|| URL.to_owned());
        let data = line.value_or_variable("data", "TIDEMARK_DATA");
        let data = data.unwrap_or_else(|| DATA.to_owned());
        let parsed = address("--url", &url)?;
        let token = token_for(&parsed, Path::new(&data))?;
        let is_https = parsed.scheme_str() == Some("https");
        let roots = match is_https {
            true => {
                let certs = trusted()?.into_iter();
                certs.map(|cert| Certificate::from_der(&cert).to_owned()).collect()
            }
            false => Vec::new(),
        };
        // Without TLS, the proxy could read the token.
        let uses_proxy = is_https && !is_here(&parsed);
        let proxy = if uses_proxy { http_proxy() } else { None };
        let url = url.trim_end_matches('/').to_owned();
        let agent = agent(RESPONSE_MAX, RESPONSE_MAX, &roots, proxy.clone());
        Ok(Self { url, token, roots, proxy, agent })
    }

    /// Returns a client with the given time limits, for tests.
    #[cfg(test)]
    pub fn at(url: &str, response_max: Duration, read_max: Duration) -> Self {
        let agent = agent(response_max, read_max, &[], None);
        let (url, token) = (url.to_owned(), "t".to_owned());
        Self { url, token, roots: Vec::new(), proxy: None, agent }
    }

    /// Returns a client of the same server that waits at most `limit`.
    pub fn with_limit(&self, limit: Duration) -> Self {
        let (roots, proxy) = (self.roots.clone(), self.proxy.clone());
        let agent = agent(limit, limit, &roots, proxy.clone());
        Self { url: self.url.clone(), token: self.token.clone(), roots, proxy, agent }
    }

    /// Sends a request with the client's token.
    ///
    /// # Errors
    /// Returns [`Failure`] if the server does not respond. An error status is not a failure.
    pub fn send(&self, request: &Request<'_>) -> Result<Response, Failure> {
        self.try_send(request).map_err(|error| {
            let reason = reason(&error);
            rejected_certificate(&self.url, &reason).unwrap_or_else(|| {
                Failure(format!(
                    "{} does not respond ({reason}): check the address, and that the server is \
                     running.",
                    self.url
                ))
            })
        })
    }

    fn try_send(&self, request: &Request<'_>) -> Result<Response, Error> {
        let mut builder = http::Request::builder()
            .method(request.method)
            .uri(format!("{}{}", self.url, request.path))
            .header(header::AUTHORIZATION, format!("Token {}", self.token))
            .header(header::ACCEPT_ENCODING, "gzip");
        for (name, value) in &request.headers {
            builder = builder.header(*name, *value);
        }
        let response = match request.body {
            Some(body) => self.agent.run(builder.body(body)?)?,
            None if request.method == "POST" => self.agent.run(builder.body(&b""[..])?)?,
            None => self.agent.run(builder.body(())?)?,
        };
        Ok(Response(response))
    }

    /// Sends a request for which the server must return a success status.
    pub fn must(&self, request: &Request<'_>) -> Result<Response, Failure> {
        let response = self.send(request)?;
        match response.is_success() {
            true => Ok(response),
            false => Err(response.failure()),
        }
    }

    /// Sends a request with InfluxQL statements. The request as a whole must succeed.
    pub fn query(
        &self,
        q: &str,
        database: Option<&str>,
        epoch: Option<&str>,
        accept: &'static str,
    ) -> Result<Response, Failure> {
        let body = form(&[("q", Some(q)), ("db", database), ("epoch", epoch)]);
        self.must(&Request::post("/query", FORM, body.as_bytes()).with("Accept", accept))
    }
}

pub fn address(option: &str, text: &str) -> Result<Uri, Failure> {
    let parsed = text.parse::<Uri>().ok().filter(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.authority().is_some()
    });
    parsed.ok_or_else(|| {
        Failure(format!(
            "\"{text}\" is not an address: set {option} to an address such as \
             https://tidemark.example.workers.dev."
        ))
    })
}

pub struct Response(http::Response<Body>);

impl Response {
    pub fn status(&self) -> u16 {
        self.0.status().as_u16()
    }

    pub fn is_success(&self) -> bool {
        self.0.status().is_success()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.0.headers().get(name).and_then(|value| value.to_str().ok())
    }

    /// Returns a reader of the decompressed body.
    pub fn reader(self) -> Box<dyn Read> {
        let is_gzip = self.header("Content-Encoding") == Some("gzip");
        let reader = self.0.into_body().into_reader();
        match is_gzip {
            true => Box::new(MultiGzDecoder::new(BufReader::new(reader))),
            false => Box::new(reader),
        }
    }

    /// Reads the complete body.
    pub fn text(self) -> Result<String, Failure> {
        let mut bytes = Vec::new();
        let read = self.reader().take(TEXT_BYTES_MAX + 1).read_to_end(&mut bytes);
        read.map_err(|error| Failure(format!("The response is incomplete: {error}.")))?;
        if bytes.len() as u64 > TEXT_BYTES_MAX {
            return Err(Failure::of("The response is larger than 1 GiB: request less data."));
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Reads the body as JSON.
    pub fn json(self) -> Result<Value, Failure> {
        let text = self.text()?;
        serde_json::from_str(&text).map_err(|error| {
            Failure(format!("The response is not JSON ({error}): {}", start_of(&text)))
        })
    }

    /// Whether the response is a redirect. The commands follow no redirect, because the target may
    /// be another server, such as a login page.
    pub fn is_redirect(&self) -> bool {
        self.0.status().is_redirection()
    }

    /// Converts an error response to a sentence that contains its status and message.
    pub fn failure(self) -> Failure {
        let status = self.status();
        if self.is_redirect() {
            let location = start_of(self.header("Location").unwrap_or("another address"));
            return Failure(format!(
                "The server returned {status}, a redirect to {location}: set --url to an address \
                 that responds without a redirect."
            ));
        }
        match self.text() {
            Ok(text) => Failure(format!("The server returned {status}: {}", message_in(&text))),
            Err(failure) => failure,
        }
    }
}

/// Returns the message of an error response in either JSON format. Returns the complete text if the
/// response has another format.
pub fn message_in(body: &str) -> String {
    let text = body.trim();
    let parsed = serde_json::from_str::<Value>(text).unwrap_or_default();
    let message = parsed.get("error").or_else(|| parsed.get("message"));
    message.and_then(Value::as_str).unwrap_or(text).to_owned()
}

/// Returns the first characters of a text, for use in a message.
fn start_of(text: &str) -> String {
    text.chars().take(200).collect()
}

/// Returns the reason why the server did not respond.
fn reason(error: &Error) -> String {
    match error {
        Error::Timeout(_) => format!("no response for {} s", RESPONSE_MAX.as_secs()),
        Error::Io(error) => error.to_string(),
        other => other.to_string(),
    }
}

/// Returns the error for a certificate that this client rejects.
fn rejected_certificate(url: &str, reason: &str) -> Option<Failure> {
    let rejected = format!("The client rejects the certificate of {url}");
    if reason.contains("UnknownIssuer") {
        return Some(Failure(format!(
            "{rejected}, because its issuer is not trusted: set SSL_CERT_FILE to a file with the \
             issuer's certificate."
        )));
    }
    reason.contains("CaUsedAsEndEntity").then(|| {
        Failure(format!(
            "{rejected}, because it is the certificate of an authority: create a certificate with \
             CA:FALSE for the server."
        ))
    })
}

/// Returns the proxy of the environment. Ignores SOCKS proxies, which the client does not support.
fn http_proxy() -> Option<Proxy> {
    let is_http =
        |proxy: &Proxy| matches!(proxy.protocol(), ProxyProtocol::Http | ProxyProtocol::Https);
    Proxy::try_from_env().filter(is_http)
}

/// Whether the server is on this machine.
fn is_here(url: &Uri) -> bool {
    matches!(url.host(), Some("127.0.0.1" | "localhost" | "[::1]"))
}

/// Returns the token for an address. The token in the data folder is sent only to servers on this
/// machine.
fn token_for(url: &Uri, folder: &Path) -> Result<String, Failure> {
    if let Ok(token) = std::env::var("TIDEMARK_TOKEN")
        && !token.is_empty()
    {
        return Ok(token);
    }
    let is_here = is_here(url);
    let file = folder.join("token");
    if is_here && let Ok(token) = fs::read_to_string(&file) {
        return Ok(token.trim().to_owned());
    }
    let more = match is_here {
        true => {
            format!(", or start `tidemark serve` in this folder (there is no {}).", file.display())
        }
        false => ".".to_owned(),
    };
    let (scheme, authority) = (url.scheme_str().unwrap_or_default(), url.authority());
    let authority = authority.map(ToString::to_string).unwrap_or_default();
    Err(Failure(format!("No token: set TIDEMARK_TOKEN to a token of {scheme}://{authority}{more}")))
}

/// Returns the certificates that this machine trusts, or the certificates in SSL_CERT_FILE.
/// Unreadable certificates are ignored if there are others.
pub fn trusted() -> Result<Vec<CertificateDer<'static>>, Failure> {
    let found = rustls_native_certs::load_native_certs();
    if !found.certs.is_empty() {
        return Ok(found.certs);
    }
    let errors: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
    let found = if errors.is_empty() { "none found".to_owned() } else { errors.join("; ") };
    Err(Failure(format!(
        "This machine has no certificates of authorities ({found}): install them (Debian package \
         ca-certificates), or set SSL_CERT_FILE to a file with certificates."
    )))
}

fn agent(
    response_max: Duration,
    read_max: Duration,
    roots: &[Certificate<'static>],
    proxy: Option<Proxy>,
) -> Agent {
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(roots))
        .unversioned_rustls_crypto_provider(
            tokio_rustls::rustls::crypto::ring::default_provider().into(),
        )
        .build();
    Agent::config_builder()
        .tls_config(tls)
        .http_status_as_error(false)
        .proxy(proxy)
        .max_redirects(0)
        .timeout_connect(Some(response_max))
        .timeout_send_request(Some(response_max))
        .timeout_send_body(Some(response_max))
        .timeout_recv_response(Some(response_max))
        .timeout_per_read(Some(read_max))
        .build()
        .new_agent()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    const LATE: Duration = Duration::from_millis(600);
    const SHORT: Duration = Duration::from_millis(200);
    const LONG: Duration = Duration::from_secs(60);

    /// Returns a client of a server that writes `first`, waits, and then writes `rest`. The client
    /// waits at most [`SHORT`] for the start of the response and at most `read_max` for each
    /// further piece.
    fn server(
        first: &'static str,
        wait: Duration,
        rest: &'static str,
        read_max: Duration,
    ) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = [0; 1_000];
            let _ = stream.read(&mut head).unwrap();
            stream.write_all(first.as_bytes()).unwrap();
            thread::sleep(wait);
            let _ = stream.write_all(rest.as_bytes());
        });
        Server::at(&url, SHORT, read_max)
    }

    #[test]
    fn response_head_and_chunks_time_out() {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nfirst ";
        let slow = server(head, LATE, "second", LONG);
        let response = slow.send(&Request::new("GET", "/slow")).unwrap();
        assert_eq!(response.text().unwrap(), "first second");
        let stalled = server(head, LATE, "second", SHORT);
        let Err(Failure(error)) = stalled.send(&Request::new("GET", "/stalled")).unwrap().text()
        else {
            panic!("it continued")
        };
        assert!(error.contains("The response is incomplete: timeout"), "{error}");
        let never = server("", LATE, "", LONG);
        let Err(Failure(error)) = never.send(&Request::new("GET", "/never")) else {
            panic!("it responded")
        };
        assert!(error.contains("does not respond (no response for 300 s)"), "{error}");
    }

    #[test]
    fn truncated_response_is_a_failure() {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nfirst ";
        let cut = server(head, Duration::ZERO, "", LONG);
        let response = cut.send(&Request::new("GET", "/cut")).unwrap();
        assert!(response.text().is_err());
    }

    #[test]
    fn redirect_response_is_a_failure() {
        let redirect = "HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n";
        let moved = server(redirect, Duration::ZERO, "", LONG);
        let Err(Failure(error)) = moved.must(&Request::new("DELETE", "/token")) else {
            panic!("it succeeded")
        };
        assert!(error.starts_with("The server returned 302, a redirect to /login: "), "{error}");
    }

    #[test]
    fn error_messages_parse_from_both_forms() {
        assert_eq!(message_in("{\"error\":\"a\"}\n"), "a");
        assert_eq!(message_in("{\"code\":\"c\",\"message\":\"b\"}"), "b");
        assert_eq!(message_in(" plain \n"), "plain");
    }
}
