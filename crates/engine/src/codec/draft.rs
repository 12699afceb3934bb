//! Defines [`Draft`], an encoding whose residuals are not encoded yet. [`finish_column`] encodes
//! the residuals of all blocks of a column: with one Huffman table for the column if the result is
//! smaller, and otherwise with bit packing.

use super::bitpack;
use super::huffman::{CodeTable, Decoder, Histogram, Stored};
use super::{Error, finish};

/// The bit of a method byte that is set if the residuals are Huffman codes.
pub(super) const HUFFMAN_BIT: u8 = 0x80;

/// A table is used only if it saves at least one of every `WORTH` bytes. Decoding with a table is
/// slower than bit packing, and merges copy only blocks without a table.
const WORTH: usize = 24;

#[derive(Clone, Debug)]
struct Open {
    method_at: usize,
    residuals: Vec<u64>,
    packed_bytes: usize,
}

/// An encoding, possibly with residuals that are not encoded yet. The default is empty.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    head: Vec<u8>,
    open: Option<Open>,
}

impl Draft {
    /// Creates a draft from a complete encoding without residuals.
    pub fn done(head: Vec<u8>) -> Self {
        Self { head, open: None }
    }

    /// Creates a draft with residuals. `method_at` is the position of the method byte in `head`.
    /// `packed_bytes` is the approximate size of the bit-packed residuals.
    pub(super) fn open(
        head: Vec<u8>,
        method_at: usize,
        residuals: Vec<u64>,
        packed_bytes: usize,
    ) -> Self {
        Self { head, open: Some(Open { method_at, residuals, packed_bytes }) }
    }

    /// Counts the residuals' classes. Returns `None` if there are no residuals.
    pub(super) fn histogram(&self) -> Option<Histogram> {
        self.open.as_ref().map(|open| Histogram::count(&open.residuals))
    }

    pub(super) fn packed_bytes(&self) -> usize {
        self.open.as_ref().map_or(0, |open| open.packed_bytes)
    }

    /// Returns the encoding. If a table is given, codes the residuals with this table.
    pub fn finish(self, table: Option<&CodeTable>) -> Vec<u8> {
        let Self { head: mut out, open } = self;
        if let Some(Open { method_at, residuals, .. }) = open {
            match (table, out.get_mut(method_at)) {
                (Some(table), Some(method)) => {
                    *method |= HUFFMAN_BIT;
                    table.encode(&residuals, &mut out);
                }
                _ => bitpack::encode(&residuals, &mut out),
            }
        }
        out
    }
}

pub(super) fn residuals(
    method: u8,
    mut bytes: &[u8],
    count: usize,
    table: Option<&Decoder>,
) -> Result<Vec<u64>, Error> {
    let mut residuals = Vec::new();
    if method & HUFFMAN_BIT != 0 {
        table.ok_or(Error::UnknownMethod(method))?.decode(bytes, count, &mut residuals)?;
        return Ok(residuals);
    }
    bitpack::decode(&mut bytes, count, &mut residuals)?;
    finish(bytes)?;
    Ok(residuals)
}

/// Finishes the drafts of a column. Returns their encodings, and the table that some encodings use.
pub fn finish_column(drafts: Vec<Draft>) -> (Stored, Vec<Vec<u8>>) {
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
