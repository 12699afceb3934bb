//! Tidemark: an InfluxDB-compatible time-series database for Cloudflare Workers.

pub mod model;
