//! Serves `/api/v3/export?db=&rp=&measurement=&start=&end=&after=`. The route returns line protocol
//! in pieces, and the write API accepts the output unchanged.
//!
//! For each measurement and each [`Window`] of time, one SELECT reads all fields, grouped by all
//! tags. The memory limits of queries therefore apply, and SHOW QUERIES lists the export.
//!
//! A large export needs several requests, because the platform limits the calls of a request. With
//! the parameter `after` (empty in the first request), the response may end before the last point.
//! Its last line is then `# after: ` and the value of `after` for the next request. Without the
//! parameter, an export that exceeds the limit fails, because a client that ignores the last line
//! would mistake the points for the complete export. The value contains the tags of a series, which
//! may be too long for a URL. A POST therefore accepts the value as a form field.

use std::collections::BTreeMap;
use std::fmt;

use crate::action::Action;
use crate::error::{ApiError, ApiResult, invalid};
use crate::http::Parameters;
use crate::params::form_fields;
use crate::routes::handler::{BodyBytes, Delivery, PendingRequest, Request, RequestTarget};
use tidemark_coordinator::error::Error;
use tidemark_coordinator::load_schemas::{Load, SchemaSelection};
use tidemark_coordinator::query::Query;
use tidemark_coordinator::session::Session;
use tidemark_coordinator::{Io, Pieces};
use tidemark_engine::protocol::call::Address;
use tidemark_influxql::ast::Statement;
use tidemark_influxql::bound_params::Params;
use tidemark_influxql::{self, quote, time_literal};
use tidemark_line_protocol::{escape_field_key, escape_measurement, escape_tag};
use tidemark_model::grant::PermissionKind;
use tidemark_model::limits::{
    CALLS_RESERVED, EXPORTED_LINE_BYTES, REPLY_PIECE_BYTES, SHARDS_REQUESTED_AT_ONCE_MAX,
};
use tidemark_model::shard_map::ShardGroup;
use tidemark_model::value::FieldValue;
use tidemark_query::executor::RowPosition;
use tidemark_query::result::{ResultColumn, SeriesChunk};
use tidemark_response::number::json_float;

/// A byte order mark, which a reader removes from the beginning of a body.
const BOM: char = '\u{feff}';

pub(super) fn begin(request: &Request) -> ApiResult<PendingRequest> {
    let missing = "database is required: name it with the parameter db";
    let database = request.required("db", missing)?;
    Ok(PendingRequest::stream(respond).on(&database, request.url.filled("rp")))
}

async fn respond(request: Request, target: RequestTarget, body: BodyBytes) -> ApiResult<Action> {
    let RequestTarget { database, policy, .. } = target;
    let form = form_fields(&request.head, &body)?.unwrap_or_default();
    drop(body);
    let after = form.get("after").or(request.url.get("after"));
    let session = request.session(Some(database), None)?;
    let export = Export::parse(&request.url, after, session, policy)?;
    // The runtime compresses the body for clients that accept gzip.
    let mut delivery = Delivery::new(&request, "text/plain; charset=utf-8");
    let rest = export.run(&request.io, &mut delivery).await?;
    Ok(delivery.end(rest).await)
}

/// The parameters of an export.
struct Export {
    session: Session,
    policy: Option<String>,
    /// `None` exports all measurements.
    measurement: Option<String>,
    times: Window,
    /// Whether the request has the parameter `after`, so that the response may end early.
    may_end_early: bool,
    /// The value of `after`.
    start: Option<Position>,
}

impl Export {
    fn parse(
        url: &Parameters,
        after: Option<&str>,
        session: Session,
        mut policy: Option<String>,
    ) -> ApiResult<Self> {
        let time = |name: &str| url.filled(name).map(|text| time_ns(name, text)).transpose();
        let times = Window { start_ns: time("start")?, end_ns: time("end")? };
        let may_end_early = after.is_some();
        let start = after.filter(|text| !text.is_empty()).map(Position::parse);
        if start == Some(None) {
            return invalid("the parameter \"after\" must be a value from an earlier response");
        }
        let start = start.flatten();
        // The default policy may have changed since the previous response.
        if let Some(Position { policy: of_position, .. }) = &start {
            if policy.as_ref().is_some_and(|named| named != of_position) {
                return invalid(format!(
                    "the parameter \"after\" continues an export of retention policy \
                     \"{of_position}\", but the request names another policy"
                ));
            }
            policy = Some(of_position.clone());
        }
        let measurement = url.filled("measurement").map(str::to_owned);
        Ok(Self { session, policy, measurement, times, may_end_early, start })
    }

    /// Sends the points of every measurement and window. Returns the last bytes.
    async fn run(self, io: &Io, delivery: &mut Delivery) -> ApiResult<Vec<u8>> {
        let (policy, mut measurements, windows) = self.load(io).await?;
        let start_of = |measurement: &str, window: Window| Position {
            policy: policy.clone(),
            measurement: measurement.to_owned(),
            window,
            row: None,
        };
        let start = self.start.as_ref();
        let later = start.into_iter().flat_map(|start| {
            let later = windows.iter().filter_map(move |window| window.after(start.window));
            later.map(move |window| start_of(&start.measurement, window))
        });
        measurements.retain(|name| start.is_none_or(|start| *name > start.measurement));
        let others = measurements
            .iter()
            .flat_map(|name| windows.iter().map(move |window| start_of(name, *window)));
        let limits = io.with(|context| context.platform.limits())?;
        let most = limits.calls_before_end().saturating_sub(CALLS_RESERVED);
        let (mut out, calls_max) = (Vec::new(), io.calls_made() + most);
        'export: for mut position in start.cloned().into_iter().chain(later).chain(others) {
            let mut select = self.select(&policy, &position)?;
            loop {
                // A response ends early only if it contains at least one point, because the next
                // request would otherwise start at the same position.
                let may_end = self.may_end_early && start != Some(&position);
                let calls_max = if may_end { calls_max } else { usize::MAX };
                let chunk = match io.next_within(&mut select, calls_max).await? {
                    Ok(Some(chunk)) => chunk,
                    Ok(None) => break,
                    Err(refused) => {
                        out.extend_from_slice(format!("# after: {position}\n").as_bytes());
                        // If the SELECT is complete, its last request removes it from the list of
                        // queries.
                        drop(select);
                        let last = refused.into_iter().find(|it| it.to == Address::Catalog);
                        let ended = self.session.cleanup.take();
                        let call = ended.into_iter().chain(last).take(1).collect::<Vec<_>>();
                        if !call.is_empty() {
                            io.calls(call).await;
                        }
                        break 'export;
                    }
                };
                let name = chunk.name.as_deref().unwrap_or_default();
                if !delivery.is_streaming() && out.is_empty() && name.starts_with(BOM) {
                    // A reader would remove a byte order mark at the beginning of the body.
                    out.push(b'\n');
                }
                let mut next = 0;
                while next < chunk.rows {
                    next = lines(&chunk, next, &mut out);
                    if out.len() >= REPLY_PIECE_BYTES {
                        delivery.send(std::mem::take(&mut out)).await;
                    }
                }
                position.row = last_row(&chunk).or(position.row);
            }
        }
        Ok(out)
    }

    /// Returns the policy's name, the measurements in order of their names, and the windows. The
    /// export does not keep the schema, because a client may read slowly.
    async fn load(&self, io: &Io) -> ApiResult<(String, Vec<String>, Vec<Window>)> {
        let database = self.session.database.as_deref().unwrap_or_default();
        let load = Load::from_owner(database, SchemaSelection::Policy(self.policy.clone()));
        let loaded = load.for_caller(&self.session.principal).run(io).await?;
        let (policy, schema) = loaded.policy().ok_or_else(Error::unexpected_reply)?;
        loaded.permissions.check(PermissionKind::Read, database, &policy.name)?;
        let mut measurements: Vec<String> = schema.measurements.keys().cloned().collect();
        if let Some(only) = &self.measurement {
            measurements.retain(|name| name == only);
            if measurements.is_empty() {
                return Err(ApiError::NotFound(format!("measurement not found: \"{only}\"")));
            }
        }
        Ok((policy.name.clone(), measurements, Window::all(&policy.groups, self.times)))
    }

    fn select(&self, policy: &str, position: &Position) -> ApiResult<Pieces<SeriesChunk>> {
        let Position { measurement, window, row, .. } = position;
        let from = format!("{}.{}", quote::ident(policy), quote::ident(measurement));
        let text = format!("SELECT *::field FROM {from}{} GROUP BY *", window.condition());
        let statement = tidemark_influxql::parse_statement(&text, &Params::default());
        let Ok(Statement::Select(select)) = statement else {
            return Err(ApiError::Internal(format!(
                "the response contains a measurement without a name: \"{measurement}\""
            )));
        };
        let query = Query::select(*select, self.session.clone()).map_err(Error::from)?;
        Ok(query.after(row.clone()).execute())
    }
}

/// Parses a number of nanoseconds, or InfluxQL's time format.
fn time_ns(name: &str, text: &str) -> ApiResult<i64> {
    let parsed = text.parse().ok().or_else(|| time_literal::parse(text, |_| 0).ok());
    parsed.ok_or_else(|| {
        let expected = "expected nanoseconds or a time such as 2024-01-31T12:00:00Z";
        ApiError::Invalid(format!("invalid {name} \"{text}\": {expected}"))
    })
}

fn last_row(chunk: &SeriesChunk) -> Option<RowPosition> {
    let tags = chunk.tags.iter().filter(|(_, value)| !value.is_empty());
    let tags = tags.map(|(key, value)| (key.clone(), value.clone())).collect();
    let time_ns = *times_ns(chunk)?.last()?;
    Some(RowPosition { tags, time_ns })
}

fn times_ns(chunk: &SeriesChunk) -> Option<&[i64]> {
    chunk.values.iter().find_map(|column| match column {
        ResultColumn::Time(times) => Some(times.as_slice()),
        _ => None,
    })
}

/// Writes the points from row `from` until `out` has [`REPLY_PIECE_BYTES`]. Returns the next row.
/// Writes a point with many fields as several lines.
fn lines(chunk: &SeriesChunk, from: usize, out: &mut Vec<u8>) -> usize {
    let mut series = Vec::new();
    let name = chunk.name.as_deref().unwrap_or_default();
    escape_measurement(name, |piece| series.extend_from_slice(piece.as_bytes()));
    for (key, value) in chunk.tags.iter().filter(|(_, value)| !value.is_empty()) {
        series.push(b',');
        escape_tag(key, |piece| series.extend_from_slice(piece.as_bytes()));
        series.push(b'=');
        escape_tag(value, |piece| series.extend_from_slice(piece.as_bytes()));
    }
    for (row, time_ns) in times_ns(chunk).into_iter().flatten().enumerate().skip(from) {
        if out.len() >= REPLY_PIECE_BYTES {
            return row;
        }
        let mut start = out.len();
        out.extend_from_slice(&series);
        let mut separator = b' ';
        for (key, column) in chunk.columns.iter().zip(&chunk.values) {
            if let ResultColumn::Values(column) = column
                && let Some(value) = column.get(row)
            {
                let text_bytes = match &value {
                    FieldValue::String(text) => text.len(),
                    _ => 0,
                };
                if separator == b',' && out.len() - start + text_bytes > EXPORTED_LINE_BYTES {
                    out.extend_from_slice(format!(" {time_ns}\n").as_bytes());
                    start = out.len();
                    out.extend_from_slice(&series);
                    separator = b' ';
                }
                out.push(separator);
                separator = b',';
                escape_field_key(key, |piece| out.extend_from_slice(piece.as_bytes()));
                out.push(b'=');
                field(&value, out);
            }
        }
        out.extend_from_slice(format!(" {time_ns}\n").as_bytes());
    }
    chunk.rows
}

fn field(value: &FieldValue, out: &mut Vec<u8>) {
    match value {
        FieldValue::Float(number) => {
            // Writes accept only finite numbers.
            let _finite = json_float(*number, out);
        }
        FieldValue::Integer(number) => out.extend_from_slice(format!("{number}i").as_bytes()),
        FieldValue::Unsigned(number) => out.extend_from_slice(format!("{number}u").as_bytes()),
        FieldValue::Boolean(truth) => {
            out.extend_from_slice(if *truth { b"true" } else { b"false" })
        }
        FieldValue::String(text) => {
            out.push(b'"');
            for byte in text.bytes() {
                if matches!(byte, b'"' | b'\\') {
                    out.push(b'\\');
                }
                out.push(byte);
            }
            out.push(b'"');
        }
    }
}

/// A range of times that one SELECT of an export reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Window {
    /// `None` means the earliest possible time.
    start_ns: Option<i64>,
    /// The exclusive end; `None` means that the range has no end.
    end_ns: Option<i64>,
}

impl Window {
    /// Divides `times` into windows at the starts of shard groups. A window has about as many
    /// shards as a query calls at the same time. A query over all shards would call each of them
    /// several times.
    fn all(groups: &[ShardGroup], times: Self) -> Vec<Self> {
        let mut groups: Vec<&ShardGroup> = groups.iter().collect();
        groups.sort_by_key(|group| group.range.start_ns);
        let (mut windows, mut last, mut shards) = (Vec::new(), times, 0);
        for group in groups {
            let at_ns = group.range.start_ns;
            let is_inside = last.start_ns.is_none_or(|start_ns| start_ns < at_ns)
                && last.end_ns.is_none_or(|end_ns| at_ns < end_ns);
            if is_inside && shards >= SHARDS_REQUESTED_AT_ONCE_MAX {
                windows.push(Self { end_ns: Some(at_ns), ..last });
                last.start_ns = Some(at_ns);
                shards = 0;
            }
            if times.start_ns.is_none_or(|start_ns| start_ns < group.range.end_ns) {
                shards += group.shards.len();
            }
        }
        windows.push(last);
        windows
    }

    fn after(self, earlier: Self) -> Option<Self> {
        let from_ns = earlier.end_ns?;
        let start_ns = self.start_ns.map_or(from_ns, |start_ns| start_ns.max(from_ns));
        let is_empty = self.end_ns.is_some_and(|end_ns| end_ns <= start_ns);
        (!is_empty).then_some(Self { start_ns: Some(start_ns), ..self })
    }

    fn condition(self) -> String {
        let start = self.start_ns.map(|start_ns| format!("time >= {start_ns}"));
        let end = self.end_ns.map(|end_ns| format!("time < {end_ns}"));
        match [start, end].into_iter().flatten().collect::<Vec<_>>().join(" AND ").as_str() {
            "" => String::new(),
            both => format!(" WHERE {both}"),
        }
    }
}

/// A position in an export. The text form contains neither spaces nor quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Position {
    /// An export whose requests name no policy continues with this policy.
    policy: String,
    /// An export reads the measurements in order of their names.
    measurement: String,
    window: Window,
    row: Option<RowPosition>,
}

/// Separates the policy, the window, the measurement and the row with commas. Names are
/// percent-encoded.
impl fmt::Display for Position {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |number: Option<i64>| number.map_or(String::new(), |n| n.to_string());
        let Window { start_ns, end_ns } = self.window;
        write!(out, "{},{},{}", encoded(&self.policy), number(start_ns), number(end_ns))?;
        write!(out, ",{}", encoded(&self.measurement))?;
        let Some(row) = &self.row else { return Ok(()) };
        write!(out, ",{}", row.time_ns)?;
        for (key, value) in &row.tags {
            write!(out, ",{},{}", encoded(key), encoded(value))?;
        }
        Ok(())
    }
}

impl Position {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(',');
        let policy = decoded(parts.next()?);
        let mut number = || match parts.next()? {
            "" => Some(None),
            text => text.parse().ok().map(Some),
        };
        let window = Window { start_ns: number()?, end_ns: number()? };
        let measurement = decoded(parts.next()?);
        let mut row = None;
        if let Some(time) = parts.next() {
            let (time_ns, mut tags) = (time.parse().ok()?, BTreeMap::new());
            while let Some(key) = parts.next() {
                tags.insert(decoded(key), decoded(parts.next()?));
            }
            row = Some(RowPosition { tags, time_ns });
        }
        Some(Self { policy, measurement, window, row })
    }
}

fn encoded(name: &str) -> String {
    form_urlencoded::byte_serialize(name.as_bytes()).collect()
}

fn decoded(text: &str) -> String {
    let mut pairs = form_urlencoded::parse(text.as_bytes());
    pairs.next().map(|(name, _)| name.into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidemark_engine::batch::from_lines::from_lines;
    use tidemark_line_protocol::{Options, TimestampUnit};
    use tidemark_model::ids::ObjectId;
    use tidemark_model::name::{NameKind, check_writable};
    use tidemark_model::time::{Precision, TimeRange};
    use tidemark_query::result::Values;

    const LETTERS: [char; 15] =
        ['a', '#', ',', '=', ' ', '\t', '\n', '\r', '\0', '\\', '"', '\'', 'é', '\u{feff}', '1'];

    fn names() -> Vec<String> {
        let mut all = vec![String::new()];
        let mut last = all.clone();
        for _ in 0..3 {
            let longer = |name: &String| LETTERS.map(|letter| format!("{name}{letter}"));
            last = last.iter().flat_map(longer).collect();
            all.extend(last.iter().cloned());
        }
        all.push("time".to_owned());
        all
    }

    fn points([measurement, tag, value, field]: [&str; 4], times_ns: Vec<i64>) -> SeriesChunk {
        let ones = Values::Integer(vec![1; times_ns.len()]);
        let mut chunk = SeriesChunk::of_columns(Some(measurement), &["time", field], [ones]);
        chunk.values.insert(0, ResultColumn::Time(times_ns));
        chunk.tags = [(tag.to_owned(), value.to_owned())].into_iter().collect();
        chunk
    }

    /// Exports a point with these names and parses the output. Returns `None` unless the result is
    /// a single point.
    fn reparse([measurement, tag, value, field]: [&str; 4]) -> Option<[String; 4]> {
        let chunk = points([measurement, tag, value, field], vec![7]);
        // The line break comes first because a byte order mark at the beginning of a body would be
        // removed.
        let mut text = b"\n".to_vec();
        lines(&chunk, 0, &mut text);
        let options = Options::new(TimestampUnit::Fixed(Precision::Nanosecond), 0);
        let (batch, rejected) = from_lines(&text, options, 1).ok()?;
        let [found] = <[_; 1]>::try_from(batch.measurements).ok()?;
        let ([tag], [field]) = (found.tag_keys.as_slice(), found.field_keys.as_slice()) else {
            return None;
        };
        let value = found.block.series.tags.first()?.dictionary.get(0).to_owned();
        let is_whole = rejected.count == 0 && found.block.times_ns == [7];
        is_whole.then(|| [found.name, tag.clone(), value, field.clone()])
    }

    #[test]
    fn only_writable_names_can_be_exported() {
        let kinds =
            [NameKind::Measurement, NameKind::TagKey, NameKind::TagValue, NameKind::FieldKey];
        let mut kept = 0;
        for name in names() {
            for (at, kind) in kinds.into_iter().enumerate() {
                let mut names = ["m", "t", "x", "f"];
                names[at] = &name;
                let survives = reparse(names).is_some_and(|found| found == names);
                assert_eq!(check_writable(&name, kind).is_ok(), survives, "{kind:?} {name:?}");
                kept += usize::from(survives);
            }
        }
        assert!(kept > 1_000, "{kept}");
    }

    #[test]
    fn long_series_keys_are_written_in_parts() {
        let (rows, value) = (20, "x".repeat(60_000));
        let chunk = points(["m", "t", &value, "f"], (0..rows as i64).collect());
        let (mut next, mut text) = (0, Vec::new());
        while next < rows {
            let mut piece = Vec::new();
            next = lines(&chunk, next, &mut piece);
            assert!(piece.len() < REPLY_PIECE_BYTES + 2 * value.len(), "{}", piece.len());
            text.append(&mut piece);
        }
        let expected: String = (0..rows).map(|row| format!("m,t={value} f=1i {row}\n")).collect();
        assert!(text == expected.as_bytes());
    }

    #[test]
    fn export_position_round_trips_as_text() {
        let row = |tags: &[(&str, &str)]| RowPosition {
            tags: tags.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect(),
            time_ns: -7,
        };
        let window = Window { start_ns: Some(-9), end_ns: None };
        for (measurement, row) in [
            ("m", None),
            ("a, b=c\u{e9}%", Some(row(&[]))),
            ("+&;\"", Some(row(&[("k,=", "a b\t+"), ("x.y", "%2C&")]))),
        ] {
            let (policy, measurement) = ("a, p".to_owned(), measurement.to_owned());
            let position = Position { policy, measurement, window, row };
            let text = position.to_string();
            assert!(!text.contains([' ', '"', '\t']), "{text}");
            assert_eq!(Position::parse(&text), Some(position), "{text}");
        }
        for wrong in ["", "p", "p,1", "p,1,2", "p,x,,m", "p,,,m,x", "p,,,m,1,k", ",,m"] {
            assert_eq!(Position::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn export_windows_cover_time_once() {
        let group = |n: i64| ShardGroup {
            id: n as u64,
            range: TimeRange::new(n * 10, n * 10 + 10),
            shards: vec![ObjectId(String::new()); 4],
            split_bytes: 0,
        };
        let groups: Vec<ShardGroup> = [3, 0, 1, 2, 4].map(group).to_vec();
        let window = |start_ns, end_ns| Window { start_ns, end_ns };
        let all = Window::all(&groups, Window::default());
        let pairs = [window(None, Some(20)), window(Some(20), Some(40)), window(Some(40), None)];
        assert_eq!(all, pairs);
        let some = Window::all(&groups, window(Some(15), Some(25)));
        assert_eq!(some, [window(Some(15), Some(25))]);
        assert_eq!(Window::all(&[], Window::default()), [Window::default()]);
        let behind = |earlier: Window| all.iter().filter_map(|one| one.after(earlier)).count();
        assert_eq!((behind(pairs[0]), behind(pairs[1]), behind(pairs[2])), (2, 1, 0));
        assert_eq!(all[1].after(window(None, Some(30))), Some(window(Some(30), Some(40))));
    }
}
