//! What a shard evaluates over its blocks, and the states that the edge merges.
//!
//! A [`request::ScanRequest`] names one measurement, a time range, a predicate on column ids and
//! either columns to ship or aggregates to compute. [`source::Source`] hands in the shard's data,
//! series by series. The answer is a [`page::ScanPage`]: groups in ascending order of their tag
//! values, each group's rows or windows in order of time, and a resume key when the page was full.
//! Last write wins between the parts of a source is applied here, before any predicate.

mod accumulator;
mod aggregates;
mod dense;
mod driver;
pub mod error;
mod factory;
pub mod gathered;
mod group_rows;
mod group_states;
mod input;
mod keys;
mod merge;
pub mod page;
pub mod partial;
mod predicate;
pub mod reader;
pub mod request;
mod selectors;
mod series_index;
mod show;
pub mod source;
mod spans;
mod walk;
pub mod window;

use error::ScanError;
use page::{ScanPage, SummaryPage};
use reader::Reader;
use request::{ScanRequest, SummaryRequest};
use source::Source;

pub use page::{PageLimits, SummaryLimits};

/// One page of the answer to `request`, starting where `request.resume` says.
///
/// # Errors
/// [`ScanError`] when a block cannot be read or the request makes no sense.
pub fn scan(
    source: &mut dyn Source,
    request: &ScanRequest,
    limits: PageLimits,
) -> Result<ScanPage, ScanError> {
    driver::page(source, request, limits)
}

/// What a scan would read.
///
/// # Errors
/// As [`scan`].
pub fn explain(
    source: &mut dyn Source,
    request: &ScanRequest,
) -> Result<source::ReadStats, ScanError> {
    driver::explain(source, request)
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
