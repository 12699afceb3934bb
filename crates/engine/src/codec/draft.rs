//! An encoding whose residuals are not yet bit-packed or coded with a Huffman table of the column.

use super::bitpack;
use super::huffman::{CodeTable, Decoder, Histogram};
use super::{Error, finish};

/// The bit of a method byte that marks residuals in Huffman classes.
pub(super) const CLASSES: u8 = 0x80;

#[derive(Clone, Debug)]
struct Open {
    method_at: usize,
    residuals: Vec<u64>,
    packed_bytes: usize,
}

/// An encoding with optional residuals. The default is empty.
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

    /// `method_at` is the position of the method byte in `head`.
    pub(super) fn open(
        head: Vec<u8>,
        method_at: usize,
        residuals: Vec<u64>,
        packed_bytes: usize,
    ) -> Self {
        Self { head, open: Some(Open { method_at, residuals, packed_bytes }) }
    }

    /// Counts the residuals' classes. Returns `None` if there are no residuals.
    pub fn histogram(&self) -> Option<Histogram> {
        self.open.as_ref().map(|open| Histogram::count(&open.residuals))
    }

    pub(crate) fn packed_bytes(&self) -> usize {
        self.open.as_ref().map_or(0, |open| open.packed_bytes)
    }

    /// Returns the encoding. If a table is given, codes the residuals with this table.
    pub fn finish(self, table: Option<&CodeTable>) -> Vec<u8> {
        let Self { head: mut out, open } = self;
        if let Some(Open { method_at, residuals, .. }) = open {
            match (table, out.get_mut(method_at)) {
                (Some(table), Some(method)) => {
                    *method |= CLASSES;
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
    if method & CLASSES != 0 {
        table.ok_or(Error::UnknownMethod(method))?.decode(bytes, count, &mut residuals)?;
        return Ok(residuals);
    }
    bitpack::decode(&mut bytes, count, &mut residuals)?;
    finish(bytes)?;
    Ok(residuals)
}
