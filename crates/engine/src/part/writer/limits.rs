//! The limits of pages, groups and values.

use crate::part::{PAGE_ROWS_MAX, VALUE_BYTES_MAX};

/// The limits of a writer. Tests use lower limits than the default.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The maximum size of a value's head and body, in bytes.
    pub value_bytes: usize,
    /// The size of the directory, in bytes, at which a value is closed.
    pub directory_bytes: usize,
    /// The maximum number of rows in a page, up to [`PAGE_ROWS_MAX`].
    pub page_rows: usize,
    /// The number of rows after which a page ends at the end of a series.
    pub page_rows_enough: usize,
    /// The maximum number of cells in a page: rows times columns.
    pub page_cells: usize,
    /// The size of the values' text and the series' keys at which a page ends, in bytes.
    pub page_text_bytes: usize,
    /// The number of pages at which a group ends. A group may exceed this limit and the following
    /// limits by a quarter.
    pub group_pages: usize,
    /// The number of cells at which a group ends: rows times columns.
    pub group_cells: usize,
    /// The size of the series' keys at which a group ends, in bytes.
    pub group_key_bytes: usize,
    /// The size of the text at which a group ends, in bytes.
    pub group_text_bytes: usize,
    /// The number of decoded values at which a group ends, including all values of source pages.
    pub group_cells_read: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            value_bytes: VALUE_BYTES_MAX,
            directory_bytes: 128 << 10,
            page_rows: PAGE_ROWS_MAX,
            page_rows_enough: 512,
            page_cells: 131_072,
            page_text_bytes: 256 << 10,
            group_pages: 64,
            group_cells: 250_000,
            group_key_bytes: 512 << 10,
            group_text_bytes: 1 << 20,
            group_cells_read: 1_000_000,
        }
    }
}
