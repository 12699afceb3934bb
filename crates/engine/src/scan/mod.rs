//! Evaluates scans and summaries on a shard, and merges partial states at the edge.
//!
//! A [`request::ScanRequest`] names one measurement, a time range, a predicate on column ids, and
//! either the columns to return or the aggregates to compute. A summary lists names for SHOW
//! statements: measurements, columns, tag values or series.
//!
//! [`reader::Reader`] provides the shard's data as merges of sorted *runs* (parts and the
//! memtable): series by key, and the rows of a series by time. If several runs have a row with the
//! same series and time, the last write wins.
//!
//! A scan's result is divided into *slices*, and a slice into pages ([`page::ScanPage`]). A page
//! ends when the event reaches its work limit. The caller combines the pages of a slice. Within a
//! slice, a scan reads one time range after another (*stretch*). A *tile* is a stretch whose result
//! may be cached. A *partial state* is the intermediate result of an aggregate for one group and
//! window, such as the sum and the count of a mean.

mod accumulator;
mod aggregates;
mod bounds;
pub mod cached;
pub mod error;
mod explain;
mod functions;
mod group_rows;
mod group_states;
mod groups;
mod keys;
mod mask;
pub mod math;
mod number;
pub mod page;
pub mod partial;
mod predicate;
pub mod read_stats;
pub mod reader;
pub mod request;
mod selectors;
mod series_rows;
mod series_tags;
mod show;
mod slice;
mod spans;
mod stretches;
mod ties;
mod tiles;
pub mod window;

pub use explain::explain;
pub use page::{PageLimits, SummaryLimits, TileLimits};
pub use show::summarise;
pub use slice::{scan, scan_with};

#[cfg(test)]
mod tests;
