//! Sorted sources of rows to one: series by key, rows of a series by time, the last write winning.
//!
//! A source is a [`cursor::SeriesCursor`]: a part at rest or the rows in memory. [`hide::Hide`]
//! around it takes out what a delete or a drop hides, and a [`kway::Merge`] of up
//! to [`cursor::CURSORS_MAX`] of them reads as if there were one. Flush, compaction, scan and
//! export are each a merge and what consumes it. Where the bytes of a source come from, and what
//! becomes of the rows, is left to others.
//!
//! Keys first, then one column at a time: a merge decides by keys and times alone which row of
//! which page comes where ([`picks::Picks`]) and fetches a column only when it is asked for it. So
//! it holds the times of a page and one column of each source, however many columns there are.

pub mod condition;
pub mod cursor;
pub mod hide;
mod join;
pub mod key;
pub mod kway;
mod overlay;
pub mod picks;
pub mod sequences;

#[cfg(test)]
pub(crate) mod tests;
