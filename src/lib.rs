//! Tidemark: an InfluxDB-compatible time-series database for Cloudflare Workers.

pub mod api;
pub mod influxql;
pub mod model;

pub mod batch;
pub mod codec;
pub mod protocol;
pub mod query;
pub mod response;
pub mod route;
pub mod scan;
pub mod shard;
pub mod store;
