//! Turns a statement into its answer: it plans, says what to ask the shards for, merges their pages
//! and finishes the result.
//!
//! For SELECT: [`source::sources`] says which policies' schemas are needed, [`compile::compile`]
//! checks the statement and lowers it to scans, [`executor::Executor`] asks for pages of those
//! scans (from however many shards each one touches) and yields the result piece by piece.
//! For SHOW: [`metadata`], in the same three steps. Nothing here does I/O, reads a clock or knows
//! about objects; which shards a scan touches is the route's business.

mod call_run;
pub mod compile;
mod data_type;
mod subquery_rows;
pub mod error;
pub mod executor;
pub mod functions;
mod group;
mod math;
pub mod metadata;
mod operators;
pub mod plan;
pub mod result;
mod scalar;
pub mod source;
pub(crate) mod stream;
mod transforms;
pub mod work;
