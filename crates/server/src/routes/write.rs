//! Serves the three write routes: passes the columns of a body to the coordinator, and converts the
//! outcome into a response. [`RejectedLines`] reports the rejected lines of a write, with the
//! reasons and with hints on how to correct the lines.

use std::fmt::Write as _;
use std::rc::Rc;

use crate::action::Action;
use crate::body_parser::ParsedBody;
use crate::error::{ApiError, ApiResult, ErrorShape, code, error_response};
use crate::headers::CREATED;
use crate::http::Response;
use crate::params::{Dialect, WriteParams};
use crate::routes::buckets::{bucket_not_found, policy_id};
use crate::routes::handler::{PendingRequest, Request, RequestTarget};
use tidemark_coordinator::error::Error;
use tidemark_coordinator::write::rejections::{LineRefusal, Rejections, Retention};
use tidemark_coordinator::write::window::Bound;
use tidemark_coordinator::write::{self, Created, WriteOutcome, WriteRequest};
use tidemark_engine::batch::Batch;
use tidemark_engine::protocol::database::{CreateDatabase, PolicySpec, RegisterRefusal};
use tidemark_influxql::time_literal::format_utc;
use tidemark_influxql::{duration, quote};
use tidemark_line_protocol::{Rejected, TimestampUnit};
use tidemark_model::grant::{PermissionKind, Scope};
use tidemark_model::limits::{REJECTED_LINE_EXCERPT_BYTES_MAX, REJECTED_LINES_NAMED_MAX};
use tidemark_model::time::Precision;
use tidemark_response::emitter::Emitter;

/// The parameters that apply to the whole write.
#[derive(Clone, Copy, Debug)]
struct WriteOptions {
    dialect: Dialect,
    precision: TimestampUnit,
    all_or_nothing: bool,
    pretty: bool,
    /// Whether the client named the bucket by its id. Such a write never creates a database,
    /// because the cache may contain a deleted bucket.
    is_by_id: bool,
}

pub(super) fn begin(request: &Request, dialect: Dialect) -> ApiResult<PendingRequest> {
    let params = WriteParams::parse(dialect, &request.url)?;
    let WriteParams { database, policy, precision, .. } = params;
    let may_be_id = dialect == Dialect::V2 && policy.is_none();
    let bucket_id = policy_id(&database).filter(|_| may_be_id);
    let options = WriteOptions {
        dialect,
        precision,
        all_or_nothing: dialect == Dialect::V3 && !params.accept_partial,
        pretty: request.url.get("pretty") == Some("true"),
        is_by_id: bucket_id.is_some(),
    };
    let pending = PendingRequest::lines(dialect, precision, move |request, target, body| {
        write(request, options, target, body)
    });
    let target = Some(RequestTarget { database, policy, policy_id: None });
    Ok(PendingRequest { target, bucket_id, ..pending })
}

async fn write(
    request: Request,
    options: WriteOptions,
    RequestTarget { database, policy, policy_id }: RequestTarget,
    ParsedBody { batch, rejected: unparsed, permit: _permit, text }: ParsedBody,
) -> ApiResult<Action> {
    let any_bad = unparsed.count + unparsed.without_time > 0;
    if batch.measurements.is_empty() || (options.all_or_nothing && any_bad) {
        let outcome = WriteOutcome::default();
        return Ok(respond(&request, options, &database, &unparsed, &outcome, &text));
    }
    let target = RequestTarget { database, policy, policy_id };
    let database = target.database.clone();
    let storing = StoreOptions {
        all_or_nothing: options.all_or_nothing,
        drops_429: options.dialect == Dialect::V1,
        may_create: !options.is_by_id,
    };
    let outcome = store(&request, target, batch, storing).await?;
    Ok(respond(&request, options, &database, &unparsed, &outcome, &text))
}

/// The options of [`store`].
#[derive(Clone, Copy, Debug)]
pub(super) struct StoreOptions {
    /// Whether one rejected point rejects all points.
    pub(super) all_or_nothing: bool,
    /// The member of [`ApiError::OverQuota`].
    pub(super) drops_429: bool,
    /// Whether the write creates a missing database if the settings and the caller's permissions
    /// allow it.
    pub(super) may_create: bool,
}

/// Stores a batch.
pub(super) async fn store(
    request: &Request,
    RequestTarget { database, policy, policy_id }: RequestTarget,
    batch: Batch,
    options: StoreOptions,
) -> ApiResult<WriteOutcome> {
    let (settings, caller) = (request.settings()?, request.caller().clone());
    // A permission may name a database that does not exist yet, so the caller of a write may create
    // it.
    let covers_database = caller.grants.scope(PermissionKind::Write, &database) == Scope::All;
    let auto_create = settings.auto_create_databases;
    let may_create = covers_database && auto_create && options.may_create;
    let caller_name = Rc::clone(&caller.name);
    let write = WriteRequest {
        database: database.clone(),
        policy,
        policy_id,
        principal: caller,
        batch,
        auto_create: may_create.then(|| CreateDatabase {
            name: database,
            policy: Some(PolicySpec {
                duration_ns: Some(settings.auto_create_retention_ns),
                ..PolicySpec::default()
            }),
            shards: settings.default_shards,
            location: None,
            jurisdiction: None,
        }),
        all_or_nothing: options.all_or_nothing,
    };
    match write::write(&request.io, write).await {
        Ok(outcome) => Ok(outcome),
        Err(Error::DatabaseNotFound(_) | Error::PolicyNotFound(_)) if let Some(id) = policy_id => {
            Err(bucket_not_found(&id.to_string()))
        }
        Err(Error::DatabaseNotFound(name)) => {
            let statement = format!("CREATE DATABASE {}", quote::ident(&name));
            let hint = match (covers_database, auto_create) {
                (true, true) => format!("; run {statement}"),
                (true, false) => format!(
                    "; writes do not create databases (AUTO_CREATE_DATABASES=false), so run \
                     {statement}"
                ),
                (false, _) => format!(
                    "; {caller_name} may write only to some policies of the database, so it \
                     cannot create the database: run {statement}, or use a token for the \
                     whole database"
                ),
            };
            Err(ApiError::DatabaseNotFound { name, hint })
        }
        Err(error) => Err(match error.into() {
            ApiError::OverQuota { message, retry_after_s, .. } => {
                ApiError::OverQuota { message, retry_after_s, drops_429: options.drops_429 }
            }
            error => error,
        }),
    }
}

/// Returns the response, and records the outcome for the log.
fn respond(
    request: &Request,
    options: WriteOptions,
    database: &str,
    unparsed: &Rejected,
    outcome: &WriteOutcome,
    text: &[u8],
) -> Action {
    let (mut response, mut refusal) = (Response::empty(204), None);
    if unparsed.count + unparsed.without_time + outcome.rejected.total > 0 {
        let rejected = RejectedLines::new(database, options, unparsed, outcome, text);
        response = rejected.response(options.pretty);
        refusal = Some(rejected.class());
    }
    if let Some(created) = &outcome.created {
        response = response.with_header(CREATED, created_header(database, created));
    }
    request.log_write(outcome.points_written, refusal);
    Action::Respond(response)
}

/// A rejected line in InfluxDB 3's format.
#[derive(Clone, Debug, PartialEq, Eq)]
struct RejectedLine {
    /// The 1-based number of the physical line on which the point starts.
    line: u32,
    /// "parsing" or "writing".
    doing: &'static str,
    /// The beginning of the line, if the body is still available.
    excerpt: Option<String>,
    cause: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct RejectedLines {
    dialect: Dialect,
    message: String,
    /// The text of v1's `error` and of the header: the message of [`type_conflict`] or of
    /// [`outside_window`], or `message`.
    short_message: String,
    /// The reported lines, in ascending order.
    lines: Vec<RejectedLine>,
    /// Whether one invalid line rejects all lines (v3's `accept_partial=false`).
    all_or_nothing: bool,
    /// Whether the retention policy accepts the time of no point.
    all_outside: bool,
}

/// Returns the beginning of the message. Many clients of 1.x and 2.x repeat a refused write
/// permanently unless its error contains the words of these versions.
fn beginning(dialect: Dialect, unparsed: u64, outcome: &WriteOutcome) -> String {
    let mut words = Vec::new();
    let outside_retention = outcome.rejected.outside_retention;
    if outside_retention > 0 && dialect != Dialect::V3 {
        words.push(format!("points beyond retention policy dropped={outside_retention}"));
    }
    if unparsed > 0 && dialect != Dialect::V3 {
        words.push(format!("unable to parse {unparsed} line(s)"));
    }
    // Clients of 2.x recognize the words above, but not 1.12's words for the write window.
    let has_known_words = !words.is_empty();
    let outside_window = outcome.rejected.outside_window;
    if outside_window > 0 && dialect != Dialect::V3 {
        let limits = outcome.rejected.retention.as_ref().map(Retention::limits);
        let limits = limits.unwrap_or_default();
        words.push(format!("{outside_window} points outside write window ({limits})"));
    }
    let state = match outcome.points_written {
        0 => "no data written",
        _ => "partial write has occurred",
    };
    let is_partial_write = match dialect {
        Dialect::V1 => outcome.points_written == 0 || has_known_words,
        // The Go client of 2.x recognizes either the words above or the words "partial write", so
        // only one of them is necessary.
        Dialect::V2 => outcome.points_written == 0 && !has_known_words,
        Dialect::V3 => false,
    };
    if is_partial_write {
        words.extend((outcome.points_written == 0).then(|| state.to_owned()));
        return format!("partial write: {}", words.join(", "));
    }
    words.insert(0, state.to_owned());
    words.join(", ")
}

/// Returns 1.x's message if all listed lines have a field with another type than its earlier
/// values. OpenEMS and programs with aioinflux parse this message, and then convert the values.
fn type_conflict(dialect: Dialect, unparsed: &Rejected, rejected: &Rejections) -> Option<String> {
    if dialect == Dialect::V3 || unparsed.count > 0 || rejected.outside() > 0 {
        return None;
    }
    let is_conflict = |cause: &LineRefusal| {
        matches!(cause, LineRefusal::Columns(RegisterRefusal::TypeConflict { .. }))
    };
    let first = &rejected.named.first()?.cause;
    let all = rejected.named.iter().all(|line| is_conflict(&line.cause));
    all.then(|| format!("partial write: {first} dropped={}", rejected.total))
}

/// Returns 1.12's message if every rejected line is outside of the retention period or of the write
/// window, and the policy has a write window.
fn outside_window(database: &str, unparsed: &Rejected, rejected: &Rejections) -> Option<String> {
    let retention = rejected.retention.as_ref()?;
    let all = unparsed.count == 0 && rejected.outside() == rejected.total;
    let summary = rejected.summary().filter(|_| all)?;
    let (dropped, policy) = (rejected.total, &retention.policy);
    Some(format!(
        "partial write: {summary} dropped={dropped} for database: {database} for retention policy: \
         {policy}"
    ))
}

impl RejectedLines {
    /// Describes the lines that the parser or the schema rejected, in order of line numbers.
    fn new(
        database: &str,
        options: WriteOptions,
        unparsed: &Rejected,
        outcome: &WriteOutcome,
        text: &[u8],
    ) -> Self {
        let lines = rejected_lines(unparsed, outcome, text);
        let all = unparsed.count + unparsed.without_time + outcome.rejected.total;
        let without_time = if options.all_or_nothing { 0 } else { unparsed.without_time };
        let rejected = all - without_time;
        let written = outcome.points_written;
        let beginning = beginning(options.dialect, unparsed.count, outcome);
        let mut message = format!("{beginning}, errors encountered on line(s):");
        for RejectedLine { line, doing, cause, .. } in &lines {
            // Writing to a string cannot fail.
            let _ = write!(message, "\nerror {doing} line {line} (1-based): {cause}");
        }
        let named = lines.len() as u64;
        if all > named {
            let _ = write!(message, "\nand {} more", all - named);
        }
        let advice = [
            retention(database, outcome),
            window(database, outcome),
            other_unit(options.precision, outcome),
        ];
        for advice in advice.into_iter().flatten() {
            message = message + "\n" + &advice;
        }
        let _ = write!(message, "\n{written} points written, {rejected} lines rejected");
        if without_time > 0 {
            let _ = write!(message, ", {without_time} written without their field \"time\"");
        }
        let outside = outcome.rejected.outside();
        let conflict = type_conflict(options.dialect, unparsed, &outcome.rejected);
        if let (Dialect::V2, Some(conflict)) = (options.dialect, &conflict) {
            // OpenEMS reads only `message`, and recognizes 1.x's message only at the end of a
            // single line.
            let line = message.replace(":\n", ": ").replace('\n', "; ");
            message = format!("{line}; {conflict}");
        }
        let dropped = outside_window(database, unparsed, &outcome.rejected);
        let dropped = dropped.filter(|_| options.dialect == Dialect::V1);
        let short_message = conflict.or(dropped).unwrap_or_else(|| message.clone());
        Self {
            dialect: options.dialect,
            message,
            short_message,
            lines,
            all_or_nothing: options.all_or_nothing,
            all_outside: written == 0 && rejected > 0 && outside == rejected,
        }
    }

    /// Returns 422 if all points are too old, as 2.x does, or outside of the write window. Clients of 1.x expect 400.
    fn status(&self) -> u16 {
        if self.all_outside && self.dialect != Dialect::V1 { 422 } else { 400 }
    }

    fn class(&self) -> &'static str {
        if self.all_outside { "retention" } else { "rejected lines" }
    }

    fn response(&self, pretty: bool) -> Response {
        let (shape, status) = (ErrorShape::Write(self.dialect), self.status());
        let messages = [self.message.as_str(), &self.short_message];
        error_response(shape, status, code(status), messages, pretty, |out| {
            match self.dialect {
                Dialect::V3 => self.list(out),
                Dialect::V2 => {}
                Dialect::V1 => {
                    out.key("error");
                    out.string(&self.short_message);
                }
            }
            if let Some(first) = self.lines.first() {
                out.key("line");
                out.out().extend_from_slice(first.line.to_string().as_bytes());
            }
        })
    }

    /// Writes the rejected lines as InfluxDB 3 does: as a list, or only the first line if one
    /// invalid line rejects all lines.
    fn list(&self, out: &mut Emitter) {
        let alone = self.all_or_nothing;
        out.key("error");
        out.string(match alone {
            true => "parsing failed for write_lp endpoint",
            false => "partial write of line protocol occurred",
        });
        out.key("data");
        if !alone {
            out.open(b'[');
        }
        for line in self.lines.iter().take(if alone { 1 } else { self.lines.len() }) {
            if !alone {
                out.next();
            }
            out.open(b'{');
            if let Some(excerpt) = &line.excerpt {
                out.key("original_line");
                out.string(excerpt);
            }
            out.key("line_number");
            out.out().extend_from_slice(line.line.to_string().as_bytes());
            out.key("error_message");
            out.string(&line.cause);
            out.close(b'}');
        }
        if !alone {
            out.close(b']');
        }
    }
}

/// Returns the first rejected lines in ascending order. `body` is empty if the server did not keep
/// it.
fn rejected_lines(unparsed: &Rejected, outcome: &WriteOutcome, body: &[u8]) -> Vec<RejectedLine> {
    let line = |line, doing, cause| RejectedLine { line, doing, excerpt: None, cause };
    let unparsed = unparsed.named.iter();
    let parsing = unparsed.map(|error| line(error.line, "parsing", error.to_string()));
    let refused = outcome.rejected.named.iter();
    let writing = refused.map(|refused| line(refused.line, "writing", cause(&refused.cause)));
    let mut lines: Vec<RejectedLine> = parsing.chain(writing).collect();
    lines.sort_by_key(|line| line.line);
    lines.truncate(REJECTED_LINES_NAMED_MAX);
    let mut physical = body.split(|&byte| byte == b'\n').zip(1..).peekable();
    for line in &mut lines {
        while physical.next_if(|(_, number)| *number < line.line).is_some() {}
        line.excerpt = physical.peek().and_then(|(text, _)| excerpt(text));
    }
    lines
}

/// Returns the first [`REJECTED_LINE_EXCERPT_BYTES_MAX`] bytes of a physical line.
fn excerpt(line: &[u8]) -> Option<String> {
    let beginning = line.get(..REJECTED_LINE_EXCERPT_BYTES_MAX).unwrap_or(line);
    let text = String::from_utf8_lossy(beginning);
    (!line.is_empty()).then(|| text.trim_end_matches(['\r', '\u{fffd}']).to_owned())
}

/// Returns the percent-encoded database and policy, and the policy's retention period.
pub(super) fn created_header(database: &str, created: &Created) -> String {
    let encoded = |name: &str| -> String {
        form_urlencoded::byte_serialize(name.as_bytes())
            .map(|part| part.replace('+', "%20"))
            .collect()
    };
    let (database, policy) = (encoded(database), encoded(&created.policy));
    format!("{database}/{policy}; retention={}", format_retention(created.duration_ns))
}

fn format_retention(duration_ns: i64) -> String {
    if duration_ns == 0 { "INF".to_owned() } else { duration::format(duration_ns) }
}

/// Returns the text of a refusal with the times and types that help to correct the point.
pub(super) fn cause(refusal: &LineRefusal) -> String {
    match refusal {
        LineRefusal::Columns(RegisterRefusal::TypeConflict { existing, requested, .. }) => {
            format!("{refusal}: {}", requested.hint(*existing))
        }
        LineRefusal::Columns(_) | LineRefusal::Stored(_) | LineRefusal::Series(_) => {
            refusal.to_string()
        }
        LineRefusal::Retention { oldest_kept_ns, time_ns, .. } => {
            format!("{refusal}: {} is before {}", format_utc(*time_ns), format_utc(*oldest_kept_ns))
        }
        LineRefusal::Window { is_future, bound_ns, time_ns, .. } => {
            let (time, bound) = (format_utc(*time_ns), format_utc(*bound_ns));
            match is_future {
                true => format!("{refusal}: {time} is after {bound} (FUTURE LIMIT)"),
                false => format!("{refusal}: {time} is before {bound} (PAST LIMIT)"),
            }
        }
    }
}

fn retention(database: &str, outcome: &WriteOutcome) -> Option<String> {
    let rejected = &outcome.rejected;
    let retention = rejected.retention.as_ref().filter(|_| rejected.outside_retention > 0)?;
    let older = match rejected.outside_retention {
        1 => "1 line is".to_owned(),
        lines => format!("{lines} lines are"),
    };
    let since = format_utc(retention.window.bound_ns(Bound::Retention));
    let kept = format_retention(retention.duration_ns);
    let (quoted, policy) = (quote::ident(database), quote::ident(&retention.policy));
    Some(if retention.absent {
        let with = if policy == "autogen" { String::new() } else { format!(" WITH NAME {policy}") };
        format!(
            "{older} older than {since}: database \"{database}\" does not exist yet, and a database that a \
             write creates keeps points for {kept} (AUTO_CREATE_RETENTION); to keep points \
             permanently, first run CREATE DATABASE {quoted}{with}, or set AUTO_CREATE_RETENTION \
             to INF"
        )
    } else {
        format!(
            "{older} older than {since}: retention policy \"{}\" of database \"{database}\" keeps points for \
             {kept}; to keep them: ALTER RETENTION POLICY {policy} ON {quoted} DURATION INF",
            retention.policy
        )
    })
}

fn window(database: &str, outcome: &WriteOutcome) -> Option<String> {
    let rejected = &outcome.rejected;
    let retention = rejected.retention.as_ref().filter(|_| rejected.outside_window > 0)?;
    let outside = match rejected.outside_window {
        1 => "1 line is".to_owned(),
        lines => format!("{lines} lines are"),
    };
    let (quoted, policy) = (quote::ident(database), quote::ident(&retention.policy));
    Some(format!(
        "{outside} outside of the write window ({}) of retention policy \"{}\" of database \
         \"{database}\"; to accept every time: ALTER RETENTION POLICY {policy} ON {quoted} FUTURE \
         LIMIT 0s PAST LIMIT 0s",
        retention.limits(),
        retention.policy
    ))
}

/// Returns a hint on the likely unit, if the rejected timestamps are too small for the requested
/// unit.
fn other_unit(precision: TimestampUnit, outcome: &WriteOutcome) -> Option<String> {
    let TimestampUnit::Fixed(given) = precision else { return None };
    let meant = outcome.rejected.named.iter().find_map(|line| {
        let (LineRefusal::Retention { time_ns, .. }
        | LineRefusal::Window { is_future: false, time_ns, .. }) = line.cause
        else {
            return None;
        };
        let unit = Precision::of_magnitude(time_ns / given.unit_ns())?;
        (unit.unit_ns() > given.unit_ns()).then_some(unit)
    })?;
    let (unit, parameter) = (meant.plural(), meant.parameter());
    Some(format!("the rejected timestamps look like {unit}; write with precision={parameter}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidemark_coordinator::write::rejections::RejectedLine;
    use tidemark_engine::protocol::database::RegisterRefusal;
    use tidemark_line_protocol::{Cause, LineError, TimestampUnit};
    use tidemark_model::time::Precision;

    fn options(dialect: Dialect) -> WriteOptions {
        let precision = TimestampUnit::Fixed(Precision::Nanosecond);
        let (all_or_nothing, pretty, is_by_id) = (false, false, false);
        WriteOptions { dialect, precision, all_or_nothing, pretty, is_by_id }
    }

    fn unparsed(lines: &[u32], count: u64) -> Rejected {
        let error = |&line: &u32| LineError { line, column: 4, cause: Cause::MissingFields };
        Rejected { count, named: lines.iter().map(error).collect(), without_time: 0 }
    }

    fn outcome(points_written: u64, lines: &[u32], outside_retention: u64) -> WriteOutcome {
        let refused = |&line: &u32| RejectedLine {
            line,
            cause: LineRefusal::Columns(RegisterRefusal::TooLarge { measurement: "m".into() }),
        };
        let named: Vec<_> = lines.iter().map(refused).collect();
        let total = named.len() as u64;
        let rejected = Rejections { named, total, outside_retention, ..Rejections::default() };
        WriteOutcome { points_written, rejected, created: None }
    }

    fn refused(unparsed: &Rejected, outcome: &WriteOutcome, text: &[u8]) -> RejectedLines {
        RejectedLines::new("d", options(Dialect::V1), unparsed, outcome, text)
    }

    #[test]
    fn rejected_lines_are_listed_in_order() {
        let body = b"a\nm v= 1\n\nm v=\"twenty bytes and more\"\r\n\n\n\n\n\xc3\xbc v";
        let rejected = refused(&unparsed(&[2, 9], 2), &outcome(5, &[4], 0), body);
        let text = &rejected.message;
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0],
            "partial write: unable to parse 2 line(s), errors encountered on line(s):"
        );
        assert!(lines[1].starts_with("error parsing line 2 (1-based): missing fields"), "{text}");
        assert!(
            lines[2].starts_with("error writing line 4 (1-based): the column names of measurement"),
            "{text}"
        );
        assert!(lines[3].starts_with("error parsing line 9 (1-based): "), "{text}");
        assert_eq!(lines[4], "5 points written, 3 lines rejected");
        assert!(!rejected.all_or_nothing && !rejected.all_outside);
        let excerpts: Vec<_> =
            rejected.lines.iter().map(|l| (l.line, l.excerpt.as_deref())).collect();
        let fourth = Some("m v=\"twenty bytes an");
        assert_eq!(excerpts, [(2, Some("m v= 1")), (4, fourth), (9, Some("ü v"))]);
    }

    #[test]
    fn only_fully_expired_write_returns_422() {
        let refusal = |dialect, parsing, outcome| {
            RejectedLines::new("d", options(dialect), &parsing, &outcome, b"").status()
        };
        assert_eq!(refusal(Dialect::V2, unparsed(&[], 0), outcome(0, &[1, 2], 2)), 422);
        assert_eq!(refusal(Dialect::V1, unparsed(&[], 0), outcome(0, &[1, 2], 2)), 400);
        assert_eq!(refusal(Dialect::V2, unparsed(&[3], 1), outcome(0, &[1, 2], 2)), 400);
        assert_eq!(refusal(Dialect::V2, unparsed(&[], 0), outcome(1, &[2], 1)), 400);
    }

    #[test]
    fn only_type_conflicts_have_short_message() {
        use Dialect::{V1, V2, V3};
        use tidemark_model::value::FieldType;
        let conflict = |line, field: &str| RejectedLine {
            line,
            cause: LineRefusal::Columns(RegisterRefusal::TypeConflict {
                measurement: "data".into(),
                field: field.into(),
                existing: FieldType::Integer,
                requested: FieldType::Float,
            }),
        };
        let conflicts = |points_written, other: &[u32], outside_retention| {
            let mut outcome = outcome(points_written, other, outside_retention);
            outcome.rejected.total += 2;
            outcome.rejected.named.extend([conflict(3, "f"), conflict(5, "g")]);
            outcome
        };
        let rejected = |dialect, unparsed: &Rejected, outcome: &WriteOutcome| {
            RejectedLines::new("d", options(dialect), unparsed, outcome, b"")
        };
        let text = "partial write: field type conflict: input field \"f\" on measurement \"data\" \
                    is type float, already exists as type integer dropped=2";
        let none = unparsed(&[], 0);
        for points_written in [0, 7] {
            let outcome = conflicts(points_written, &[], 0);
            for dialect in [V1, V2] {
                let rejected = rejected(dialect, &none, &outcome);
                assert_eq!(rejected.short_message, text);
                let message = rejected.message;
                assert!(message.contains("error writing line 5 (1-based): "), "{message}");
                assert!(message.contains("2 lines rejected"), "{message}");
                // OpenEMS's regular expression matches one line.
                let is_for_openems = !message.contains('\n') && message.ends_with(text);
                assert_eq!(is_for_openems, dialect == V2, "{message}");
            }
        }
        for (dialect, unparsed, outcome) in [
            (V3, unparsed(&[], 0), conflicts(0, &[], 0)),
            (V2, unparsed(&[], 0), conflicts(0, &[1], 0)),
            (V1, unparsed(&[], 0), conflicts(0, &[], 1)),
            (V1, unparsed(&[1], 1), conflicts(0, &[], 0)),
        ] {
            let rejected = rejected(dialect, &unparsed, &outcome);
            assert_eq!(rejected.short_message, rejected.message);
        }
    }

    #[test]
    fn message_begins_with_words_that_clients_search() {
        use Dialect::{V1, V2, V3};
        let old = "points beyond retention policy dropped=1";
        for (dialect, unparsed, points_written, outside_retention, expected) in [
            (V1, 0, 2, 1, format!("partial write: {old}")),
            (V1, 0, 0, 1, format!("partial write: {old}, no data written")),
            (V1, 0, 0, 0, "partial write: no data written".to_owned()),
            (V1, 3, 0, 0, "partial write: unable to parse 3 line(s), no data written".to_owned()),
            (V1, 0, 2, 0, "partial write has occurred".to_owned()),
            (V2, 3, 0, 0, "no data written, unable to parse 3 line(s)".to_owned()),
            (V2, 0, 0, 0, "partial write: no data written".to_owned()),
            (V2, 0, 2, 0, "partial write has occurred".to_owned()),
            (V3, 0, 0, 0, "no data written".to_owned()),
            (V3, 3, 0, 1, "no data written".to_owned()),
        ] {
            let outcome = outcome(points_written, &[1], outside_retention);
            assert_eq!(beginning(dialect, unparsed, &outcome), expected);
        }
    }
}
