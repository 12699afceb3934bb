//! Runs the whole database in one place: every object has a store in memory and is called in
//! process.
//!
//! In the browser's build the page calls it, from a web worker of its own; in native tests it is
//! the product without a network. What the page wishes to keep is an [`image`] of the stores.

pub mod image;
pub mod in_process;
pub mod influxql_outline;
#[cfg(target_arch = "wasm32")]
pub mod page;
pub mod validate;
