//! Reads an assertion's text and its claims.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

/// A request's head cannot contain a longer assertion.
const ASSERTION_CHARS_MAX: usize = 16 << 10;
/// The tolerated difference between the team's clock and this server's clock, in seconds, for the
/// time at which an assertion becomes valid.
const CLOCKS_APART_S: i64 = 60;

/// The required issuer and audience of assertions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Application {
    /// The team's address, such as `https://team.cloudflareaccess.com`, without a trailing slash.
    issuer: String,
    audience: String,
}

/// The reason why the settings do not define an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApplicationError {
    /// The team is not the address of a host.
    Team,
    /// The audience is empty or contains spaces.
    Audience,
}

impl Application {
    /// Creates an application from the team's address and the audience. The address is `https://`
    /// and a host. In tests the address may also be `http://127.0.0.1` and a port.
    pub fn new(team: &str, audience: &str) -> Result<Self, ApplicationError> {
        let (issuer, audience) = (team.trim().trim_end_matches('/'), audience.trim());
        let is_in_host = |c: char| c.is_ascii_alphanumeric() || "-.:".contains(c);
        let is_host = |host: &str| !host.is_empty() && host.chars().all(is_in_host);
        let port = issuer.strip_prefix("http://127.0.0.1:");
        let is_local = port.is_some_and(|port| port.parse::<u16>().is_ok());
        if !is_local && !issuer.strip_prefix("https://").is_some_and(is_host) {
            return Err(ApplicationError::Team);
        }
        if audience.is_empty() || audience.contains(char::is_whitespace) {
            return Err(ApplicationError::Audience);
        }
        Ok(Self { issuer: issuer.to_owned(), audience: audience.to_owned() })
    }

    /// Returns the address of the team's keys. The address does not depend on the request.
    pub fn keys_url(&self) -> String {
        format!("{}/cdn-cgi/access/certs", self.issuer)
    }
}

#[derive(Deserialize)]
struct Head {
    alg: String,
    kid: String,
}

/// Times are seconds since 1970.
#[derive(Deserialize)]
struct Claims {
    aud: Audiences,
    iss: String,
    exp: i64,
    nbf: Option<i64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audiences {
    One(String),
    Several(Vec<String>),
}

impl Audiences {
    fn has(&self, audience: &str) -> bool {
        match self {
            Self::One(one) => one == audience,
            Self::Several(several) => several.iter().any(|one| one == audience),
        }
    }
}

/// An assertion with valid claims and an unchecked signature.
pub(super) struct Assertion<'a> {
    /// The id of the signing key, as the assertion states it.
    pub key: String,
    pub signed: &'a str,
    pub signature: Vec<u8>,
}

impl<'a> Assertion<'a> {
    /// Returns `None` unless `token` is an assertion for `application` that is valid at `now_s`.
    pub(super) fn read(token: &'a str, application: &Application, now_s: i64) -> Option<Self> {
        if token.len() > ASSERTION_CHARS_MAX {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (head, claims) = signed.split_once('.')?;
        let head: Head = decoded(head)?;
        let claims: Claims = decoded(claims)?;
        // Only RS256 is accepted, so that the sender cannot choose the algorithm `none`, which
        // needs no signature.
        let is_signed = head.alg == "RS256";
        let is_meant = claims.iss == application.issuer && claims.aud.has(&application.audience);
        let has_begun = claims.nbf.is_none_or(|nbf| nbf <= now_s.saturating_add(CLOCKS_APART_S));
        let holds = is_signed && is_meant && has_begun && now_s < claims.exp;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        holds.then_some(Self { key: head.kid, signed, signature })
    }
}

fn decoded<T: for<'de> Deserialize<'de>>(part: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}
