//! Defines the interface through which parts are read.

use std::ops::Range;
use std::rc::Rc;

use super::block::Error;
use super::directory::Directory;
pub use super::row_keys::RowKeys;
use super::series_block;
use crate::batch::series_table::SeriesTable;
use crate::codec::huffman::Decoder;
use crate::merge::cursor::{PageColumn, ReadError};

/// A source of the values of a part.
pub trait Values {
    /// Returns the number of values.
    fn count(&self) -> usize;

    /// Returns the directory of value `value`, or [`ReadError::Damaged`] if the value has no valid
    /// directory.
    fn directory(&mut self, value: usize) -> Result<Rc<Directory>, ReadError>;

    /// Calls `read` with bytes of the value's body. An error of `read` becomes [`Values::damaged`].
    fn with<T>(
        &mut self,
        value: usize,
        bytes: Range<u32>,
        read: impl FnOnce(&[u8]) -> Result<T, Error>,
    ) -> Result<T, ReadError>;

    /// Returns a read error that names the value.
    fn damaged(&self, value: usize, error: Error) -> ReadError;

    /// Returns decoded data of a group from the cache.
    fn cached(&self, value: usize, group: usize, at: DecodedAt) -> Option<Decoded> {
        let _ = (value, group, at);
        None
    }

    /// Adds decoded data to the cache, if there is a cache.
    fn keep(&self, value: usize, group: usize, at: DecodedAt, decoded: &Decoded) {
        let _ = (value, group, at, decoded);
    }
}

/// The cache key of decoded data within a group: identifies the unit that is decoded as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DecodedAt {
    /// The number of a series block.
    Series(u32),
    /// The number of the page whose keys are decoded.
    Keys(u32),
    /// The position of a page's column: page number · number of columns + column number.
    Column(u32),
    /// The number of the column whose shared table is decoded. The number after the last column
    /// means the table of the keys.
    Table(u32),
}

/// A decoded unit of a group.
#[derive(Clone, Debug)]
pub enum Decoded {
    /// The series of a block, in key order.
    Series(Rc<SeriesTable>),
    /// The keys of a page.
    Keys(RowKeys),
    /// The values of a page's column.
    Column(PageColumn),
    /// The shared table of a column's blocks.
    Table(Rc<Decoder>),
}

impl Decoded {
    /// Returns the memory size, in bytes.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Series(series) => series_block::bytes(series),
            Self::Keys(keys) => keys.bytes(),
            Self::Column(column) => column.bytes(),
            Self::Table(_) => Decoder::BYTES,
        }
    }
}
