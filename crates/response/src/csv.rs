//! Writes CSV in 1.x's format. A header precedes each statement and each change of columns.

use std::ops::Range;
use std::rc::Rc;

use super::cell::Cell;
use super::number;
use super::rows::{printed_once, rows_of_piece};
use super::{Ending, Writer, time};
use tidemark_line_protocol::escape_tag;
use tidemark_model::bug::OrBug;
use tidemark_model::limits::REPLY_PIECE_BYTES;
use tidemark_model::time::Precision;
use tidemark_query::result::{ResultColumn, SeriesChunk, StringColumn, Validity, Values};

/// The CSV text of a response.
pub struct CsvWriter {
    out: Vec<u8>,
    epoch: Precision,
    columns: Option<Rc<[String]>>,
    /// `true` until the first row of the current statement is written.
    fresh: bool,
}

impl CsvWriter {
    /// Creates an empty table. Times are integers in the unit of `epoch`, or in nanoseconds without
    /// `epoch`.
    pub fn new(epoch: Option<Precision>) -> Self {
        Self { out: Vec::new(), epoch: epoch.unwrap_or_default(), columns: None, fresh: true }
    }

    fn header(&mut self, chunk: &SeriesChunk) {
        if self.columns.is_some() {
            self.out.push(b'\n');
        }
        self.out.extend_from_slice(b"name,tags");
        for column in chunk.columns.iter() {
            self.out.push(b',');
            field(column, &mut self.out);
        }
        self.out.push(b'\n');
        self.columns = Some(Rc::clone(&chunk.columns));
        self.fresh = false;
    }
}

impl Writer for CsvWriter {
    fn statement_begin(&mut self, _: u32) {
        self.fresh = true;
    }

    fn series(&mut self, chunk: &SeriesChunk, range: Range<usize>) -> Option<usize> {
        chunk.ensure_rows();
        if self.fresh || self.columns.as_ref() != Some(&chunk.columns) {
            self.header(chunk);
        }
        let mut prefix = Vec::new();
        field(chunk.name.as_deref().unwrap_or_default(), &mut prefix);
        prefix.push(b',');
        field(&tags(chunk), &mut prefix);
        let rows = rows_of_piece(range.len(), chunk.values.len());
        let (end, mut bytes_left) = (range.end, REPLY_PIECE_BYTES);
        let columns = chunk.values.iter();
        let mut cells: Vec<Cells<'_>> =
            columns.map(|column| Cells::new(column, rows, self.epoch, &mut bytes_left)).collect();
        let bytes_max = self.out.len() + REPLY_PIECE_BYTES;
        for row in range {
            if self.out.len() >= bytes_max {
                return Some(row);
            }
            self.out.extend_from_slice(&prefix);
            for cell in &mut cells {
                cell.write_behind_comma(row, &mut self.out);
            }
            self.out.push(b'\n');
        }
        Some(end)
    }

    /// Writes nothing: for a failed statement, 1.x's CSV contains neither rows nor messages.
    fn statement_end(&mut self, _: Ending<'_>) {}

    fn bytes(&self) -> usize {
        self.out.len()
    }

    fn take_bytes(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }
}

/// Returns the CSV response to a rejected query.
pub fn failed(error: &str) -> Vec<u8> {
    let mut out = b"error\n".to_vec();
    field(error, &mut out);
    out.push(b'\n');
    out
}

/// Formats tags as `key=value,key=value` with the escapes of line protocol. Omits tags with an
/// empty value, as in 1.x (`HashKey`).
fn tags(chunk: &SeriesChunk) -> String {
    let mut text = String::new();
    for (key, value) in chunk.tags.iter().filter(|(_, value)| !value.is_empty()) {
        if !text.is_empty() {
            text.push(',');
        }
        escape_tag(key, |piece| text.push_str(piece));
        text.push('=');
        escape_tag(value, |piece| text.push_str(piece));
    }
    text
}

enum Cells<'a> {
    /// The times, their unit, and the last printed time with its text, because consecutive rows
    /// often have equal times.
    Times {
        times_ns: &'a [i64],
        unit_ns: i64,
        last_ns: Option<i64>,
        printed: Vec<u8>,
    },
    /// Integers without nulls.
    Integers(&'a [i64]),
    /// Texts without nulls: the printed dictionary entries and the codes of the rows.
    Texts(StringColumn, &'a [u32]),
    Other(&'a ResultColumn),
}

impl<'a> Cells<'a> {
    fn new(
        column: &'a ResultColumn,
        rows: usize,
        epoch: Precision,
        bytes_left: &mut usize,
    ) -> Self {
        match column {
            ResultColumn::Time(times_ns) => {
                let unit_ns = epoch.unit_ns();
                Self::Times { times_ns, unit_ns, last_ns: None, printed: Vec::new() }
            }
            ResultColumn::Values(full) if full.validity == Validity::All => match &full.values {
                Values::Integer(values) => Self::Integers(values),
                Values::String(texts)
                    if let Some((printed, codes)) =
                        printed_once(texts, rows, bytes_left, field) =>
                {
                    Self::Texts(printed, codes)
                }
                _ => Self::Other(column),
            },
            _ => Self::Other(column),
        }
    }

    fn write_behind_comma(&mut self, row: usize, out: &mut Vec<u8>) {
        if let Self::Integers(values) = self
            && let Some(&value) = values.get(row)
        {
            return time::integer_behind(b',', value, out);
        }
        out.push(b',');
        match self {
            Self::Times { times_ns, unit_ns, last_ns, printed } => {
                let time_ns = times_ns.get(row).copied().or_bug();
                if last_ns.replace(time_ns) != Some(time_ns) {
                    printed.clear();
                    time::integer(time_ns / *unit_ns, printed);
                }
                out.extend_from_slice(printed);
            }
            Self::Integers(_) => {}
            Self::Texts(printed, codes) => {
                let code = codes.get(row).copied().or_bug();
                out.extend_from_slice(printed.bytes_of(code as usize));
            }
            Self::Other(column) => write_cell(Cell::new(column, row), out),
        }
    }
}

/// Writes one value. A null value becomes an empty cell. The caller writes times with
/// [`Cells::Times`].
fn write_cell(cell: Cell<'_>, out: &mut Vec<u8>) {
    match cell {
        Cell::Float(value) => number::csv_float(value, out),
        Cell::Text(text) => field(text, out),
        plain => plain.write_plain(out),
    }
}

/// Appends a field. Quotes the field in the same cases as Go's `encoding/csv`.
fn field(text: &str, out: &mut Vec<u8>) {
    let quoted = text == "\\."
        || text.contains([',', '"', '\r', '\n'])
        || text.starts_with(char::is_whitespace);
    if !quoted {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    out.push(b'"');
    out.extend_from_slice(text.replace('"', "\"\"").as_bytes());
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_columns_print_like_single_cells() {
        let mut random = fastrand::Rng::with_seed(3);
        for round in 0..50 {
            let rows = random.usize(4..200);
            let texts = ["plain", "a,b", "say \"x\"", " blank"];
            let codes = (0..rows).map(|_| random.u32(0..4)).collect();
            let coded = StringColumn::coded(texts.into_iter().collect(), codes).unwrap();
            let mut plain = StringColumn::default();
            (0..rows).for_each(|row| plain.push(coded.get(row)));
            let times_ns = (0..rows).map(|_| random.i64(-3_000..3_000)).collect::<Vec<_>>();
            let integers: Vec<i64> = (0..rows).map(|_| random.i64(-1_200..1_200)).collect();
            let values = [
                Values::String(coded.clone()),
                Values::Integer(integers.clone()),
                Values::String(plain),
            ];
            let mut chunk = SeriesChunk::of_columns(Some("m"), &["time", "s", "i"], values);
            chunk.values.insert(0, ResultColumn::Time(times_ns.clone()));
            let mut writer = CsvWriter::new(Some(Precision::Microsecond));
            writer.series(&chunk, 1..rows);
            let mut expected = "name,tags,time,s,i\n".to_owned();
            for row in 1..rows {
                let quoted = ["plain", "\"a,b\"", "\"say \"\"x\"\"\"", "\" blank\""];
                let text = texts.iter().position(|text| *text == coded.get(row)).unwrap();
                let (time, integer) = (times_ns[row] / 1_000, integers[row]);
                expected += &format!("m,,{time},{0},{integer},{0}\n", quoted[text]);
            }
            assert_eq!(String::from_utf8(writer.take_bytes()).unwrap(), expected, "{round}");
        }
    }
}
