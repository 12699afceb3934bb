//! Reads a file of line protocol, of `influx_inspect export` or of `influx -import`. The file may
//! be compressed with gzip.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, stdin};
use std::path::Path;
use std::rc::Rc;

use flate2::bufread::MultiGzDecoder;

use crate::Failure;

const GZIP: [u8; 2] = [0x1f, 0x8b];
/// The byte order mark of UTF-8, which some editors write at the start of a file.
const BOM: &[u8] = b"\xef\xbb\xbf";
const LINE_BYTES_MAX: u64 = 64 << 20;
const PIECE_BYTES: usize = 256 << 10;

/// The lines of a file, or of standard input if the path is `-`.
pub struct Lines {
    reader: Box<dyn BufRead>,
    /// The number of bytes that have been read from the file.
    pub bytes: Rc<Cell<u64>>,
    pub count: u64,
}

struct Counted<R>(R, Rc<Cell<u64>>);

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let length = self.0.read(out)?;
        self.1.set(self.1.get() + length as u64);
        Ok(length)
    }
}

impl Lines {
    /// Opens a file that may be compressed with gzip.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let source: Box<dyn Read> = match path.as_os_str() == "-" {
            true => Box::new(stdin()),
            false => {
                Box::new(File::open(path).map_err(|reason| Failure::file("read", path, reason))?)
            }
        };
        Self::of(source).map_err(|reason| Failure::file("read", path, reason))
    }

    fn of(source: impl Read + 'static) -> io::Result<Self> {
        let bytes = Rc::new(Cell::new(0));
        let mut source = Counted(source, Rc::clone(&bytes));
        let mut head = Vec::new();
        Read::by_ref(&mut source).take(GZIP.len() as u64).read_to_end(&mut head)?;
        let is_gzip = head == GZIP;
        let all = BufReader::with_capacity(PIECE_BYTES, io::Cursor::new(head).chain(source));
        let reader: Box<dyn BufRead> = match is_gzip {
            true => Box::new(BufReader::with_capacity(PIECE_BYTES, MultiGzDecoder::new(all))),
            false => Box::new(all),
        };
        Ok(Self { reader, bytes, count: 0 })
    }

    /// Returns the next line without its newline. Omits the file's byte order mark. Returns `None`
    /// at the end of the file.
    pub fn next(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let mut line = Vec::new();
        let read = (&mut self.reader).take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
        let length = read.map_err(|reason| {
            Failure(format!("The file cannot be read after line {}: {reason}.", self.count))
        })?;
        if length == 0 {
            return Ok(None);
        }
        self.count += 1;
        if line.last() == Some(&b'\n') {
            line.pop();
        } else if length as u64 == LINE_BYTES_MAX {
            return Err(Failure(format!("Line {} is longer than 64 MiB.", self.count)));
        }
        if self.count == 1 && line.starts_with(BOM) {
            line.drain(..BOM.len());
        }
        Ok(Some(line))
    }
}

/// The meaning of one line of a dump.
#[derive(Debug, PartialEq)]
pub enum DumpLine {
    Statement(String),
    /// The database into which the following lines are imported.
    Database(String),
    /// The retention policy into which the following lines are imported.
    Policy(String),
    /// A line of line protocol.
    Text {
        text: Vec<u8>,
        /// Whether a point starts with this line. A string value may span several lines.
        begins: bool,
    },
    Nothing,
}

/// A parser of the lines of a dump.
#[derive(Default)]
pub struct Dump {
    is_ddl: bool,
    /// Whether the last line ended inside a string.
    pub in_string: bool,
}

impl Dump {
    pub fn item(&mut self, mut line: Vec<u8>) -> DumpLine {
        // Inside a string, blanks and a carriage return are data. Elsewhere, the server also skips
        // the blanks at the start of a line.
        if !self.in_string {
            let is_blank = |byte: &&u8| matches!(**byte, b' ' | b'\t' | b'\r' | 0);
            let blanks = line.iter().take_while(is_blank).count();
            line.drain(..blanks);
        }
        let bare = line.strip_suffix(b"\r").unwrap_or(&line);
        if !self.in_string && (bare.is_empty() || bare.starts_with(b"#")) {
            return self.directive(&String::from_utf8_lossy(bare));
        }
        if self.is_ddl {
            return DumpLine::Statement(String::from_utf8_lossy(bare).into_owned());
        }
        let begins = !self.in_string;
        self.in_string = ends_in_string(&line, self.in_string);
        DumpLine::Text { text: line, begins }
    }

    /// Parses a comment: the start of a section, or the destination of the following lines.
    fn directive(&mut self, comment: &str) -> DumpLine {
        if comment.starts_with("# DDL") {
            self.is_ddl = true;
        } else if comment.starts_with("# DML") {
            self.is_ddl = false;
        } else if let Some(name) = comment.strip_prefix("# CONTEXT-DATABASE:") {
            return DumpLine::Database(name.trim_matches(' ').to_owned());
        } else if let Some(name) = comment.strip_prefix("# CONTEXT-RETENTION-POLICY:") {
            return DumpLine::Policy(name.trim_matches(' ').to_owned());
        }
        DumpLine::Nothing
    }
}

/// Whether a line ends inside a string. `in_string` must be true if the line starts inside a
/// string.
fn ends_in_string(line: &[u8], in_string: bool) -> bool {
    let byte = |at: usize| line.get(at).copied();
    let before = |at: usize| at.checked_sub(1).and_then(byte);
    // A field key may contain an escaped `=`.
    let is_value = |at: usize| before(at) == Some(b'=') && before(at - 1) != Some(b'\\');
    let mut at = 0;
    if !in_string {
        // The series key ends at the first unescaped space.
        while at < line.len() && (byte(at) != Some(b' ') || before(at) == Some(b'\\')) {
            at += 1;
        }
    }
    let mut open = in_string;
    while at < line.len() {
        if open && byte(at) == Some(b'\\') {
            at += 1;
        } else if byte(at) == Some(b'"') && (open || is_value(at)) {
            open = !open;
        }
        at += 1;
    }
    open
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    const FILE: &str = "# DDL\nCREATE DATABASE d\r\n\n# DML\n# CONTEXT-DATABASE: d \n\
        # CONTEXT-RETENTION-POLICY:year\nm,a\\ b=c s=\"one\n# two\",t=\"\\\"\" 7\nn v=1";

    fn items(bytes: Vec<u8>) -> Vec<DumpLine> {
        let mut lines = Lines::of(io::Cursor::new(bytes)).unwrap();
        let mut dump = Dump::default();
        let mut items = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            items.push(dump.item(line));
        }
        items.retain(|item| *item != DumpLine::Nothing);
        items
    }

    #[test]
    fn dump_yields_statements_destinations_and_lines() {
        let text = |text: &str, begins| DumpLine::Text { text: text.as_bytes().to_vec(), begins };
        let expected = [
            DumpLine::Statement("CREATE DATABASE d".to_owned()),
            DumpLine::Database("d".to_owned()),
            DumpLine::Policy("year".to_owned()),
            text("m,a\\ b=c s=\"one", true),
            text("# two\",t=\"\\\"\" 7", false),
            text("n v=1", true),
        ];
        assert_eq!(items(FILE.as_bytes().to_vec()), expected);
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(FILE.as_bytes()).unwrap();
        assert_eq!(items(packed.finish().unwrap()), expected);
        let marked = [BOM, FILE.as_bytes()].concat();
        assert_eq!(items(marked), expected);
        assert_eq!(items(Vec::new()), []);
        assert_eq!(items(b"m".to_vec()), [text("m", true)]);
        let indented = b" \tm,a=\"b v=1 5\n  # comment\n  \r\n\tn s=\"one\n two\"".to_vec();
        let lines = [text("m,a=\"b v=1 5", true), text("n s=\"one", true), text(" two\"", false)];
        assert_eq!(items(indented), lines);
        let escaped = b"m a\\=\"b=1 5\nn v=1".to_vec();
        assert_eq!(items(escaped), [text("m a\\=\"b=1 5", true), text("n v=1", true)]);
    }
}
