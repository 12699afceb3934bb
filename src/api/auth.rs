//! Who is calling: the credentials of every client's scheme, checked against the admin token.
//!
//! One rule for all routes: a header that yields a token wins, else the parameter `p`. A secret in
//! a URL must never shadow a header.

use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::http::{Parameters, RequestHead};
use super::settings::Settings;

/// A secret that came with a request. Debug never prints it.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user name of Basic, `u` or `Token user:password`; any name goes with a token.
    pub user: Option<String>,
    /// The token or password.
    pub secret: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(..)")
    }
}

/// What a caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// Everything.
    Admin,
}

impl Grant {
    /// Whether it covers databases that do not exist yet (write on `*`).
    pub fn may_create(self) -> bool {
        match self {
            Self::Admin => true,
        }
    }
}

/// Why a caller is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// 503: never open by default.
    #[error(
        "no ADMIN_TOKEN is configured, so nothing is served: set it with `wrangler secret put ADMIN_TOKEN`, or in .dev.vars for local development"
    )]
    NotConfigured,
    /// 401: none, malformed, unknown.
    #[error("unauthorized access")]
    Unauthorized,
}

/// Finds and checks the caller's credentials.
///
/// # Errors
/// [`AuthError`]
pub fn authenticate(
    head: &RequestHead,
    parameters: &Parameters,
    settings: &Settings,
) -> Result<Grant, AuthError> {
    if settings.admin_tokens.is_empty() {
        return Err(AuthError::NotConfigured);
    }
    let credentials = credentials(head, parameters).ok_or(AuthError::Unauthorized)?;
    // Every configured hash is compared, so that the time does not tell which one matched.
    let known = settings
        .admin_tokens
        .iter()
        .fold(false, |known, hash| known | hash.matches(&credentials.secret));
    if known { Ok(Grant::Admin) } else { Err(AuthError::Unauthorized) }
}

/// The credentials of a request, whichever way they came.
pub fn credentials(head: &RequestHead, parameters: &Parameters) -> Option<Credentials> {
    head.header("authorization").and_then(from_header).or_else(|| {
        let secret = parameters.filled("p")?.to_owned();
        Some(Credentials { user: parameters.filled("u").map(str::to_owned), secret })
    })
}

/// `Bearer T`, `Token T`, `Token user:password`, `Basic base64(user:T)`; the scheme in any case.
fn from_header(value: &str) -> Option<Credentials> {
    let (scheme, rest) = value.trim().split_once(' ')?;
    let rest = rest.trim();
    let credentials =
        if scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("token") {
            Credentials { user: None, secret: rest.to_owned() }
        } else if scheme.eq_ignore_ascii_case("basic") {
            let decoded = String::from_utf8(LENIENT.decode(rest).ok()?).ok()?;
            let (user, secret) = decoded.split_once(':')?;
            Credentials { user: Some(user.to_owned()), secret: secret.to_owned() }
        } else {
            return None;
        };
    (!credentials.secret.is_empty()).then_some(credentials)
}

/// Some clients leave the padding out.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[cfg(test)]
mod tests {
    use super::*;

    fn authenticated(header: Option<&str>, query: &str) -> Result<Grant, AuthError> {
        let head = RequestHead {
            headers: header
                .map(|h| ("authorization".to_owned(), h.to_owned()))
                .into_iter()
                .collect(),
            ..RequestHead::default()
        };
        let settings =
            Settings::read(|name| (name == "ADMIN_TOKEN").then(|| "to/k=e+n".to_owned())).unwrap();
        authenticate(&head, &Parameters::parse(query.as_bytes()), &settings)
    }

    #[test]
    fn every_scheme_carries_the_token() {
        for header in [
            "Bearer to/k=e+n",
            "bearer to/k=e+n",
            "Token to/k=e+n",
            "TOKEN  to/k=e+n",
            "Basic YW55OnRvL2s9ZStu",
            "basic OnRvL2s9ZStu",
        ] {
            assert_eq!(authenticated(Some(header), ""), Ok(Grant::Admin), "{header}");
        }
        for query in ["u=any&p=to%2Fk%3De%2Bn", "p=to/k%3De%2Bn"] {
            assert_eq!(authenticated(None, query), Ok(Grant::Admin), "{query}");
        }
    }

    #[test]
    fn everything_else_is_unauthorized() {
        let bad = AuthError::Unauthorized;
        for header in ["Bearer wrong", "Bearer", "Bearer ", "Basic %%%", "Digest x", "to/k=e+n", ""]
        {
            assert_eq!(authenticated(Some(header), ""), Err(bad), "{header}");
        }
        for query in ["", "p=", "u=to/k%3De%2Bn", "p=to/k=e+n"] {
            assert_eq!(authenticated(None, query), Err(bad), "{query}");
        }
        assert_eq!(authenticated(Some("Bearer TO/K=E+N"), ""), Err(bad));
    }

    #[test]
    fn a_header_that_yields_a_token_wins_over_the_url() {
        assert_eq!(
            authenticated(Some("Bearer wrong"), "p=to%2Fk%3De%2Bn"),
            Err(AuthError::Unauthorized)
        );
        assert_eq!(authenticated(Some("Digest x"), "p=to%2Fk%3De%2Bn"), Ok(Grant::Admin));
    }

    #[test]
    fn without_a_secret_nothing_is_served() {
        let settings = Settings::read(|_| None).unwrap();
        let head = RequestHead::default();
        let error = authenticate(&head, &Parameters::parse(b"p=x"), &settings).unwrap_err();
        assert_eq!(error, AuthError::NotConfigured);
    }
}
