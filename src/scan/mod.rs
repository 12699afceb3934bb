//! What a shard evaluates over its blocks, and the states that the edge merges.
//!
//! A [`request::ScanRequest`] names one measurement, a time range, a predicate on column ids and
//! either columns to ship or aggregates to compute. [`source::Source`] hands in the shard's data,
//! series by series. The answer is a [`page::ScanPage`]: groups in ascending order of their tag
//! values, each group's rows or windows in order of time, and a resume key when the page was full.
//! Last write wins between the parts of a source is applied here, before any predicate.

pub mod page;
pub mod request;
pub mod source;
