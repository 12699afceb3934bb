//! Where a part is read from.

use std::ops::Range;
use std::rc::Rc;

use super::block::Error;
use super::directory::Directory;
pub use super::row_keys::RowKeys;
use super::series_block::Series;
use crate::codec::huffman::Decoder;
use crate::merge::cursor::{PageColumn, ReadError};

/// Where the values of a part come from.
pub trait Values {
    /// How many there are.
    fn count(&self) -> usize;

    /// What value number `value` of the part holds.
    ///
    /// # Errors
    /// [`ReadError::Storage`], and [`ReadError::Damaged`] if it is not there or cannot be decoded.
    fn directory(&mut self, value: usize) -> Result<Rc<Directory>, ReadError>;

    /// Hands bytes of its body to `read`.
    ///
    /// # Errors
    /// Those of [`Values::directory`]; and what [`Values::damaged`] makes of the error of `read`.
    fn with<T>(
        &mut self,
        value: usize,
        bytes: Range<u32>,
        read: impl FnOnce(&[u8]) -> Result<T, Error>,
    ) -> Result<T, ReadError>;

    /// The error that names the value.
    fn damaged(&self, value: usize, error: Error) -> ReadError;

    /// What was kept of a group as it was decoded.
    fn kept(&self, value: usize, group: usize, at: DecodedAt) -> Option<Decoded> {
        let _ = (value, group, at);
        None
    }

    /// May keep it.
    fn keep(&self, value: usize, group: usize, at: DecodedAt, decoded: &Decoded) {
        let _ = (value, group, at, decoded);
    }
}

/// What of a group is decoded as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DecodedAt {
    /// A block of series, by its number.
    Series(u32),
    /// The keys of a page, by its number.
    Keys(u32),
    /// A column of a page, by its place among the group's columns, page by page.
    Column(u32),
    /// The table of a column's blocks, by its number; of the keys' past the last column.
    Table(u32),
}

/// The same, decoded.
#[derive(Clone, Debug)]
pub enum Decoded {
    /// By key.
    Series(Rc<Series>),
    /// Of a page.
    Keys(RowKeys),
    /// Values.
    Column(PageColumn),
    /// Of the blocks of a column.
    Table(Rc<Decoder>),
}

impl Decoded {
    /// Bytes held.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Series(series) => series.bytes(),
            Self::Keys(keys) => keys.bytes(),
            Self::Column(column) => column.bytes(),
            Self::Table(_) => Decoder::BYTES,
        }
    }
}
