//! Serves the v3 query routes.
//!
//! [`request`] parses the parameters of both routes: `db` (or `db/rp`), `q`, `format`, `params` and
//! the header `Accept`. The parameters come from the URL, a form or a JSON body, which may be
//! compressed. [`influxql`] runs InfluxQL.

pub mod influxql;
pub mod request;
mod rewriting;
mod show;
