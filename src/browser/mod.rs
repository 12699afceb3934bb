//! The whole database in one place: every object over the store in memory, called in process.
//!
//! In the browser's build the page calls it; in native tests it is the product without a network.

pub mod in_process;
