//! Evaluates scans and summaries on a shard, and merges partial states at the edge.
//!
//! A [`request::ScanRequest`] names one measurement, a time range, a predicate on column ids, and
//! either the columns to return or the aggregates to compute. [`reader::Reader`] provides the
//! shard's data as merges of sorted runs: series by key, and the rows of a series by time. If
//! several runs have a row with the same series and time, the last write wins.
//!
//! A scan's result is divided into slices, and a slice into pages ([`page::ScanPage`]). A page ends
//! when the event reaches its work limit. The caller combines the pages of a slice.

mod accumulator;
mod aggregates;
mod bounds;
pub mod error;
mod explain;
pub mod gathered;
mod groups;
pub mod cached;
mod keys;
pub mod page;
pub mod partial;
mod predicate;
pub mod reader;
pub mod request;
mod run;
mod selectors;
mod show;
mod slice;
mod spans;
mod stretches;
mod ties;
mod tiles;
pub mod window;

use error::ScanError;
use page::{ScanPage, SummaryPage};
use reader::Reader;
use request::{ScanRequest, SummaryRequest};

pub use page::{PageLimits, SummaryLimits, TileLimits};

/// Returns the page of the result that `request` names.
///
/// # Errors
/// Returns [`ScanError`] if a block cannot be read or the request is invalid.
pub fn scan(
    reader: &dyn Reader,
    request: &ScanRequest,
    limits: PageLimits,
) -> Result<ScanPage, ScanError> {
    slice::piece(reader, request, limits)
}

/// Returns a page without groups. Its statistics are the amount of data that a scan would read.
///
/// # Errors
/// Returns [`ScanError`] if a part cannot be read or the request is invalid.
pub fn explain(reader: &dyn Reader, request: &ScanRequest) -> Result<ScanPage, ScanError> {
    explain::page(reader, request)
}

/// Returns one page of a summary (for SHOW statements).
///
/// # Errors
/// Returns [`ScanError`] if a part cannot be read or a predicate is invalid.
pub fn summarise(
    reader: &dyn Reader,
    request: &SummaryRequest,
    limits: SummaryLimits,
) -> Result<SummaryPage, ScanError> {
    show::page(reader, request, limits)
}

#[cfg(test)]
mod tests;
