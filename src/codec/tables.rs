//! The blocks of one column: their residuals by a common table where that is smaller.

use super::draft::Draft;
use super::huffman::{CodeTable, Histogram, Stored};

/// A table has to save at least one byte in so many of what packing takes: it decodes slower, and a
/// merge copies only what is read without one. Of floats of full precision it saves about one in a
/// hundred.
const WORTH: usize = 24;

/// Finishes the drafts of a column, page by page. Answers with the table that some of them need.
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
    // For each draft, what the table saves.
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
