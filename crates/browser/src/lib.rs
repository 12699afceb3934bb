//! Runs the whole database in one process: the store of every object is in memory, and calls are
//! function calls.
//!
//! The browser build runs in a dedicated web worker of the page. Native tests use this module to
//! run the product without a network. The page stores an [`image`] of the stores.

pub mod image;
pub mod in_process;
pub mod influxql_outline;
#[cfg(target_arch = "wasm32")]
pub mod page;
pub mod validate;
