//! Holds an encoding whose residuals are still open: they may be bit-packed, or coded by the
//! Huffman table that all blocks of a column share. A bit of the method byte says which was chosen.

use super::bitpack;
use super::huffman::{CodeTable, Decoder, Histogram};
use super::{Error, finish};

/// The bit of a method byte that says: residuals by classes, up to the end of the encoding.
pub(super) const CLASSES: u8 = 0x80;

/// What is left to do.
#[derive(Clone, Debug)]
struct Open {
    /// Where the method byte is.
    method_at: usize,
    residuals: Vec<u64>,
    packed_bytes: usize,
}

/// An encoding and its residuals, if it has any. The default is no bytes.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    head: Vec<u8>,
    open: Option<Open>,
}

impl Draft {
    /// An encoding without residuals.
    pub fn done(head: Vec<u8>) -> Self {
        Self { head, open: None }
    }

    /// `head`, of which the byte at `method_at` is the method, to be followed by `residuals`, which
    /// take `packed_bytes` by [`bitpack::estimate`].
    pub(super) fn open(
        head: Vec<u8>,
        method_at: usize,
        residuals: Vec<u64>,
        packed_bytes: usize,
    ) -> Self {
        Self { head, open: Some(Open { method_at, residuals, packed_bytes }) }
    }

    /// How often each class occurs among the residuals; `None` if there are none.
    pub fn histogram(&self) -> Option<Histogram> {
        self.open.as_ref().map(|open| Histogram::count(&open.residuals))
    }

    /// Bytes of the residuals when packed, about.
    pub fn packed_bytes(&self) -> usize {
        self.open.as_ref().map_or(0, |open| open.packed_bytes)
    }

    /// The bytes; residuals by classes if there is a table.
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

/// The `count` residuals that are all of `bytes`.
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
