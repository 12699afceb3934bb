//! Reads the credentials of every supported scheme, and defines the errors for refused callers.
//!
//! Credentials in a header take precedence over the URL parameters `u` and `p`, unless both contain
//! a user name: then the URL takes precedence. This module checks the admin token;
//! [`tidemark_coordinator::identify`] checks all other credentials.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_PAD_INDIFFERENT;

use super::http::{Parameters, RequestHead};
use super::settings::Settings;
use tidemark_coordinator::grants::Principal;
use tidemark_coordinator::identify::Credentials;
use tidemark_model::grant::PermissionKind;

/// The header with Cloudflare Access's signed assertion about the user.
pub const ACCESS_ASSERTION: &str = "cf-access-jwt-assertion";

/// The reason why a caller is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the error texts describe the variants")]
pub enum AuthError {
    /// Status 503: no admin token is configured. The server then refuses all requests instead of
    /// allowing them.
    #[error(
        "no ADMIN_TOKEN is configured, so the server refuses requests for data: set ADMIN_TOKEN \
         as a secret of the Worker, in the server's environment, or in .dev.vars"
    )]
    NotConfigured,
    /// Status 401: the credentials are absent, malformed, unknown or expired.
    #[error("unauthorized access")]
    Unauthorized,
    /// Status 401 on a route of 1.x: the user or its password is unknown. Home Assistant and
    /// influxdb-java search for this text.
    #[error("authorization failed")]
    UnknownUser,
    /// Status 401: the operator disabled credentials in URLs.
    #[error(
        "the server does not accept credentials in the URL (URL_CREDENTIALS=false), because logs \
         store URLs: send the parameters u and p in the header \"Authorization: Basic\", or a \
         token in \"Authorization: Token\""
    )]
    InUrl,
    /// Status 429: too many logins of this user failed.
    #[error(
        "too many failed logins of this user from this address: check the password, and try again in {retry_after_s} s"
    )]
    TooManyFailures { retry_after_s: u32 },
    /// Status 503: too many logins of other users from this address failed, or the isolate's table
    /// of failed logins is full. The server does not check this password now.
    #[error(
        "too many failed logins: only users who recently logged in from this address can log in \
         now; try again in {retry_after_s} s, or use a token instead of a password"
    )]
    LoginsWait { retry_after_s: u32 },
    /// Status 503: the server refuses the token, because it cannot verify the token now.
    #[error("the token cannot be verified: {0}")]
    Unverified(String),
    /// Status 403 on a write, with 1.x's message. The message does not reveal whether the database
    /// exists.
    #[error("{who} is not authorized to write to database \"{database}\"")]
    Write { who: String, database: String },
    /// Status 403 on a query, with 1.x's message.
    #[error(
        "error authorizing query: {who} not authorized to execute statement '{statement}', requires {requires}"
    )]
    Statement {
        who: String,
        /// The parsed statement, without passwords.
        statement: String,
        requires: String,
    },
    /// Status 403 on a route that is neither a write nor a query.
    #[error("{who} is not authorized to do this: the request requires {requires}")]
    Forbidden { who: String, requires: String },
}

impl AuthError {
    /// Returns the error for a caller who lacks the permission on the requested policy of
    /// `database`.
    pub fn forbidden(principal: &Principal, permission: PermissionKind, database: &str) -> Self {
        if permission != PermissionKind::Write {
            return Self::forbidden_database(principal, permission, database);
        }
        let name = &principal.name;
        // influxdb-java retries the write unless the message contains 1.x's word "user".
        let who = if principal.user { format!("\"{name}\" user") } else { format!("{name} user") };
        Self::Write { who, database: database.to_owned() }
    }

    /// Returns the error for a caller who lacks a permission on the whole `database`.
    pub fn forbidden_database(
        caller: &Principal,
        permission: PermissionKind,
        database: &str,
    ) -> Self {
        let requires = format!("{} on {database}", permission.as_str());
        Self::Forbidden { who: (*caller.name).to_owned(), requires }
    }

    /// Returns the error for a caller who is not an administrator.
    pub fn not_admin(principal: &Principal) -> Self {
        let requires = "the admin token".to_owned();
        Self::Forbidden { who: (*principal.name).to_owned(), requires }
    }
}

/// Whether these are the administrator's credentials.
pub fn is_admin(credentials: &Credentials, settings: &Settings) -> bool {
    let Credentials { token, password, .. } = credentials;
    // Only `Token user:password` has a password that differs from the token.
    let second = (password != token).then_some(password);
    let given = || [token].into_iter().chain(second);
    // Every configured hash is compared, so that the duration does not reveal which of them
    // matches.
    let hashes = settings.admin_tokens.iter();
    let matches = hashes.flat_map(|hash| given().map(|secret| hash.matches(secret)));
    matches.fold(false, |known, matches| known | matches)
}

/// Returns the credentials of a request, from its header or its URL.
pub fn credentials(
    head: &RequestHead,
    parameters: &Parameters,
    settings: &Settings,
) -> Result<Credentials, AuthError> {
    if settings.admin_tokens.is_empty() {
        return Err(AuthError::NotConfigured);
    }
    let user = parameters.filled("u").map(str::to_owned);
    let of_url = parameters.filled("p").map(|p| Credentials::pair(user, p.to_owned()));
    match (head.header("authorization").and_then(from_header), of_url) {
        // In 1.x, a user in the URL takes precedence, because the header may be meant for a proxy.
        // Tasmota sends a user's password in the URL, and also as a token.
        (Some(header), Some(of_url))
            if of_url.user.is_some() && (header.user.is_some() || header.token == of_url.token) =>
        {
            Ok(of_url)
        }
        (header, of_url) => header.or(of_url).ok_or(AuthError::Unauthorized),
    }
}

/// Parses `Bearer T`, `Token T`, `Token user:password` or `Basic base64(user:T)`.
fn from_header(value: &str) -> Option<Credentials> {
    let (scheme, rest) = value.trim().split_once(' ')?;
    let rest = rest.trim();
    let credentials = match scheme.to_ascii_lowercase().as_str() {
        "bearer" => Credentials::pair(None, rest.to_owned()),
        "token" => {
            let mut credentials = Credentials::pair(None, rest.to_owned());
            if let Some((user, password)) = rest.split_once(':') {
                credentials.user = Some(user.to_owned());
                credentials.password = password.to_owned();
            }
            credentials
        }
        "basic" => {
            // Some clients omit the padding.
            let decoded = STANDARD_PAD_INDIFFERENT.decode(rest).ok()?;
            let decoded = String::from_utf8(decoded).ok()?;
            let (user, secret) = decoded.split_once(':')?;
            Credentials::pair(Some(user.to_owned()), secret.to_owned())
        }
        _ => return None,
    };
    // rtl_433 sends `Token (null)` if it has no token.
    (!["", "(null)"].contains(&credentials.token.as_str())).then_some(credentials)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings::read(|name| (name == "ADMIN_TOKEN").then(|| "to/k=e+n,to/k=e+n".to_owned()))
            .unwrap()
    }

    fn found(header: Option<&str>, query: &str) -> Result<Credentials, AuthError> {
        let headers: Vec<_> = header.map(|value| ("authorization", value)).into_iter().collect();
        let head = RequestHead::with_headers(&headers);
        credentials(&head, &Parameters::parse(query.as_bytes()).unwrap(), &settings())
    }

    fn authenticated(header: Option<&str>, query: &str) -> bool {
        found(header, query).is_ok_and(|credentials| is_admin(&credentials, &settings()))
    }

    #[test]
    fn every_auth_scheme_carries_token() {
        for header in [
            "Bearer to/k=e+n,to/k=e+n",
            "bearer to/k=e+n,to/k=e+n",
            "Token to/k=e+n,to/k=e+n",
            "TOKEN  to/k=e+n,to/k=e+n",
            "Basic YW55OnRvL2s9ZStuLHRvL2s9ZStu",
            "basic OnRvL2s9ZStuLHRvL2s9ZStu",
        ] {
            assert!(authenticated(Some(header), ""), "{header}");
        }
        for query in ["u=any&p=to%2Fk%3De%2Bn,to%2Fk%3De%2Bn", "p=to/k%3De%2Bn,to/k%3De%2Bn"] {
            assert!(authenticated(None, query), "{query}");
        }
        for header in ["Digest x", "Token (null)"] {
            assert!(authenticated(Some(header), "p=to%2Fk%3De%2Bn,to%2Fk%3De%2Bn"), "{header}");
        }
        assert!(!authenticated(Some("Bearer wrong"), "p=to%2Fk%3De%2Bn,to%2Fk%3De%2Bn"));
    }

    #[test]
    fn invalid_credentials_are_unauthorized() {
        for header in
            ["Bearer wrong", "Bearer", "Bearer ", "Basic %%%", "Digest x", "to/k=e+n,to/k=e+n", ""]
        {
            assert!(!authenticated(Some(header), ""), "{header}");
        }
        for query in ["", "p=", "u=to/k%3De%2Bn,to/k%3De%2Bn", "p=to/k=e+n,to/k=e+n"] {
            assert!(!authenticated(None, query), "{query}");
        }
        assert!(!authenticated(Some("Bearer TO/K=E+N,TO/K=E+N"), ""));
        for (header, query) in [(None, ""), (Some("Digest x"), "u=x"), (Some("Basic eA=="), "p=")] {
            assert_eq!(found(header, query), Err(AuthError::Unauthorized));
        }
    }

    #[test]
    fn missing_admin_token_rejects_requests() {
        let settings = Settings::read(|_| None).unwrap();
        let head = RequestHead::default();
        let error = credentials(&head, &Parameters::parse(b"p=x").unwrap(), &settings).unwrap_err();
        assert_eq!(error, AuthError::NotConfigured);
    }

    #[test]
    fn credentials_parse_name_and_password() {
        let pair = |user: &str, password: &str| Credentials {
            user: Some(user.to_owned()),
            token: password.to_owned(),
            password: password.to_owned(),
        };
        assert_eq!(found(Some("Basic dTpwOnc="), ""), Ok(pair("u", "p:w")));
        assert_eq!(found(None, "u=u&p=pw"), Ok(pair("u", "pw")));
        let whole = Credentials { token: "u:p:w".to_owned(), ..pair("u", "p:w") };
        assert_eq!(found(Some("Token u:p:w"), ""), Ok(whole));
        let none = Credentials { user: None, ..pair("", "u:p") };
        assert_eq!(found(Some("Bearer u:p"), ""), Ok(none));
        assert_eq!(found(Some("Token pw"), "u=u&p=pw"), Ok(pair("u", "pw")));
        let header = Credentials { user: None, ..pair("", "t") };
        assert_eq!(found(Some("Token t"), "u=u&p=pw"), Ok(header));
        for header in ["Basic dTpwOnc=", "Token u:p:w"] {
            assert_eq!(found(Some(header), "u=v&p=pw"), Ok(pair("v", "pw")), "{header}");
            assert_eq!(found(Some(header), "p=pw").map(|found| found.user), Ok(Some("u".into())));
        }
    }
}
