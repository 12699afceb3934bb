//! Messages between edge, Catalog, Database and Shards, and the calls that carry them.

pub mod call;
