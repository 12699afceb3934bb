//! Merges sorted sources of rows. Series are ordered by key and the rows of a series by time. The
//! last write wins.
//!
//! A source is a [`cursor::SeriesCursor`] over a part or over the rows in memory.
//! [`hide::VisibleCursor`] wraps a source and removes hidden rows. [`kway::Merge`] reads up to
//! [`cursor::CURSORS_MAX`] sources as a single source. Flushes, compactions, scans and exports read
//! their rows from a merge.
//!
//! A merge uses only keys and times to determine the order of the rows ([`picks::Picks`]). The
//! columns are then read one at a time on request. For any number of columns, the memory of a merge
//! is therefore one page of times and one column per source.

pub mod condition;
pub mod cursor;
pub mod hide;
pub mod key;
pub mod kway;
pub mod picks;
pub mod sequences;

#[cfg(test)]
pub(crate) mod tests;
