//! How large pages, groups and values get.

use crate::part::{PAGE_ROWS_MAX, VALUE_BYTES_MAX};

/// Limits of what is written; the default is what the product writes. Smaller ones make a little
/// data lie as much does.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Head and body of a value, bytes. One page of one column always fits the default.
    pub value_bytes: usize,
    /// A value whose directory is at least as long is closed, bytes.
    pub directory_bytes: usize,
    /// Rows of a page: at most [`PAGE_ROWS_MAX`].
    pub page_rows: usize,
    /// A page ends at the end of a series from this many rows on.
    pub page_rows_enough: usize,
    /// Rows times columns of a page.
    pub page_cells: usize,
    /// The text of a page's values, or the keys of its series, from which on it ends, bytes.
    pub page_text_bytes: usize,
    /// Pages of a group; it ends where a page does when it has enough, or a quarter above.
    pub group_pages: usize,
    /// Rows times columns of a group,
    pub group_cells: usize,
    /// the keys of its series, bytes,
    pub group_key_bytes: usize,
    /// its text, bytes,
    pub group_text_bytes: usize,
    /// and values that are decoded for it: of pages of which little is taken, too.
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
