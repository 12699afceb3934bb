//! Writes one JSON line per request for the operator. Nothing in it is secret: it has no token, no
//! header, no URL and no query text.

use crate::model::limits::{LOGGED_DATABASE_CHARS_MAX, TINY_BATCH_POINTS};
use crate::model::time::MS_NS;
use crate::response::emitter::Emitter;

/// Which requests are logged (`LOG_REQUESTS`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogRequests {
    /// Every one.
    All,
    /// Those answered with 400 or more.
    Errors,
    /// None.
    None,
}

impl LogRequests {
    /// Reads the setting.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "all" => Some(Self::All),
            "errors" => Some(Self::Errors),
            "none" => Some(Self::None),
            _ => None,
        }
    }
}

/// Writes that one isolate has answered with 204, or 400 with some points kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteCounts {
    /// Every request has a line.
    pub writes: u64,
    /// Those of fewer than [`TINY_BATCH_POINTS`] points: each costs as much as a large one.
    pub tiny: u64,
}

/// What is known of a request while it is in progress.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// `Request-Id`
    pub id: String,
    /// The trace that it is part of, if its client named one.
    pub trace: Option<String>,
    /// Upper-case method, or `other`.
    pub method: &'static str,
    /// What the table of routes calls the path; `other` for none of them.
    pub route: &'static str,
    /// The database that the parameters name.
    pub database: Option<String>,
    /// HTTP status; 0 until there is one.
    pub status: u16,
    /// The number of points that were kept.
    pub points: u64,
    /// Bytes of the body as the client sent it.
    pub bytes_in: u64,
    /// The kind of error that was answered, if one was.
    pub error: Option<&'static str>,
    /// When the head had come, nanoseconds since the epoch.
    pub started_ns: i64,
}

impl Record {
    /// Begins a record; `route` is what the table calls the path.
    pub fn new(id: &str, method: &str, route: &'static str, started_ns: i64) -> Self {
        const METHODS: [&str; 7] = ["GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH"];
        let method = METHODS.into_iter().find(|known| *known == method).unwrap_or("other");
        Self { id: id.to_owned(), method, route, started_ns, ..Self::default() }
    }

    /// Whether it is a write of fewer points than pay for themselves.
    fn is_tiny(&self) -> bool {
        (1..TINY_BATCH_POINTS).contains(&self.points)
    }

    /// Counts the request if it wrote anything.
    pub fn count(&self, counts: &mut WriteCounts) {
        counts.writes += u64::from(self.points > 0);
        counts.tiny += u64::from(self.is_tiny());
    }

    /// The line, if `which` wants it. Durations are whole milliseconds: the platform's clock has
    /// no finer ones.
    pub fn line(&self, which: LogRequests, counts: WriteCounts, now_ns: i64) -> Option<String> {
        let wanted = match which {
            LogRequests::All => true,
            LogRequests::Errors => self.status >= 400,
            LogRequests::None => false,
        };
        let mut out = Emitter::new(false);
        out.open(b'{');
        for (key, text) in [
            ("id", Some(self.id.as_str())),
            ("trace", self.trace.as_deref()),
            ("method", Some(self.method)),
            ("route", Some(self.route)),
            ("database", self.database.as_deref()),
            ("error", self.error),
        ] {
            if let Some(text) = text {
                out.key(key);
                out.string(&text.chars().take(LOGGED_DATABASE_CHARS_MAX).collect::<String>());
            }
        }
        let duration_ns = now_ns.saturating_sub(self.started_ns).max(0);
        let mut number = |key: &str, value: u64| {
            out.key(key);
            out.out().extend_from_slice(value.to_string().as_bytes());
        };
        number("status", self.status.into());
        number("bytes_in", self.bytes_in);
        number("duration_ms", (duration_ns / MS_NS).unsigned_abs());
        if self.points > 0 {
            number("points", self.points);
            number("tiny", self.is_tiny().into());
            number("writes", counts.writes);
            number("tiny_writes", counts.tiny);
        }
        out.close(b'}');
        wanted.then(|| String::from_utf8_lossy(&out.take()).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_one_line_of_json() {
        let mut record = Record::new("id-1", "POST", "/write", 5 * MS_NS);
        record.database = Some("a\"\n".to_owned() + &"b".repeat(100));
        (record.status, record.points, record.bytes_in) = (204, 99, 1_000);
        let mut counts = WriteCounts { writes: 4, tiny: 1 };
        record.count(&mut counts);
        let database = format!("a\\\"\\n{}", "b".repeat(61));
        let expected = format!(
            "{{\"id\":\"id-1\",\"method\":\"POST\",\"route\":\"/write\",\"database\":\"{database}\",\
             \"status\":204,\"bytes_in\":1000,\"duration_ms\":7,\"points\":99,\"tiny\":1,\
             \"writes\":5,\"tiny_writes\":2}}"
        );
        assert_eq!(record.line(LogRequests::All, counts, 12 * MS_NS), Some(expected));
        assert_eq!(record.line(LogRequests::Errors, counts, 0), None);
        record.points = TINY_BATCH_POINTS;
        record.count(&mut counts);
        assert_eq!(counts, WriteCounts { writes: 6, tiny: 2 });
    }

    #[test]
    fn errors_are_named_and_strangers_are_not_repeated() {
        let mut record = Record::new("x", "BREW", "other", 0);
        (record.status, record.error) = (404, Some("route"));
        assert_eq!(
            record.line(LogRequests::Errors, WriteCounts::default(), -1).as_deref(),
            Some(
                "{\"id\":\"x\",\"method\":\"other\",\"route\":\"other\",\"error\":\"route\",\
                 \"status\":404,\"bytes_in\":0,\"duration_ms\":0}"
            )
        );
        assert_eq!(record.line(LogRequests::None, WriteCounts::default(), 0), None);
    }
}
