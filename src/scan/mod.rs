//! What a shard evaluates over its blocks, and the states that the edge merges.
//!
//! A [`request::ScanRequest`] names one measurement, a time range, a predicate on column ids and
//! either columns to ship or aggregates to compute. [`reader::Reader`] hands in the shard's data as
//! merges of its sorted runs: series by key, rows of each by time, the last write winning. The
//! answer comes in slices, each of them in pieces ([`page::ScanPage`]) that end where the event's
//! work does; who asks puts them together.

mod accumulator;
mod aggregates;
mod bounds;
mod dense;
pub mod error;
mod factory;
pub mod gathered;
mod groups;
mod input;
pub mod kept;
mod keys;
pub mod page;
pub mod partial;
mod predicate;
pub mod reader;
pub mod request;
mod rows;
mod run;
mod selectors;
mod show;
mod slice;
mod spans;
mod states;
mod stretches;
mod tiles;
mod whole;
pub mod window;

use error::ScanError;
use page::{ScanPage, SummaryPage};
use reader::{ReadStats, Reader};
use request::{ScanRequest, SummaryRequest};

pub use page::{PageLimits, SummaryLimits, TileLimits};

/// One piece of the answer to `request`.
///
/// # Errors
/// [`ScanError`] when a block cannot be read or the request makes no sense.
pub fn scan(
    reader: &dyn Reader,
    request: &ScanRequest,
    limits: PageLimits,
) -> Result<ScanPage, ScanError> {
    whole::piece(reader, request, limits)
}

/// What a scan would read: its series are found, no rows are.
///
/// # Errors
/// As [`scan`].
pub fn explain(reader: &dyn Reader, request: &ScanRequest) -> Result<ReadStats, ScanError> {
    slice::explain(reader, request)
}

/// One page of what exists.
///
/// # Errors
/// [`ScanError`] when a part cannot be read or a predicate makes no sense.
pub fn summarise(
    reader: &dyn Reader,
    request: &SummaryRequest,
    limits: SummaryLimits,
) -> Result<SummaryPage, ScanError> {
    show::page(reader, request, limits)
}

#[cfg(test)]
mod tests;
