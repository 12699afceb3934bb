//! Implements `tidemark export`: exports a database as line protocol or as daily Parquet files, or
//! exports a deployment's definitions and access control.

use std::fs::{File, remove_file, rename};
use std::io::{self, BufRead as _, BufReader, BufWriter, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::command_line::Arguments;
use super::deployment::export_deployment;
use super::http_client::{FORM, Request, Response, Server, form};
use super::parquet::export_parquet;
use super::steps::{must_respond, until_success};
use super::{CONNECTION, Command, print_piece};
use crate::Failure;

pub const COMMAND: Command = Command {
    name: "export",
    help: include_str!("export.txt"),
    connection: CONNECTION,
    values: &["database", "policy", "measurement", "start", "end", "format", "access", "out"],
    switches: &[],
    run,
};

const LINE_BYTES_MAX: u64 = 64 << 20;
const PIECE_BYTES: usize = 64 << 10;

fn run(line: &Arguments) -> Result<ExitCode, Failure> {
    if let Some(file) = line.value("access") {
        if !line.words.is_empty() || line.value("database").is_some() {
            return Err(Failure::of(
                "--access exports a whole deployment: use it without --database and without a \
                 FOLDER.",
            ));
        }
        export_deployment(&Server::of(line)?, Path::new(file))?;
        return Ok(ExitCode::SUCCESS);
    }
    let format = line.value("format").unwrap_or("lines");
    let (out, database) = (line.value("out"), line.value("database"));
    let names =
        Failure::of("Name the database with --database DB. Only --format parquet takes a FOLDER.");
    let (Some(database), [] | [_]) = (database, &line.words[..]) else { return Err(names) };
    match (format, line.words.first()) {
        ("parquet", Some(folder)) if out.is_none() => {
            export_parquet(&Server::of(line)?, line, database, Path::new(folder))?;
        }
        ("parquet", _) => {
            return Err(Failure::of(
                "A Parquet export writes several files: name a FOLDER, without --out.",
            ));
        }
        (_, Some(_)) => return Err(names),
        ("lines", None) => export_lines(&Server::of(line)?, line, database, out)?,
        _ => return Err(Failure(format!("--format is \"{format}\": choose lines or parquet."))),
    }
    Ok(ExitCode::SUCCESS)
}

/// Requests the next part of an export. Retries after temporary failures. `after` is the position
/// in the previous response.
fn part_of(server: &Server, line: &Arguments, after: Option<&str>) -> Result<Response, Failure> {
    let path = form(&[
        ("db", line.value("database")),
        ("rp", line.value("policy")),
        ("measurement", line.value("measurement")),
        ("start", line.value("start")),
        ("end", line.value("end")),
        ("after", after.is_none().then_some("")),
    ]);
    let path = format!("/api/v3/export?{path}");
    // A position contains the tags of a series, so its length may exceed the maximum length of a
    // URL.
    match after.map(|after| form(&[("after", Some(after))])) {
        None => until_success(server, &Request::new("GET", path), Ok),
        Some(body) => until_success(server, &Request::post(path, FORM, body.as_bytes()), Ok),
    }
}

/// Writes the header and all points in the format of `tidemark import`. Each response ends before
/// the server reaches its limit of calls, and contains the position of the next request.
fn write_lines(
    server: &Server,
    line: &Arguments,
    database: &str,
    first: Response,
    mut write: impl FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut head = format!("# DML\n# CONTEXT-DATABASE: {database}\n");
    if let Some(policy) = line.value("policy") {
        head += &format!("# CONTEXT-RETENTION-POLICY: {policy}\n");
    }
    write(head.as_bytes())?;
    let (mut response, mut after) = (first, None);
    loop {
        let next = points(response.reader(), &mut write)?;
        let Some(position) = &next else { return Ok(()) };
        if next == after {
            return Err(Failure::of("The server returned the same position twice"));
        }
        response = part_of(server, line, Some(position))?;
        after = next;
    }
}

/// Passes the points of a response to `write`. The last line of a response may contain the position
/// at which the next request continues. Returns the position, or `None` after the last point.
fn points(
    body: impl Read,
    mut write: impl FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<Option<String>, Failure> {
    let mut reader = BufReader::with_capacity(PIECE_BYTES, body);
    // `lines` contains complete lines. `last` contains the last line, which may be a position.
    let (mut lines, mut last) = (Vec::new(), Vec::new());
    loop {
        let start = last.len();
        let read = reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut last);
        let length =
            read.map_err(|reason| Failure(format!("the response is incomplete: {reason}")))?;
        if length as u64 == LINE_BYTES_MAX {
            return Err(Failure::of("a line of the response is longer than 64 MiB"));
        }
        if length == 0 {
            break;
        }
        lines.extend(last.drain(..start));
        if lines.len() >= PIECE_BYTES {
            write(&lines)?;
            lines.clear();
        }
    }
    let position = position_of(&last);
    if position.is_none() {
        lines.extend(last);
    }
    if !lines.is_empty() {
        write(&lines)?;
    }
    Ok(position)
}

/// Returns the position in the last line of a response. A line of a string value may have the same
/// prefix, but also contains a quote and a time.
fn position_of(line: &[u8]) -> Option<String> {
    let position = line.strip_prefix(b"# after: ")?.strip_suffix(b"\n")?;
    let position = str::from_utf8(position).ok().filter(|text| !text.is_empty())?;
    let is_other = position.contains(|c: char| c == '"' || c.is_whitespace());
    (!is_other).then(|| position.to_owned())
}

enum Output {
    Plain(BufWriter<File>),
    Gzip(Box<GzEncoder<BufWriter<File>>>),
}

impl Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(file) => file.write_all(bytes),
            Self::Gzip(file) => file.write_all(bytes),
        }
    }

    fn finish(self) -> io::Result<()> {
        match self {
            Self::Plain(mut file) => file.flush(),
            Self::Gzip(file) => file.finish()?.flush(),
        }
    }
}

fn export_lines(
    server: &Server,
    line: &Arguments,
    database: &str,
    out: Option<&str>,
) -> Result<(), Failure> {
    must_respond(server)?;
    let first = part_of(server, line, None)?;
    let failed = |Failure(reason)| Failure(format!("The export failed: {reason}."));
    let Some(out) = out else {
        let print = |lines: &[u8]| match print_piece(lines)? {
            true => Ok(()),
            // The reader has closed the pipe, so the rest of the export is not needed.
            false => std::process::exit(0),
        };
        return write_lines(server, line, database, first, print).map_err(failed);
    };
    // The file gets its final name only after it is complete.
    let part = PathBuf::from(format!("{out}.part"));
    let cannot_write = |reason: io::Error| Failure::file("written", Path::new(out), reason);
    let write = || {
        let file = BufWriter::new(File::create(&part).map_err(cannot_write)?);
        let mut file = match out.ends_with(".gz") {
            true => Output::Gzip(GzEncoder::new(file, Compression::default()).into()),
            false => Output::Plain(file),
        };
        write_lines(server, line, database, first, |lines| {
            file.write(lines).map_err(cannot_write)
        })?;
        file.finish().and_then(|()| rename(&part, out)).map_err(cannot_write)
    };
    write().map_err(|failure| {
        let _ = remove_file(&part);
        failed(failure)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader that returns at most the given number of bytes per call.
    struct Pieces<'a>(&'a [u8], usize);

    impl Read for Pieces<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let length = self.1.min(out.len());
            self.0.read(&mut out[..length])
        }
    }

    #[test]
    fn export_position_is_last_line() {
        let point = "m v=\"two\n# after: 1,2,m\" 1\n";
        let with_position = format!("{point}# after: ,,m,1,k,%22\n");
        let position_first = format!("# after: ,,m\n{point}");
        let cases = [
            ("", "", None),
            (point, point, None),
            (&with_position, point, Some(",,m,1,k,%22")),
            ("# after: ,,m\n", "", Some(",,m")),
            (&position_first, &position_first, None),
            ("m v=1 1", "m v=1 1", None),
        ];
        for size in [1, 2, 7, 1000] {
            for (body, expected, after) in cases {
                let mut written = Vec::new();
                let take = |lines: &[u8]| {
                    written.extend_from_slice(lines);
                    Ok(())
                };
                let position = points(Pieces(body.as_bytes(), size), take).unwrap();
                assert_eq!(String::from_utf8(written).unwrap(), expected);
                assert_eq!(position.as_deref(), after);
            }
        }
    }
}
