//! Implements `tidemark import`: imports a file over HTTP.
//!
//! Batches are sent one after another, so that the last of several equal points overwrites the
//! others. A file next to the input stores the progress, so that a repeated command continues after
//! the last completed batch.

mod destination;
mod dump;
mod rows;
mod tally;

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use tidemark_model::limits::BODY_BYTES_MAX;
use tidemark_model::time::Precision;

use super::command_line::Arguments;
use super::deployment::import_deployment;
use super::http_client::{Request, Server, form};
use super::json::text;
use super::steps::must_respond;
use super::{CONNECTION, Command, quoted, replace_file};
use crate::Failure;
use crate::printable::printable;
use destination::{Destination, QueryResult, ensure, query, send};
use dump::{Dump, DumpLine, Lines};
use rows::{Shape, line_of};
use tally::{Tally, compare, count};

pub const COMMAND: Command = Command {
    name: "import",
    help: include_str!("../import.txt"),
    connection: CONNECTION,
    values: &[
        "access",
        "path",
        "database",
        "policy",
        "measurement",
        "tags",
        "precision",
        "batch-lines",
    ],
    switches: &[],
    run,
};

/// The size at which a batch is complete, in bytes. A batch may exceed this size by one point.
const BATCH_BYTES_MAX: usize = 1_000_000;
const PROGRESS: Duration = Duration::from_secs(1);
const SHOWN_CHARACTERS_MAX: usize = 200;

fn run(line: &Arguments) -> Result<ExitCode, Failure> {
    if let Some(file) = line.value("access") {
        if !line.words.is_empty() || line.value("database").is_some() {
            return Err(Failure::of(
                "--access imports a whole deployment: use it without --database and without \
                 another FILE.",
            ));
        }
        must_exist(file)?;
        import_deployment(&Server::of(line)?, Path::new(file))?;
        return Ok(ExitCode::SUCCESS);
    }
    let path = match (line.value("path"), line.words.first()) {
        (Some(_), Some(more)) => {
            let sentence = format!("Unexpected argument \"{more}\": name only one FILE");
            return Err(line.invalid(&sentence));
        }
        (Some(path), None) => path,
        (None, _) => line.only_word("FILE")?,
    };
    if path != "-" {
        must_exist(path)?;
    }
    let batch_lines = line.value("batch-lines").unwrap_or("5000").parse().unwrap_or(0);
    if batch_lines == 0 {
        return Err(Failure::of("--batch-lines must be a number of at least 1."));
    }
    let precision = line.value("precision").unwrap_or("ns");
    let precision = Precision::parse(precision).ok_or_else(|| {
        Failure(format!("--precision is \"{precision}\": choose ns, u, ms, s, m or h."))
    })?;
    if line.value("policy").is_some() && line.value("database").is_none() {
        return Err(Failure::of("--policy needs a database: add --database."));
    }
    if line.value("tags").is_some() && line.value("measurement").is_none() {
        return Err(Failure::of("--tags applies only to SQL rows: add --measurement."));
    }
    let tags = tag_columns(line.value("tags").unwrap_or_default());
    let shape = line.value("measurement").map(|measurement| Shape { measurement, tags });
    let server = Server::of(line)?;
    must_respond(&server)?;
    let owned = |name: &str| line.value(name).unwrap_or_default().to_owned();
    let destination = Destination { database: owned("database"), policy: owned("policy") };
    let rejected = Import::new(&server, path, shape, precision, batch_lines, destination)?.run()?;
    if rejected > 0 {
        return Err(Failure(format!("{rejected} lines were rejected, see above")));
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns the columns in a list such as `room, sensor`, in order.
fn tag_columns(list: &str) -> Vec<&str> {
    let tags = list.split(',').map(str::trim).filter(|tag| !tag.is_empty());
    BTreeSet::from_iter(tags).into_iter().collect()
}

fn must_exist(path: &str) -> Result<(), Failure> {
    match Path::new(path).exists() {
        true => Ok(()),
        false => Err(Failure(format!("{path} does not exist."))),
    }
}

struct NumberedLine {
    number: u64,
    text: Vec<u8>,
}

#[derive(Default)]
struct Batch {
    lines: Vec<NumberedLine>,
    bytes: usize,
    points: u64,
    /// The number of lines, bytes and points that precede the last point.
    before: (usize, usize, u64),
    /// Whether the last point contains a line that is not UTF-8.
    is_rejected: bool,
}

impl Batch {
    /// Adds a line. `begins` must be true if a point starts with this line. The server rejects
    /// every request that contains a line that is not UTF-8. If the line is not UTF-8, this
    /// function therefore removes the point from the batch and returns the line. Further lines of
    /// the removed point are ignored.
    fn add(&mut self, line: NumberedLine, begins: bool) -> Option<NumberedLine> {
        if begins {
            self.before = (self.lines.len(), self.bytes, self.points);
            self.is_rejected = false;
        }
        if self.is_rejected {
            return None;
        }
        if str::from_utf8(&line.text).is_err() {
            self.is_rejected = true;
            self.lines.truncate(self.before.0);
            (self.bytes, self.points) = (self.before.1, self.before.2);
            return Some(line);
        }
        self.bytes += line.text.len() + 1;
        self.points += u64::from(begins);
        self.lines.push(line);
        None
    }

    fn clear(&mut self) {
        self.lines.clear();
        (self.bytes, self.points) = (0, 0);
    }
}

/// The import of a file. The path `-` means standard input. An import from standard input or from a
/// pipe cannot be resumed.
struct Import<'a> {
    server: &'a Server,
    lines: Lines,
    /// The shape of SQL rows. If the shape is absent, the file contains line protocol.
    shape: Option<Shape<'a>>,
    precision: Precision,
    batch_lines: usize,
    is_file: bool,
    size: u64,
    state_file: PathBuf,
    /// The file, the server and the options, as the progress file contains them.
    input: Value,
    /// The values of `--database` and `--policy`, or empty texts.
    option: Destination,
    /// The database of the file that `--database` replaces.
    replaced: Option<String>,
    destination: Destination,
    known: HashSet<Destination>,
    tally: Tally,
    points: u64,
    points_before: u64,
    rejected: u64,
    batch: Batch,
    began: Instant,
    shown: Instant,
}

impl<'a> Import<'a> {
    fn new(
        server: &'a Server,
        path: &str,
        shape: Option<Shape<'a>>,
        precision: Precision,
        batch_lines: usize,
        destination: Destination,
    ) -> Result<Self, Failure> {
        // SQL rows are converted to lines with times in nanoseconds.
        let precision = if shape.is_some() { Precision::Nanosecond } else { precision };
        let file = (path != "-").then(|| fs::metadata(path)).transpose();
        let file = file.map_err(|reason| Failure::file("read", Path::new(path), reason))?;
        // A pipe, such as `<(…)` in a shell, has no folder for the progress file.
        let is_file = file.as_ref().is_some_and(fs::Metadata::is_file);
        let size = file.as_ref().map_or(0, fs::Metadata::len);
        // A changed file of the same size has another time of modification.
        let modified = file.and_then(|file| file.modified().ok());
        let input = json!({
            "url": server.url, "size": size, "modified": modified, "database": destination.database, "policy": destination.policy,
            "precision": precision.parameter(),
            "measurement": shape.as_ref().map(|shape| shape.measurement),
            "tags": shape.as_ref().map(|shape| &shape.tags),
        });
        Ok(Self {
            server,
            lines: Lines::open(Path::new(path))?,
            shape,
            precision,
            batch_lines,
            is_file,
            size,
            state_file: format!("{path}.progress").into(),
            input,
            option: destination.clone(),
            replaced: None,
            destination,
            known: HashSet::new(),
            tally: Tally::new(precision),
            points: 0,
            points_before: 0,
            rejected: 0,
            batch: Batch::default(),
            began: Instant::now(),
            shown: Instant::now(),
        })
    }

    /// Imports the file and compares its counts with the database. Returns the number of
    /// rejected lines.
    fn run(mut self) -> Result<u64, Failure> {
        let skip = self.resume()?;
        self.points_before = self.points;
        let mut dump = Dump::default();
        // The number of the line on which the last point starts, and the size of this point.
        let (mut point_line, mut point_bytes) = (0, 0);
        while let Some(line) = self.lines.next()? {
            let number = self.lines.count;
            let is_utf8 = str::from_utf8(&line).is_ok();
            let item = self.item(&mut dump, line)?;
            let is_full =
                self.batch.lines.len() >= self.batch_lines || self.batch.bytes >= BATCH_BYTES_MAX;
            let begins = matches!(item, DumpLine::Text { begins: true, .. });
            let moves = matches!(item, DumpLine::Database(_) | DumpLine::Policy(_));
            // The batch is full, or the following lines have a different destination.
            if number > skip && (moves || (is_full && begins)) {
                self.flush(number - 1)?;
            }
            match item {
                DumpLine::Nothing => {}
                DumpLine::Database(_) | DumpLine::Policy(_) | DumpLine::Statement(_)
                    if !is_utf8 =>
                {
                    return Err(Failure(format!(
                        "line {number} is not UTF-8: write text as UTF-8"
                    )));
                }
                DumpLine::Database(name) => self.enter(name, number)?,
                DumpLine::Policy(name) if self.option.policy.is_empty() => {
                    self.destination.policy = name;
                }
                DumpLine::Policy(_) => {}
                DumpLine::Statement(_) if number <= skip => {}
                DumpLine::Statement(q) if self.option.database.is_empty() => self.statement(&q)?,
                DumpLine::Statement(q) => stderr_line!("skipped, because --database is set: {q}"),
                DumpLine::Text { text, begins } => {
                    // The comparison includes the lines of earlier runs, but excludes invalid SQL
                    // rows.
                    if is_utf8 || self.shape.is_none() {
                        self.tally.add_line(&text, begins, &self.destination);
                    }
                    if begins {
                        (point_line, point_bytes) = (number, 0);
                    }
                    point_bytes += text.len() + 1;
                    if !begins && point_bytes > BODY_BYTES_MAX {
                        return Err(endless(point_line));
                    }
                    if number > skip {
                        self.add(NumberedLine { number, text }, begins);
                    }
                }
            }
        }
        self.flush(self.lines.count)?;
        if dump.in_string {
            return Err(endless(point_line));
        }
        if self.is_file {
            let _ = fs::remove_file(&self.state_file);
        }
        self.show(", done");
        let others = self.tally.others;
        compare(
            self.tally.counts(),
            others,
            |in_file| count(self.server, in_file),
            |line| stderr_line!("{line}"),
        );
        Ok(self.rejected)
    }

    /// Begins the lines of another database in the file. With `--database`, all lines go to the
    /// database of this option. This is an error if the file contains several databases, because
    /// their points would be mixed.
    fn enter(&mut self, database: String, number: u64) -> Result<(), Failure> {
        let option = &self.option.database;
        if option.is_empty() {
            self.destination.database = database;
            return Ok(());
        }
        match &self.replaced {
            Some(replaced) if *replaced != database => {
                return Err(Failure(format!(
                    "line {number} and later lines belong to database {}, but the earlier lines, \
                     which are already imported, belong to database {}: run the command without \
                     --database to import each database under its own name",
                    quoted(&database),
                    quoted(replaced)
                )));
            }
            None if database != *option => stderr_line!(
                "the lines of database {} are imported into {}",
                quoted(&database),
                quoted(option)
            ),
            _ => {}
        }
        self.replaced = Some(database);
        Ok(())
    }

    fn item(&self, dump: &mut Dump, line: Vec<u8>) -> Result<DumpLine, Failure> {
        let Some(shape) = &self.shape else { return Ok(dump.item(line)) };
        let Ok(row) = str::from_utf8(&line) else {
            return Ok(DumpLine::Text { text: line, begins: true });
        };
        if row.trim().is_empty() {
            return Ok(DumpLine::Nothing);
        }
        let number = self.lines.count;
        let text = line_of(row, shape)
            .map_err(|reason| Failure(format!("line {number} cannot be imported: {reason}")))?;
        Ok(DumpLine::Text { text: text.into_bytes(), begins: true })
    }

    fn add(&mut self, line: NumberedLine, begins: bool) {
        if let Some(line) = self.batch.add(line, begins) {
            show_line(&line, "invalid UTF-8: write text as UTF-8");
            self.rejected += 1;
        }
    }

    /// Returns the number of lines that an earlier run completed. Returns 0 if that run had a
    /// different file, a different server or different options.
    fn resume(&mut self) -> Result<u64, Failure> {
        if !self.is_file {
            return Ok(0);
        }
        let read = match fs::read(&self.state_file) {
            Ok(read) => read,
            Err(reason) if reason.kind() == ErrorKind::NotFound => return Ok(0),
            Err(reason) => return Err(Failure::file("read", &self.state_file, reason)),
        };
        let file = self.state_file.display();
        let state = serde_json::from_slice::<Value>(&read).unwrap_or_default();
        let number = |name: &str| {
            state.get(name).and_then(Value::as_u64).ok_or_else(|| {
                Failure(format!(
                    "{file} does not contain the progress of an import: delete {file} to import \
                     from the first line"
                ))
            })
        };
        let (lines, points, rejected) = (number("lines")?, number("points")?, number("rejected")?);
        if state.get("input") != Some(&self.input) {
            stderr_line!(
                "{file} belongs to an import with a different file, server or options: this import \
                 starts at the first line"
            );
            return Ok(0);
        }
        (self.points, self.rejected) = (points, rejected);
        stderr_line!("continuing after line {lines}, {} points", self.points);
        Ok(lines)
    }

    /// Sends the batch, and records that the first `lines` lines of the file are complete.
    fn flush(&mut self, lines: u64) -> Result<(), Failure> {
        if !self.batch.lines.is_empty() {
            self.send_batch()?;
        }
        self.batch.clear();
        if self.is_file {
            let state = json!({
                "input": self.input, "lines": lines, "points": self.points,
                "rejected": self.rejected,
            });
            replace_file(&self.state_file, &format!("{state}\n"))?;
        }
        if self.shown.elapsed() >= PROGRESS {
            self.show("");
        }
        Ok(())
    }

    fn send_batch(&mut self) -> Result<(), Failure> {
        if self.destination.database.is_empty() {
            return Err(Failure::of(
                "the input has no CONTEXT-DATABASE before the first point: use --database",
            ));
        }
        if !self.known.contains(&self.destination) {
            ensure(self.server, &self.destination)?;
            self.known.insert(self.destination.clone());
        }
        let given = [
            ("db", Some(self.destination.database.as_str())),
            ("rp", Some(self.destination.policy.as_str())),
            ("precision", Some(self.precision.parameter())),
        ];
        let path = format!("/write?{}", form(&given));
        let body = packed(&self.batch.lines)
            .map_err(|reason| Failure(format!("The lines cannot be compressed: {reason}.")))?;
        let request = Request::post(path, "text/plain; charset=utf-8", &body);
        let (status, text) = send(self.server, &request.with("Content-Encoding", "gzip"))?;
        // If a request contains invalid lines, the server stores the valid lines.
        let rejected = match status {
            400 | 422 => self.show_rejected(&text),
            _ => 0,
        };
        if status != 204 && rejected == 0 {
            let text = text.trim();
            return Err(Failure(format!("the server rejected the write: {status} {text}")));
        }
        self.rejected += rejected;
        self.points += self.batch.points.saturating_sub(rejected);
        Ok(())
    }

    /// Prints the rejected lines of a response with their numbers in the file. Returns the number
    /// of rejected lines.
    fn show_rejected(&self, response: &str) -> u64 {
        let response = serde_json::from_str::<Value>(response).unwrap_or_default();
        let message = text(&response, "message");
        let Some(rejected) = number_before(message, " lines rejected") else { return 0 };
        for line in message.lines() {
            let Some((before, reason)) = line.split_once(" (1-based): ") else { continue };
            let number = before.rsplit_once("line ").and_then(|(_, number)| number.parse().ok());
            let line =
                number.and_then(|number: usize| self.batch.lines.get(number.checked_sub(1)?));
            if let Some(line) = line {
                show_line(line, reason);
            }
        }
        rejected
    }

    fn show(&mut self, end: &str) {
        self.shown = Instant::now();
        let seconds = self.began.elapsed().as_secs_f64().max(0.001);
        let rate = ((self.points - self.points_before) as f64 / seconds).round();
        let percent = (100 * self.lines.bytes.get()).checked_div(self.size).unwrap_or(100);
        let part = if self.is_file { format!("{percent} % read, ") } else { String::new() };
        stderr_line!(
            "{part}{} lines, {} points written, {} lines rejected, {rate} points a second{end}",
            self.lines.count,
            self.points,
            self.rejected
        );
    }

    fn statement(&self, q: &str) -> Result<(), Failure> {
        let QueryResult { status, error, .. } = query(self.server, q)?;
        let Some(error) = error else { return Ok(()) };
        if status != 200 {
            return Err(Failure(format!("{q}: {error}")));
        }
        // As in InfluxDB's client, a conflict with an existing database or policy is reported but
        // is not an error.
        stderr_line!("{q}: {error}");
        Ok(())
    }
}

/// Prints a rejected line with its number in the file.
fn show_line(NumberedLine { number, text }: &NumberedLine, reason: &str) {
    let text = String::from_utf8_lossy(text);
    let text: String = text.trim_end_matches('\r').chars().take(SHOWN_CHARACTERS_MAX).collect();
    stderr_line!("line {number} rejected: {reason}\n  {}", printable(&text));
}

fn endless(line: u64) -> Failure {
    Failure(format!(
        "the point that begins on line {line} has a string that does not end: correct the quotes"
    ))
}

fn packed(batch: &[NumberedLine]) -> std::io::Result<Vec<u8>> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    for (at, line) in batch.iter().enumerate() {
        if at > 0 {
            packed.write_all(b"\n")?;
        }
        packed.write_all(&line.text)?;
    }
    packed.finish()
}

/// Returns the number that precedes `words` in a text.
fn number_before(text: &str, words: &str) -> Option<u64> {
    let (before, _) = text.split_once(words)?;
    before.rsplit(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;

    use super::*;

    #[test]
    fn import_removes_points_with_invalid_utf8() {
        let mut batch = Batch::default();
        let lines: [(&[u8], bool); 6] = [
            (b"m v=1", true),
            (b"m s=\"a", true),
            (b"\xff", false),
            (b"b\"", false),
            (b"m s=\"\xff\"", true),
            (b"m v=2", true),
        ];
        let mut rejected = Vec::new();
        for (number, (text, begins)) in (1..).zip(lines) {
            let line = NumberedLine { number, text: text.to_vec() };
            rejected.extend(batch.add(line, begins).map(|line| line.number));
        }
        assert_eq!(rejected, [3, 5]);
        let numbers: Vec<_> = batch.lines.iter().map(|line| line.number).collect();
        assert_eq!((numbers, batch.bytes, batch.points), (vec![1, 6], 12, 2));
    }

    #[test]
    fn import_resumes_only_with_same_options() {
        let path = std::env::temp_dir().join(format!("tidemark-import-{}", std::process::id()));
        let (path, state) = (path.display().to_string(), path.with_added_extension("progress"));
        fs::write(&path, "m v=1 1\n").unwrap();
        let server = Server::at("http://127.0.0.1:1", Duration::ZERO, Duration::ZERO);
        let import = |database: &str, precision| {
            let destination = Destination { database: database.to_owned(), policy: String::new() };
            Import::new(&server, &path, None, precision, 1, destination).unwrap()
        };
        let resume = |database: &str, precision| import(database, precision).resume();
        assert_eq!(resume("d", Precision::Second).unwrap(), 0);
        import("d", Precision::Second).flush(1).unwrap();
        assert_eq!(resume("d", Precision::Second).unwrap(), 1);
        assert_eq!(resume("d", Precision::Hour).unwrap(), 0);
        assert_eq!(resume("e", Precision::Second).unwrap(), 0);
        for damaged in ["", "{}", "{\"lines\":1"] {
            fs::write(&state, damaged).unwrap();
            let Failure(reason) = resume("d", Precision::Second).unwrap_err();
            assert!(reason.contains("delete"), "{reason}");
        }
        fs::remove_file(&state).unwrap();
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn tag_columns_are_trimmed_and_sorted() {
        assert_eq!(tag_columns("sensor, room,,sensor"), ["room", "sensor"]);
        assert_eq!(tag_columns(""), [""; 0]);
    }

    #[test]
    fn import_from_pipe_stores_no_progress() {
        let server = Server::at("http://127.0.0.1:1", Duration::ZERO, Duration::ZERO);
        let (reader, writer) = std::io::pipe().unwrap();
        drop(writer);
        let path = format!("/dev/fd/{}", reader.as_raw_fd());
        let none = Destination::default();
        let mut import = Import::new(&server, &path, None, Precision::Second, 1, none).unwrap();
        assert_eq!(import.resume().unwrap(), 0);
        import.flush(1).unwrap();
    }

    #[test]
    fn rejected_line_count_is_parsed() {
        assert_eq!(
            number_before("partial write: 12 lines rejected; …", " lines rejected"),
            Some(12)
        );
        assert_eq!(number_before("no lines rejected", " lines rejected"), None);
        assert_eq!(number_before("", " lines rejected"), None);
    }
}
