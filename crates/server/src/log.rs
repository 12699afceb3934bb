//! Writes one JSON line per request for the operator. A line contains no secret: no token, header,
//! URL or query text.

use tidemark_model::limits::{LOGGED_DATABASE_CHARS_MAX, TINY_BATCH_POINTS};
use tidemark_model::time::MS_NS;
use tidemark_response::emitter::Emitter;

/// The requests that are logged (`LOG_REQUESTS`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogRequests {
    /// Every request.
    All,
    /// Requests with a status of 400 or higher.
    Errors,
    /// No request.
    None,
}

impl LogRequests {
    /// Parses the setting.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "all" => Some(Self::All),
            "errors" => Some(Self::Errors),
            "none" => Some(Self::None),
            _ => None,
        }
    }
}

/// The counts of an isolate's writes with status 204, or with status 400 and some stored points.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteCounts {
    /// The number of writes.
    pub writes: u64,
    /// The number of writes with fewer than [`TINY_BATCH_POINTS`] points.
    pub tiny: u64,
}

/// The log record of a request in progress.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// `Request-Id`
    pub id: String,
    /// The trace id, if the client sent one.
    pub trace: Option<String>,
    /// The method in upper case, or `other`.
    pub method: &'static str,
    /// The path's name in the route table, or `other`.
    pub route: &'static str,
    /// The database that the parameters name.
    pub database: Option<String>,
    /// The HTTP status; 0 until the response begins.
    pub status: u16,
    /// The number of stored points.
    pub points: u64,
    /// The size of the body as received, in bytes.
    pub bytes_in: u64,
    /// The class of the error, if the request failed.
    pub error: Option<&'static str>,
    /// The time when the head arrived, in nanoseconds since the epoch.
    pub started_ns: i64,
}

impl Record {
    /// Begins a record. `route` is the name of the path in the route table.
    pub fn new(id: &str, method: &str, route: &'static str, started_ns: i64) -> Self {
        const METHODS: [&str; 7] = ["GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH"];
        let method = METHODS.into_iter().find(|known| *known == method).unwrap_or("other");
        Self { id: id.to_owned(), method, route, started_ns, ..Self::default() }
    }

    fn is_tiny(&self) -> bool {
        (1..TINY_BATCH_POINTS).contains(&self.points)
    }

    /// Counts the request if it wrote points.
    pub fn count(&self, counts: &mut WriteCounts) {
        counts.writes += u64::from(self.points > 0);
        counts.tiny += u64::from(self.is_tiny());
    }

    /// Returns the line if `which` includes the request. Durations are whole milliseconds, the
    /// resolution of the platform's clock.
    pub fn line(&self, which: LogRequests, counts: WriteCounts, now_ns: i64) -> Option<String> {
        let wanted = match which {
            LogRequests::All => true,
            LogRequests::Errors => self.status >= 400,
            LogRequests::None => false,
        };
        if !wanted {
            return None;
        }
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
                // The id of a request is already limited, and must equal the id in the response.
                let chars_max = if key == "id" { text.len() } else { LOGGED_DATABASE_CHARS_MAX };
                out.string(&text.chars().take(chars_max).collect::<String>());
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
        String::from_utf8(out.take()).ok()
    }
}

/// Returns the trace id of `traceparent` (W3C Trace Context): 32 digits that are not all zero.
pub fn trace_id(traceparent: &str) -> Option<&str> {
    let is_hex = |text: &str| text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let mut fields = traceparent.split('-');
    let (version, trace) = (fields.next()?, fields.next()?);
    let (parent, flags) = (fields.next()?, fields.next()?);
    let widths = [(version, 2), (trace, 32), (parent, 16), (flags, 2)];
    // Later versions may have more fields. Version ff is invalid.
    let is_whole = widths.iter().all(|&(field, width)| field.len() == width && is_hex(field))
        && version != "ff"
        && (version != "00" || fields.next().is_none());
    let has_digit = |field: &str| field.bytes().any(|b| b != b'0');
    (is_whole && has_digit(trace) && has_digit(parent)).then_some(trace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_record_is_one_json_line() {
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
    fn log_hides_unknown_methods() {
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

    #[test]
    fn trace_id_needs_valid_traceparent() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let header = format!("00-{trace}-00f067aa0ba902b7-01");
        assert_eq!(trace_id(&header), Some(trace));
        assert_eq!(trace_id(&format!("{header}-more").replacen("00", "01", 1)), Some(trace));
        for bad in [
            String::new(),
            "00-secret-00f067aa0ba902b7-01".into(),
            format!("{header}-more"),
            header.replacen("00", "ff", 1),
            header.to_uppercase(),
            header.replace(trace, &"0".repeat(32)),
            header.replace("00f067aa0ba902b7", &"0".repeat(16)),
            header.replace("-01", ""),
        ] {
            assert_eq!(trace_id(&bad), None, "{bad}");
        }
    }
}
