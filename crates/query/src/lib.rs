//! Plans and executes the statements that read data. This module performs no I/O, reads no clock,
//! and does not depend on objects. The route chooses the shards of each scan.
//!
//! A SELECT is executed in three steps:
//! - [`source::sources`] lists the policies whose schemas the statement needs.
//! - [`compile::compile`] checks the statement and lowers it to scans. The module [`plan`] defines
//!   the terms node, input, feed and binding.
//! - [`executor::Executor`] requests the pages of the scans from any number of shards, and returns
//!   the result in chunks.
//!
//! A SHOW statement is executed in the same three steps, in [`metadata`].

pub mod admission;
pub mod compile;
pub mod data_type;
pub mod error;
mod exec_step;
pub mod executor;
pub mod functions;
mod group;
mod math;
pub mod metadata;
mod operators;
pub mod plan;
pub mod result;
mod scalar;
mod sort;
pub mod source;
pub mod stream;
mod subquery_rows;
mod transforms;
mod whole_window;
pub mod work;
