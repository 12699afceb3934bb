//! Reads the operator's settings: variables and secrets of the Worker, or environment variables of
//! the native program. The names in this file are the names of the variables.

use std::rc::Rc;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::location_hint::{JURISDICTIONS, LOCATIONS, Placement};
use super::log::LogRequests;
use tidemark_coordinator::cloudflare_access::{Application, ApplicationError};
use tidemark_engine::protocol::database::is_inside;
use tidemark_model::configurable_limits::Limits;
use tidemark_model::limits::{ADMIN_TOKEN_CHARACTERS_MIN, SHARDS_PER_GROUP_MAX};
use tidemark_model::time::{D_NS, H_NS, MINUTE_NS, MS_NS, S_NS, US_NS, W_NS};

/// The SHA-256 hash of a token. The server does not store the token itself.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenHash([u8; 32]);

impl std::fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenHash(..)")
    }
}

impl TokenHash {
    /// Hashes `token`.
    pub fn new(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// Returns the hash as a key for signatures. Only a program that knows the token can compute
    /// it.
    pub fn as_key(&self) -> &[u8] {
        &self.0
    }

    /// Compares this hash with the hash of `token` in constant time.
    pub fn matches(&self, token: &str) -> bool {
        self.0.ct_eq(&Self::new(token).0).into()
    }
}

/// All settings of the operator. An isolate reads the settings once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `ADMIN_TOKEN` and, during a rotation, `ADMIN_TOKEN_NEXT`. If empty, the server refuses all
    /// requests.
    pub admin_tokens: Vec<TokenHash>,
    /// `DEFAULT_SHARDS`: the number of shards in each group of a new database.
    pub default_shards: u32,
    /// `DEFAULT_LOCATION` and `JURISDICTION` of new objects.
    pub placement: Placement,
    /// `SHARD_SPLIT_BYTES`: a shard group splits if its largest shard exceeds this size.
    pub shard_split_bytes: u64,
    /// `SHARD_FULL_BYTES`: the size from which a shard rejects writes.
    pub shard_full_bytes: u64,
    /// `ACCESS_TEAM` and `ACCESS_AUDIENCE`: users that Cloudflare Access admits are administrators.
    pub access: Option<Rc<Application>>,
    /// `CORS_ORIGINS`: the origins whose pages may call the server.
    pub cors_origins: CorsOrigins,
    /// `URL_CREDENTIALS`: whether the parameters `u` and `p` of a URL may contain credentials.
    pub url_credentials: bool,
    /// `AUTO_CREATE_DATABASES`: whether a write creates an absent database.
    pub auto_create_databases: bool,
    /// `AUTO_CREATE_RETENTION`: the retention period of a database that a write creates, in
    /// nanoseconds; 0 means infinite.
    pub auto_create_retention_ns: i64,
    /// The limits of `model/src/configurable_limits.rs`, by name.
    pub limits: Limits,
    /// `LOG_REQUESTS`: the requests that are logged.
    pub log_requests: LogRequests,
    /// `COUNT_DURATIONS`: whether this deployment has a single isolate, which reports durations as
    /// metrics.
    pub count_durations: bool,
}

/// Returns the configured value of a setting, unless the value is empty.
type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The origins whose pages may read responses in a browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CorsOrigins {
    /// `*`: every origin.
    Any,
    /// The listed origins; empty by default.
    List(Vec<String>),
}

impl CorsOrigins {
    fn parse(text: &str) -> Self {
        if text.trim() == "*" {
            return Self::Any;
        }
        let trimmed = text.split(',').map(|origin| origin.trim().trim_end_matches('/'));
        Self::List(trimmed.filter(|o| !o.is_empty()).map(str::to_owned).collect())
    }

    /// Whether pages of `origin` may read responses.
    pub fn allow(&self, origin: &str) -> bool {
        match self {
            Self::Any => true,
            Self::List(origins) => origins.iter().any(|allowed| allowed == origin),
        }
    }
}

/// An invalid setting. The server then refuses requests.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the error texts describe the variants")]
pub enum SettingsError {
    #[error("the setting {name} is \"{value}\", which is not {expected}")]
    Unreadable { name: &'static str, value: String, expected: String },
    #[error(
        "the setting DEFAULT_LOCATION is \"{location}\", which is outside of JURISDICTION \
         \"{jurisdiction}\": set a location inside the jurisdiction, or no location"
    )]
    Outside { location: &'static str, jurisdiction: &'static str },
    /// An admin token is so short that an attacker could guess it. The message does not quote the
    /// token, because any caller can read the message.
    #[error(
        "the secret {name} has only {characters} characters and could be guessed, so the server \
         serves no data: set it to at least {ADMIN_TOKEN_CHARACTERS_MIN} characters, such as the \
         output of `openssl rand -hex 16`, as a secret of the Worker, in the server's \
         environment, or in .dev.vars"
    )]
    Guessable { name: &'static str, characters: usize },
}

impl Settings {
    /// Reads every setting through `lookup`. An absent or empty setting has its default.
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let text: Lookup<'_> = &|name| lookup(name).filter(|value| !value.trim().is_empty());
        let mut admin_tokens = Vec::new();
        for name in ["ADMIN_TOKEN", "ADMIN_TOKEN_NEXT"] {
            let Some(token) = text(name) else { continue };
            // A file with a secret often ends with a line break, which no header can contain.
            let token = token.trim();
            let characters = token.chars().count();
            if characters < ADMIN_TOKEN_CHARACTERS_MIN {
                return Err(SettingsError::Guessable { name, characters });
            }
            admin_tokens.push(TokenHash::new(token));
        }
        Ok(Self {
            admin_tokens,
            default_shards: parsed(text, "DEFAULT_SHARDS", 1, "a number from 1 to 64", |v| {
                v.parse().ok().filter(|n| (1..=SHARDS_PER_GROUP_MAX).contains(n))
            })?,
            placement: placement(text)?,
            shard_split_bytes: parsed(text, "SHARD_SPLIT_BYTES", 4_000_000_000, BYTES, bytes)?,
            shard_full_bytes: parsed(text, "SHARD_FULL_BYTES", 9_000_000_000, BYTES, bytes)?,
            access: access(text("ACCESS_TEAM"), text("ACCESS_AUDIENCE"))?,
            cors_origins: CorsOrigins::parse(&text("CORS_ORIGINS").unwrap_or_default()),
            url_credentials: flag(text, "URL_CREDENTIALS", true)?,
            auto_create_databases: flag(text, "AUTO_CREATE_DATABASES", true)?,
            count_durations: flag(text, "COUNT_DURATIONS", false)?,
            auto_create_retention_ns: parsed(
                text,
                "AUTO_CREATE_RETENTION",
                3 * D_NS,
                "a duration such as 72h, 3d or INF",
                duration_ns,
            )?,
            limits: Limits::read(|row| {
                let expected = format!("a whole number from 1 to {}", row.max);
                parsed(text, row.name, None, &expected, |value| {
                    value.parse().ok().filter(|n| (1..=row.max).contains(n)).map(Some)
                })
            })?,
            log_requests: parsed(
                text,
                "LOG_REQUESTS",
                LogRequests::All,
                "one of all, errors, none",
                LogRequests::parse,
            )?,
        })
    }
}

fn flag(text: Lookup<'_>, name: &'static str, fallback: bool) -> Result<bool, SettingsError> {
    parsed(text, name, fallback, "true or false", |value| value.parse().ok())
}

fn one_of(
    text: Lookup<'_>,
    name: &'static str,
    values: &'static [&'static str],
) -> Result<Option<&'static str>, SettingsError> {
    let expected = format!("one of {}", values.join(", "));
    parsed(text, name, None, &expected, |value| {
        values.iter().find(|known| **known == value).copied().map(Some)
    })
}

fn placement(text: Lookup<'_>) -> Result<Placement, SettingsError> {
    let location = one_of(text, "DEFAULT_LOCATION", LOCATIONS)?;
    let jurisdiction = one_of(text, "JURISDICTION", JURISDICTIONS)?;
    match (location, jurisdiction) {
        (Some(location), Some(jurisdiction)) if !is_inside(location, Some(jurisdiction)) => {
            Err(SettingsError::Outside { location, jurisdiction })
        }
        _ => Ok(Placement { location, jurisdiction }),
    }
}

/// Reads the settings of Cloudflare Access. Both or none must be set, because one alone would admit
/// either no user or every user of the team.
fn access(
    team: Option<String>,
    audience: Option<String>,
) -> Result<Option<Rc<Application>>, SettingsError> {
    if team.is_none() && audience.is_none() {
        return Ok(None);
    }
    let (team, audience) = (team.unwrap_or_default(), audience.unwrap_or_default());
    let unreadable = |error: ApplicationError| {
        let (name, value, expected) = match error {
            ApplicationError::Team => (
                "ACCESS_TEAM",
                team.clone(),
                "the address of a team, such as https://team.cloudflareaccess.com (set \
                 ACCESS_AUDIENCE as well)",
            ),
            ApplicationError::Audience => (
                "ACCESS_AUDIENCE",
                audience.clone(),
                "the audience tag of an application (set ACCESS_TEAM as well)",
            ),
        };
        SettingsError::Unreadable { name, value, expected: expected.to_owned() }
    };
    Application::new(&team, &audience).map(|found| Some(Rc::new(found))).map_err(unreadable)
}

const BYTES: &str = "a number of bytes above 0";

fn bytes(text: &str) -> Option<u64> {
    text.parse().ok().filter(|&bytes| bytes > 0)
}

/// Parses a duration of a setting or a management call, and returns the sum of its parts. Examples
/// are `72h`, `1d12h` and `1month 13h 30m`. `INF`, `none` and `0` mean infinite.
pub fn duration_ns(text: &str) -> Option<i64> {
    if text.eq_ignore_ascii_case("inf") || text.eq_ignore_ascii_case("none") || text == "0" {
        return Some(0);
    }
    let mut rest = text.trim();
    let mut total_ns: i64 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (number, tail) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
        let tail = tail.trim_start();
        let end = tail.find(|c: char| c.is_ascii_digit() || c.is_whitespace());
        let (unit, tail) = tail.split_at(end.unwrap_or(tail.len()));
        let part_ns = number.parse::<i64>().ok()?.checked_mul(unit_ns(unit)?)?;
        total_ns = total_ns.checked_add(part_ns)?;
        rest = tail.trim_start();
    }
    Some(total_ns)
}

/// Returns a unit of the crate `humantime`. The command `influxdb3` sends durations with these
/// units. In addition, `mo` is 30 days. Unlike in `humantime`, `y` is 365 days.
fn unit_ns(unit: &str) -> Option<i64> {
    Some(match unit {
        "nanos" | "nsec" | "ns" => 1,
        "usec" | "us" | "µs" => US_NS,
        "millis" | "msec" | "ms" => MS_NS,
        "seconds" | "second" | "secs" | "sec" | "s" => S_NS,
        "minutes" | "minute" | "mins" | "min" | "m" => MINUTE_NS,
        "hours" | "hour" | "hrs" | "hr" | "h" => H_NS,
        "days" | "day" | "d" => D_NS,
        "weeks" | "week" | "wks" | "wk" | "w" => W_NS,
        "mo" => 30 * D_NS,
        // 30.44 days
        "months" | "month" | "M" => 2_630_016 * S_NS,
        "y" => 365 * D_NS,
        // 365.25 days
        "years" | "year" | "yrs" | "yr" => 31_557_600 * S_NS,
        _ => return None,
    })
}

fn parsed<T>(
    text: Lookup<'_>,
    name: &'static str,
    default: T,
    expected: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<T, SettingsError> {
    let Some(value) = text(name) else { return Ok(default) };
    let expected = expected.to_owned();
    parse(value.trim()).ok_or(SettingsError::Unreadable { name, value, expected })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        let find =
            |name: &str| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        Settings::read(find)
    }

    #[test]
    fn cloudflare_access_needs_team_and_audience() {
        let team = ("ACCESS_TEAM", "https://team.cloudflareaccess.com/");
        let audience = ("ACCESS_AUDIENCE", "a1b2");
        assert_eq!(read(&[]).unwrap().access, None);
        let application = read(&[team, audience]).unwrap().access.unwrap();
        let url = "https://team.cloudflareaccess.com/cdn-cgi/access/certs";
        assert_eq!(application.keys_url(), url);
        let local = read(&[("ACCESS_TEAM", "http://127.0.0.1:8081"), audience]).unwrap();
        assert_eq!(local.access.unwrap().keys_url(), "http://127.0.0.1:8081/cdn-cgi/access/certs");
        let refused = |pairs: &[(&str, &str)], name: &str| {
            let error = read(pairs).unwrap_err().to_string();
            assert!(error.starts_with(&format!("the setting {name} is ")), "{pairs:?}: {error}");
        };
        refused(&[team], "ACCESS_AUDIENCE");
        refused(&[audience], "ACCESS_TEAM");
        refused(&[team, ("ACCESS_AUDIENCE", "a b")], "ACCESS_AUDIENCE");
        for bad in [
            "team.cloudflareaccess.com",
            "http://team.cloudflareaccess.com",
            "https://",
            "https://a/b",
            "https://u@a",
            "https://a?b",
            "http://127.0.0.1",
            "http://127.0.0.1:80@evil.example",
            "http://127.0.0.1.evil.example:80",
        ] {
            refused(&[("ACCESS_TEAM", bad), audience], "ACCESS_TEAM");
        }
    }

    #[test]
    fn invalid_settings_are_rejected_by_name() {
        let settings = read(&[
            ("ADMIN_TOKEN", "number one of two"),
            ("ADMIN_TOKEN_NEXT", "number two of two"),
            ("DEFAULT_SHARDS", "4"),
            ("CORS_ORIGINS", "https://a, https://b/"),
            ("AUTO_CREATE_RETENTION", "1d12h"),
        ])
        .unwrap();
        assert!(settings.admin_tokens.iter().any(|hash| hash.matches("number two of two")));
        assert!(!settings.admin_tokens.iter().any(|hash| hash.matches("number three of two")));
        assert_eq!((settings.default_shards, settings.auto_create_retention_ns), (4, 36 * H_NS));
        assert_eq!(settings.placement, Placement::default());
        let placed = read(&[("DEFAULT_LOCATION", "weur"), ("JURISDICTION", "eu")]).unwrap();
        let both = Placement { location: Some("weur"), jurisdiction: Some("eu") };
        assert_eq!(placed.placement, both);
        let outside = read(&[("DEFAULT_LOCATION", "oc"), ("JURISDICTION", "eu")]);
        let error = SettingsError::Outside { location: "oc", jurisdiction: "eu" };
        assert_eq!(outside, Err(error));
        let error = read(&[("JURISDICTION", "mars")]).unwrap_err().to_string();
        let says = "JURISDICTION is \"mars\", which is not one of eu, us, fedramp, fedramp-high";
        assert!(error.ends_with(says), "{error}");
        assert!(
            settings.cors_origins.allow("https://b") && !settings.cors_origins.allow("https://c")
        );
        let error = read(&[("DEFAULT_SHARDS", "0")]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the setting DEFAULT_SHARDS is \"0\", which is not a number from 1 to 64"
        );
    }

    #[test]
    fn short_admin_token_is_rejected() {
        for token in ["dev-token", "fifteen-letters", "    fifteen-letters     "] {
            let characters = token.trim().len();
            let error = read(&[("ADMIN_TOKEN", token)]).unwrap_err();
            assert_eq!(error, SettingsError::Guessable { name: "ADMIN_TOKEN", characters });
            let text = error.to_string();
            let says = format!("the secret ADMIN_TOKEN has only {characters} characters ");
            assert!(text.starts_with(&says) && text.contains("at least 16"), "{text}");
            assert!(!text.contains(token.trim()), "{text}");
        }
        let next = [("ADMIN_TOKEN", "sixteen-letters!"), ("ADMIN_TOKEN_NEXT", "short")];
        let error = SettingsError::Guessable { name: "ADMIN_TOKEN_NEXT", characters: 5 };
        assert_eq!(read(&next), Err(error));
        let settings = read(&[("ADMIN_TOKEN", " sixteen-letters!\n")]).unwrap();
        assert!(settings.admin_tokens[0].matches("sixteen-letters!"), "without the line break");
    }

    #[test]
    fn durations_need_known_units() {
        for (text, expected_ns) in [
            ("INF", 0),
            ("none", 0),
            ("0", 0),
            ("0mo", 0),
            ("90m", 90 * MINUTE_NS),
            ("2mo", 60 * D_NS),
            ("1y", 365 * D_NS),
            ("30days", 30 * D_NS),
            ("0days", 0),
            ("1day", D_NS),
            ("1h 30m", 90 * MINUTE_NS),
            ("1month 13h 30m", 2_630_016 * S_NS + 13 * H_NS + 30 * MINUTE_NS),
            ("1year 2M", (31_557_600 + 2 * 2_630_016) * S_NS),
            ("1y 1mo", 395 * D_NS),
            (" 3 hours  1min30sec ", 3 * H_NS + 90 * S_NS),
            ("2weeks 1s 1ms 1us 1ns", 2 * W_NS + 1_001_001_001),
        ] {
            assert_eq!(duration_ns(text), Some(expected_ns), "{text}");
        }
        for bad in ["", " ", "3", "d", "mo", "days", "3x", "1moon", "1 2days", "1.5y"] {
            assert_eq!(duration_ns(bad), None, "{bad}");
        }
        for negative in ["-1h", "-1y", "-1day", "1day -1h"] {
            assert_eq!(duration_ns(negative), None, "{negative}");
        }
        for too_long in [
            "99999999999w",
            "293years",
            "9223372036854775807y",
            "9223372036854775808ns",
            "292years 300days",
        ] {
            assert_eq!(duration_ns(too_long), None, "{too_long}");
        }
    }
}
