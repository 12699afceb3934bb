//! Serves the v3 query routes.
//!
//! [`request`] reads what both of them take: `db` (or `db/rp`), `q`, `format`, `params` and the
//! header `Accept`, from the URL, a form or a JSON body, packed or not. Every refusal has the body
//! `{"error"}`, which is `ErrorShape::Query` in the routes' rows. [`influxql`] runs InfluxQL.

pub mod influxql;
pub mod request;
mod rewriting;
mod show;
