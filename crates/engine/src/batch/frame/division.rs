//! Divides the rows of a write into frames, because a shard appends a frame without a pause.

use crate::batch::Block;
use crate::batch::column::{Column, Values};
use crate::batch::selection::Selection;

/// The approximate maximum size of a decoded frame, in bytes. A frame has more bytes only if a
/// single row is larger. A shard needs a few milliseconds to decode such a frame and to add the
/// rows to its memtable.
pub const FRAME_DECODED_BYTES_MAX: usize = 4_000_000;

/// The number of decoded bytes that a series counts as: the memory of its tag codes, entries in two
/// hash tables, and a text. Ten values have the same size, and sorting and writing a series takes
/// about as long as ten values.
pub(crate) const SERIES_BYTES: usize = 80;
/// The number of decoded bytes that a table counts as, next to its rows. A flush takes about as
/// long for a table as for 200 values.
pub(crate) const TABLE_BYTES: usize = 1_600;
/// The number of decoded bytes that a column counts as, next to its values: its memory, and the
/// time of a flush, which is about as long as for thirty values.
pub(crate) const COLUMN_BYTES: usize = 300;
/// The size of a row without its fields, in bytes.
const ROW_BYTES: usize = 12;
/// The minimum size of a value, in bytes.
const VALUE_BYTES: usize = 8;

/// The rest of a frame's size.
#[derive(Debug)]
pub struct FrameRoom {
    left: usize,
    is_empty: bool,
}

impl Default for FrameRoom {
    fn default() -> Self {
        Self { left: FRAME_DECODED_BYTES_MAX, is_empty: true }
    }
}

impl FrameRoom {
    /// Returns the number of rows that the frame has room for, and reserves this room. The rows are
    /// the selected rows of the block from position `first`. An empty frame has room for at least
    /// one row.
    pub fn take(&mut self, block: &Block, rows: &Selection, first: usize) -> usize {
        let is_text = |column: &&Column| column.values.text_bytes() > 0;
        let texts: Vec<&Column> = block.fields.iter().filter(is_text).collect();
        let mut has_series = vec![false; block.series.len as usize];
        let mut cost = TABLE_BYTES + block.fields.len() * COLUMN_BYTES;
        let selected = rows.len(block.rows());
        for at in first..selected {
            let row = rows.get(at) as usize;
            cost += ROW_BYTES + block.fields.len() * VALUE_BYTES;
            cost += texts.iter().map(|column| text_bytes(column, row)).sum::<usize>();
            let series = block.row_series.get(row).and_then(|&at| has_series.get_mut(at as usize));
            if let Some(is_known) = series.filter(|is_known| !**is_known) {
                *is_known = true;
                cost += SERIES_BYTES;
            }
            if cost > self.left && !self.is_empty {
                self.left = 0;
                return at - first;
            }
            self.left = self.left.saturating_sub(cost);
            (self.is_empty, cost) = (false, 0);
        }
        selected.saturating_sub(first)
    }
}

fn text_bytes(column: &Column, row: usize) -> usize {
    match &column.values {
        Values::String(texts) if texts.codes().is_none() => texts.get(row).len(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::from_lines::from_lines;
    use tidemark_line_protocol::{Options, TimestampUnit};
    use tidemark_model::time::Precision;

    /// Returns the numbers of rows of the frames of a body with one measurement.
    fn frames(body: &str) -> Vec<usize> {
        let options = Options::new(TimestampUnit::Fixed(Precision::Nanosecond), 0);
        let (batch, _) = from_lines(body.as_bytes(), options, 7).unwrap();
        let block = &batch.measurements[0].block;
        let (mut first, mut frames) = (0, Vec::new());
        while first < block.rows() {
            frames.push(FrameRoom::default().take(block, &Selection::All, first));
            first += frames.last().unwrap();
        }
        frames
    }

    #[test]
    fn frames_have_limited_sizes() {
        let body = |rows: usize, line: &dyn Fn(usize) -> String| -> String {
            (0..rows).map(|row| format!("{} {row}\n", line(row))).collect()
        };
        let few = frames(&body(100_000, &|_| "m v=1".to_owned()));
        assert_eq!(few, [100_000]);
        let many = frames(&body(500_000, &|row| format!("m,h={} v=1", row % 100)));
        assert!(many.len() == 3 && many[0] < 200_000 && many[0] > 199_000, "{many:?}");
        let series = frames(&body(100_000, &|row| format!("m,h={row} v=1")));
        let series_max = FRAME_DECODED_BYTES_MAX / (SERIES_BYTES + 20);
        assert!((series_max - 1_000..series_max).contains(&series[0]), "{series:?}");
        let fields: Vec<String> = (0..100).map(|field| format!("f{field}=1")).collect();
        let wide = frames(&body(10_000, &|_| format!("m {}", fields.join(","))));
        assert!(wide.len() == 3 && wide[0] < FRAME_DECODED_BYTES_MAX / 800, "{wide:?}");
        // The second half of the rows has all the text.
        let text = "x".repeat(4_000);
        let late = |row: usize| format!("m s=\"{}{row}\"", if row < 2_000 { "" } else { &text });
        let texts = frames(&body(4_000, &late));
        assert!(texts.len() == 3 && texts[0] > 2_900, "{texts:?}");
        // A frame has at least one row.
        let large = "x".repeat(900_000);
        let line = |_| format!("m a=\"{large}\",b=\"{large}\"");
        assert_eq!(frames(&body(5, &line)), [2, 2, 1]);
    }
}
