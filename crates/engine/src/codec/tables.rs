//! Finishes the blocks of a column, with a common table if the result is smaller.

use super::draft::Draft;
use super::huffman::{CodeTable, Histogram, Stored};

/// The minimum saving is one in this number of bytes. Tables are slower than bit packing, and
/// merges copy only blocks without a table.
const WORTH: usize = 24;

/// Finishes the drafts of a column. Returns their encodings, and the table that some encodings use.
pub fn finish(drafts: Vec<Draft>) -> (Stored, Vec<Vec<u8>>) {
    let histograms: Vec<Option<Histogram>> = drafts.iter().map(Draft::histogram).collect();
    let table = histograms.iter().flatten().cloned().reduce(|mut sum, more| {
        sum.add(&more);
        sum
    });
    let mut stored = Vec::new();
    let table = table.map(|histogram| CodeTable::for_counts(&histogram));
    if let Some(table) = &table {
        table.write(&mut stored);
    }
    let saved: Vec<usize> = drafts
        .iter()
        .zip(&histograms)
        .map(|(draft, histogram)| match (histogram, &table) {
            (Some(histogram), Some(table)) => {
                draft.packed_bytes().saturating_sub(histogram.bytes(table))
            }
            _ => 0,
        })
        .collect();
    let packed: usize = drafts.iter().map(Draft::packed_bytes).sum();
    let is_worth = saved.iter().sum::<usize>() > stored.len() + packed / WORTH;
    let table = table.filter(|_| is_worth);
    if !is_worth {
        stored.clear();
    }
    let blocks = drafts.into_iter().zip(saved);
    let blocks = blocks.map(|(draft, saved)| draft.finish(table.as_ref().filter(|_| saved > 0)));
    (Stored::new(stored), blocks.collect())
}
