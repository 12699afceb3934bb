//! Writes the rows of a result as JSON arrays. Large responses spend most of their time in this
//! module.

use std::ops::Range;

use super::cell::Cell;
use super::emitter::{self, Emitter};
use super::number::{self, Unsupported};
use super::time::{self, Clock};
use tidemark_model::bug::{self, OrBug};
use tidemark_model::limits::{PRINTED_TEXT_BYTES_MAX, REPLY_PIECE_BYTES};
use tidemark_model::time::Precision;
use tidemark_query::result::{ResultColumn, SeriesChunk, StringColumn, Validity, Values};

/// A cell has at least one character and a separator.
const CELL_BYTES_MIN: usize = 2;

/// Appends the rows as arrays to the open array of values. Returns the position of the next row,
/// which is before the end of `range` if the text is longer than [`REPLY_PIECE_BYTES`].
///
/// # Errors
/// [`Unsupported`] for a value that JSON cannot represent. After this error, the caller must
/// discard the incomplete text.
pub(super) fn rows(
    emitter: &mut Emitter,
    chunk: &SeriesChunk,
    mut range: Range<usize>,
    epoch: Option<Precision>,
) -> Result<usize, Unsupported> {
    chunk.ensure_rows();
    let mut clock = Clock::new(epoch, &chunk.zone);
    let is_pretty = emitter.pretty;
    let mut cells = cells(&chunk.values, range.len(), is_pretty);
    let (end, bytes_max) = (range.end, emitter.bytes() + REPLY_PIECE_BYTES);
    if is_pretty {
        for row in range {
            if emitter.bytes() >= bytes_max {
                return Ok(row);
            }
            emitter.next();
            emitter.open(b'[');
            for cell in &mut cells {
                emitter.next();
                cell.write(row, &mut clock, emitter.out())?;
            }
            emitter.close(b']');
        }
        return Ok(end);
    }
    let Some(first) = range.next() else { return Ok(end) };
    emitter.next();
    let out = emitter.out();
    let before = out.len();
    array(&mut cells, first, &mut clock, out)?;
    // Assumes that the other rows are approximately as long as the first row.
    out.reserve(((out.len() - before + 1) * range.len()).min(REPLY_PIECE_BYTES));
    for row in range {
        if out.len() >= bytes_max {
            return Ok(row);
        }
        out.push(b',');
        array(&mut cells, row, &mut clock, out)?;
    }
    Ok(end)
}

fn array(
    cells: &mut [Cells<'_>],
    row: usize,
    clock: &mut Clock<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Unsupported> {
    let mut separator = b'[';
    for cell in cells {
        match cell {
            Cells::Integers(values) if let Some(&value) = values.get(row) => {
                time::integer_behind(separator, value, out);
            }
            cell => {
                out.push(separator);
                cell.write(row, clock, out)?;
            }
        }
        separator = b',';
    }
    if separator == b'[' {
        out.push(b'[');
    }
    out.push(b']');
    Ok(())
}

enum Cells<'a> {
    Times(&'a [i64]),
    /// Integers without nulls.
    Integers(&'a [i64]),
    Strings(AdjacentColumns<'a>),
    Other(&'a ResultColumn),
}

/// Adjacent string columns that have dictionaries and no nulls. A row's values in these columns,
/// such as the tags of a series, are printed as one text. Subsequent rows with equal values reuse
/// this text.
#[derive(Default)]
struct AdjacentColumns<'a> {
    /// The printed dictionary entries of each column, and the codes of the rows.
    columns: Vec<(StringColumn, &'a [u32])>,
    widest: usize,
    /// For each entry of the widest column, the last row with this entry, and the range of the
    /// row's text in `text`.
    seen: Vec<Option<(usize, Range<usize>)>>,
    text: Vec<u8>,
}

fn cells(columns: &[ResultColumn], rows: usize, is_pretty: bool) -> Vec<Cells<'_>> {
    let mut cells: Vec<Cells<'_>> = Vec::with_capacity(columns.len());
    let (rows, mut bytes_left) = (rows_of_piece(rows, columns.len()), REPLY_PIECE_BYTES);
    for column in columns {
        let next = Cells::new(column, rows, &mut bytes_left);
        match (cells.last_mut(), next) {
            (Some(Cells::Strings(before)), Cells::Strings(more)) if !is_pretty => {
                before.columns.extend(more.columns);
            }
            (_, next) => cells.push(next),
        }
    }
    for cell in &mut cells {
        if let Cells::Strings(strings) = cell {
            let entries = |at: &usize| strings.columns.get(*at).map_or(0, |c| c.0.parts().1.len());
            strings.widest = (0..strings.columns.len()).max_by_key(entries).unwrap_or_default();
            strings.seen = vec![None; entries(&strings.widest)];
        }
    }
    cells
}

/// Returns the maximum number of rows that a piece of a response contains.
pub(super) fn rows_of_piece(rows: usize, columns: usize) -> usize {
    rows.min(REPLY_PIECE_BYTES / (columns.max(1) * CELL_BYTES_MIN))
}

/// Prints each entry of a dictionary with `print`. Returns the printed entries and the codes of the
/// rows. Returns `None` if the column has no dictionary, or if the dictionary has more than `rows`
/// entries or more than `bytes_left` bytes. Subtracts its size from `bytes_left`.
pub(super) fn printed_once<'a>(
    texts: &'a StringColumn,
    rows: usize,
    bytes_left: &mut usize,
    print: impl Fn(&str, &mut Vec<u8>),
) -> Option<(StringColumn, &'a [u32])> {
    let (text, ends) = texts.parts();
    let codes = texts.codes().filter(|_| ends.len() <= rows)?;
    *bytes_left = bytes_left.checked_sub(text.len() + size_of_val(ends))?;
    let (mut printed, mut cell) = (StringColumn::default(), Vec::new());
    for entry in texts.entries() {
        print(entry, &mut cell);
        printed.push(std::str::from_utf8(&cell).unwrap_or_default());
        cell.clear();
    }
    Some((printed, codes))
}

impl<'a> Cells<'a> {
    fn new(column: &'a ResultColumn, rows: usize, bytes_left: &mut usize) -> Self {
        match column {
            ResultColumn::Time(times_ns) => Self::Times(times_ns),
            ResultColumn::Values(full) if full.validity == Validity::All => match &full.values {
                Values::Integer(values) => Self::Integers(values),
                Values::String(texts)
                    if let Some(printed) =
                        printed_once(texts, rows, bytes_left, emitter::string) =>
                {
                    let columns = vec![printed];
                    Self::Strings(AdjacentColumns { columns, ..AdjacentColumns::default() })
                }
                _ => Self::Other(column),
            },
            _ => Self::Other(column),
        }
    }

    fn write(
        &mut self,
        row: usize,
        clock: &mut Clock<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Unsupported> {
        match self {
            Self::Times(times_ns) => clock.write(times_ns.get(row).copied().or_bug(), out),
            Self::Integers(values) => time::integer(values.get(row).copied().or_bug(), out),
            Self::Strings(strings) => strings.write(row, out),
            Self::Other(column) => return write_cell(Cell::new(column, row), out),
        }
        Ok(())
    }
}

impl AdjacentColumns<'_> {
    fn write(&mut self, row: usize, out: &mut Vec<u8>) {
        let Self { columns, widest, seen, text } = self;
        let code = columns.get(*widest).and_then(|(_, codes)| codes.get(row)).copied().or_bug();
        let Some(place) = seen.get_mut(code as usize) else { return bug::report() };
        if let Some((before, range)) = place
            && columns.iter().all(|(_, codes)| codes.get(row) == codes.get(*before))
        {
            return out.extend_from_slice(text.get(range.clone()).or_bug());
        }
        let start = text.len();
        for (printed, codes) in columns {
            if text.len() > start {
                text.push(b',');
            }
            let code = codes.get(row).copied().or_bug();
            text.extend_from_slice(printed.bytes_of(code as usize));
        }
        out.extend_from_slice(text.get(start..).or_bug());
        *place = Some((row, start..text.len()));
        if text.len() > PRINTED_TEXT_BYTES_MAX {
            text.clear();
            seen.fill(None);
        }
    }
}

/// Writes one value. The caller writes times with [`Cells::Times`].
fn write_cell(cell: Cell<'_>, out: &mut Vec<u8>) -> Result<(), Unsupported> {
    match cell {
        Cell::Float(value) if !value.is_nan() => return number::json_float(value, out),
        Cell::Null | Cell::Float(_) => out.extend_from_slice(b"null"),
        Cell::Text(text) => emitter::string(text, out),
        plain => plain.write_plain(out),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adjacent_string_columns_keep_rows() {
        let mut random = fastrand::Rng::with_seed(5);
        for round in 0..50 {
            let rows = random.usize(1..200);
            let mut coded = |entries: u32| {
                let texts = (0..entries).map(|entry| format!("{entry}\"é"));
                let texts: Vec<String> = texts.take(rows).collect();
                let dictionary = texts.iter().map(String::as_str).collect();
                let codes = (0..rows).map(|_| random.u32(0..texts.len() as u32)).collect();
                StringColumn::coded(dictionary, codes).unwrap()
            };
            let columns = [coded(3), coded(7), coded(2)];
            let [a, b, c] = &columns;
            let value = |column: &StringColumn| Values::String(column.clone());
            let values = [value(a), value(b), Values::Integer(vec![7; rows]), value(c)];
            let chunk = SeriesChunk::of_columns(None, &[], values);
            let mut emitter = Emitter::new(false);
            super::rows(&mut emitter, &chunk, 0..rows, None).unwrap();
            let row = |row: usize| {
                let text = |column: &StringColumn| column.get(row).replace('"', "\\\"");
                format!("[\"{}\",\"{}\",7,\"{}\"]", text(a), text(b), text(c))
            };
            let expected: Vec<String> = (0..rows).map(row).collect();
            assert_eq!(String::from_utf8(emitter.take()).unwrap(), expected.join(","), "{round}");
        }
    }
}
