//! Defines the route table. A new route is one row here and a function in the file of its subject.
//!
//! [`super::exchange`] processes every request according to the route's row.

mod backup;
pub mod buckets;
mod databases;
mod delete;
mod export;
mod flight;
pub mod handler;
pub mod health;
pub(crate) mod metric_protocols;
pub mod metrics;
pub mod query;
pub mod query_v3;
mod quota;
mod tables;
mod tokens;
pub mod unsupported;
mod write;

use super::error::ErrorShape;
use super::params::Dialect;
use buckets::Resource;
use handler::Begin;
use metric_protocols::{otlp, remote_write};
use query_v3::{influxql, sql};
use tidemark_model::grant::PermissionKind;
use tidemark_model::limits::{ACCESS_BODY_BYTES_MAX, MANAGEMENT_BODY_BYTES_MAX};

/// A path and its operations.
pub struct Route {
    /// The path without trailing slashes. `/{id}` at its end matches any one segment.
    pub path: &'static str,
    /// The format of error bodies.
    pub errors: ErrorShape,
    /// The operations, in the order of `Allow`.
    pub operations: &'static [Operation],
}

/// An operation of a path, and its methods.
pub struct Operation {
    /// The methods in upper case; empty for every method.
    pub methods: &'static [&'static str],
    /// The callers who may use the operation.
    pub access: Access,
    /// The accepted body.
    pub body: Body,
    /// The function that parses the URL.
    pub begin: Begin,
}

/// The callers who may use an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Every client, without credentials.
    Open,
    /// Every identified caller. The response contains only the data that the caller may see.
    Known,
    /// Callers with this permission on the policy that the request names.
    Policy(PermissionKind),
    /// Callers with this permission on every policy of the database that the request names.
    Database(PermissionKind),
    /// Callers who may run every statement of the request.
    Statements,
    /// Callers with the admin token.
    Admin,
}

/// The body that an operation accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// The body is not read.
    None,
    /// The whole body, up to this number of bytes.
    Bytes(usize),
    /// The whole body of a query, up to a multiple of the operator's limit for the query's text.
    Query,
    /// Line protocol, plain or compressed, which is converted into columns while it arrives.
    Lines,
    /// The whole body of a metric protocol, up to the limits of line protocol.
    Samples,
}

const WRITE: Access = Access::Policy(PermissionKind::Write);
const JSON: Body = Body::Bytes(MANAGEMENT_BODY_BYTES_MAX);

/// Every route.
#[rustfmt::skip]
pub static ROUTES: &[Route] = &[
    route("/write", ErrorShape::Write(Dialect::V1), &[
        on(&["POST"], WRITE, Body::Lines, |request| write::begin(request, Dialect::V1)),
    ]),
    route("/api/v2/write", ErrorShape::V2, &[
        on(&["POST"], WRITE, Body::Lines, |request| write::begin(request, Dialect::V2)),
    ]),
    route("/api/v3/write_lp", ErrorShape::Write(Dialect::V3), &[
        on(&["POST"], WRITE, Body::Lines, |request| write::begin(request, Dialect::V3)),
    ]),
    route("/api/v1/write", ErrorShape::Text, REMOTE_WRITE),
    // InfluxDB 1.x uses this path.
    route("/api/v1/prom/write", ErrorShape::Text, REMOTE_WRITE),
    route("/v1/metrics", ErrorShape::Otlp, &[
        on(&["POST"], WRITE, Body::Samples, otlp::begin),
    ]),
    route("/query", ErrorShape::Query(Dialect::V1), &[
        on(&["GET"], Access::Statements, Body::None, query::begin),
        on(&["POST"], Access::Statements, Body::Query, query::begin),
    ]),
    route("/ping", ErrorShape::Other, &[
        on(&["GET", "HEAD", "POST"], Access::Open, Body::None, health::begin_ping),
    ]),
    route("/status", ErrorShape::Other, &[
        on(&["GET", "HEAD"], Access::Open, Body::None, health::begin_ping),
    ]),
    route("/health", ErrorShape::Other, HEALTH),
    route("/api/v1/health", ErrorShape::Other, HEALTH),
    route("/ready", ErrorShape::Other, READY),
    route("/api/v2/delete", ErrorShape::V2, &[
        on(&["POST"], Access::Database(PermissionKind::Write), JSON, delete::begin),
    ]),
    route("/api/v2/buckets", ErrorShape::V2, &[
        on(&["GET"], Access::Known, Body::None, |_| buckets::begin(Resource::Buckets)),
        on(&["POST"], Access::Admin, JSON, |_| buckets::begin(Resource::Buckets)),
    ]),
    route("/api/v2/buckets/{id}", ErrorShape::V2, &[
        on(&["GET"], Access::Known, Body::None, |_| buckets::begin(Resource::Buckets)),
        on(&["PATCH", "DELETE"], Access::Admin, JSON, |_| buckets::begin(Resource::Buckets)),
    ]),
    route("/api/v2/dbrps", ErrorShape::V2, &[
        on(&["GET"], Access::Known, Body::None, |_| buckets::begin(Resource::Dbrps)),
        on(&["POST"], Access::Admin, JSON, |_| buckets::begin(Resource::Dbrps)),
    ]),
    route("/api/v2/dbrps/{id}", ErrorShape::V2, &[
        on(&["GET"], Access::Known, Body::None, |_| buckets::begin(Resource::Dbrps)),
        on(&["PATCH", "DELETE"], Access::Admin, JSON, |_| buckets::begin(Resource::Dbrps)),
    ]),
    route("/api/v2/orgs", ErrorShape::V2, &[
        on(&["GET"], Access::Known, Body::None, buckets::begin_orgs),
        on(&["POST"], Access::Admin, JSON, |_| buckets::begin_create_org()),
    ]),
    route("/api/v2/orgs/{id}", ErrorShape::V2, &[
        on(&["GET"], Access::Known, Body::None, buckets::begin_orgs),
    ]),
    route("/api/v2/ready", ErrorShape::V2, READY),
    route("/api/v2/setup", ErrorShape::V2, &[
        on(&["GET", "POST"], Access::Open, Body::None, health::begin_setup),
    ]),
    route("/api/v3/query_influxql", ErrorShape::Query(Dialect::V3), &[
        on(&["GET"], Access::Statements, Body::None, |_| query_v3::begin(influxql::respond)),
        on(&["POST"], Access::Statements, Body::Query, |_| {
            query_v3::begin(influxql::respond)
        }),
    ]),
    route("/api/v3/query_sql", ErrorShape::Query(Dialect::V3), &[
        on(&["GET"], Access::Statements, Body::None, |_| query_v3::begin(sql::respond)),
        on(&["POST"], Access::Statements, Body::Query, |_| query_v3::begin(sql::respond)),
    ]),
    route("/arrow.flight.protocol.FlightService/{id}", ErrorShape::Flight, &[
        on(&["POST"], Access::Statements, Body::Query, flight::begin),
    ]),
    route("/api/v3/export", ErrorShape::Other, &[
        on(&["GET"], Access::Policy(PermissionKind::Read), Body::None, export::begin),
        on(&["POST"], Access::Policy(PermissionKind::Read), Body::Query, export::begin),
    ]),
    route("/api/v3/configure/database", ErrorShape::Other, &[
        on(&["GET"], Access::Known, Body::None, databases::begin_list),
        on(&["POST", "PUT", "DELETE"], Access::Admin, JSON, databases::begin_change),
    ]),
    route("/api/v3/configure/table", ErrorShape::Other, &[
        on(&["POST"], Access::Admin, JSON, tables::begin),
        on(&["DELETE"], Access::Admin, Body::None, tables::begin),
    ]),
    route("/api/v3/configure/token", ErrorShape::Other, TOKENS),
    // InfluxDB 3 Enterprise uses this path.
    route("/api/v3/enterprise/configure/token", ErrorShape::Other, TOKENS),
    route("/api/v3/configure/quota", ErrorShape::Other, &[
        on(&["GET"], Access::Admin, Body::None, quota::begin),
        on(&["POST"], Access::Admin, JSON, quota::begin),
    ]),
    route("/api/v3/configure/backup", ErrorShape::Other, &[
        on(&["GET"], Access::Admin, Body::None, backup::begin_schedule),
        on(&["POST"], Access::Admin, JSON, backup::begin_schedule),
        on(&["DELETE"], Access::Admin, Body::None, backup::begin_schedule),
    ]),
    route("/api/v3/configure/access", ErrorShape::Other, &[
        on(&["GET"], Access::Admin, Body::None, tokens::begin_access),
        on(&["POST"], Access::Admin, Body::Bytes(ACCESS_BODY_BYTES_MAX), tokens::begin_access),
    ]),
    route("/metrics", ErrorShape::Other, &[
        on(&["GET"], Access::Database(PermissionKind::Metrics), Body::None, metrics::begin),
    ]),
    route("/metrics/targets", ErrorShape::Other, &[
        on(&["GET"], Access::Known, Body::None, metrics::begin_targets),
    ]),
    route("/api/v3/backup", ErrorShape::Other, &[
        on(&["GET"], Access::Admin, Body::None, backup::begin),
        on(&["POST"], Access::Admin, JSON, backup::begin),
        on(&["DELETE"], Access::Admin, Body::None, backup::begin),
    ]),
    route("/api/v3/backup/verify", ErrorShape::Other, &[
        on(&["POST"], Access::Admin, JSON, backup::begin_verify),
    ]),
    route("/api/v3/restore", ErrorShape::Other, &[
        on(&["POST"], Access::Admin, JSON, backup::begin_restore),
    ]),
    route("/api/v3/recover", ErrorShape::Other, &[
        on(&["GET"], Access::Admin, Body::None, backup::begin_recover),
        on(&["POST"], Access::Admin, JSON, backup::begin_recover),
    ]),
    route("/debug/verify", ErrorShape::Other, &[
        on(&["POST"], Access::Admin, JSON, backup::begin_checksums),
    ]),
];

// Operations of several paths.
const HEALTH: &[Operation] = &[on(&["GET", "HEAD"], Access::Open, Body::None, health::begin)];
const REMOTE_WRITE: &[Operation] = &[on(&["POST"], WRITE, Body::Samples, remote_write::begin)];
const READY: &[Operation] = &[on(&["GET", "HEAD"], Access::Open, Body::None, health::begin_ready)];
#[rustfmt::skip]
const TOKENS: &[Operation] = &[
    on(&["GET"], Access::Admin, Body::None, tokens::begin),
    on(&["POST"], Access::Admin, JSON, tokens::begin),
    on(&["DELETE"], Access::Admin, Body::None, tokens::begin),
];

/// The route of all paths that InfluxDB supports but this server does not. Its error names an
/// alternative.
static UNSUPPORTED: Route = route(OTHER, ErrorShape::Other, ONLY_INFLUXDB);
static UNSUPPORTED_V2: Route = route(OTHER, ErrorShape::V2, ONLY_INFLUXDB);
const ONLY_INFLUXDB: &[Operation] = &[on(&[], Access::Known, Body::None, unsupported::begin)];

/// The name of all unknown paths in the log. The path itself is not logged, because it may contain
/// secrets.
pub(super) const OTHER: &str = "other";

const fn route(path: &'static str, errors: ErrorShape, operations: &'static [Operation]) -> Route {
    Route { path, errors, operations }
}

const fn on(
    methods: &'static [&'static str],
    access: Access,
    body: Body,
    begin: Begin,
) -> Operation {
    Operation { methods, access, body, begin }
}

impl Route {
    /// Returns the value of `{id}`, `Some(None)` for a route without `{id}`, or `None` if the path
    /// does not match.
    fn matches<'p>(&self, path: &'p str) -> Option<Option<&'p str>> {
        let Some(parent) = self.path.strip_suffix("/{id}") else {
            return (self.path == path).then_some(None);
        };
        let id = path.strip_prefix(parent)?.strip_prefix('/')?;
        (!id.contains('/')).then_some(Some(id))
    }

    /// Returns the route's name for the log, without ids, because ids are numerous and private.
    pub fn log_name(&self) -> &'static str {
        self.path.strip_suffix("/{id}").unwrap_or(self.path)
    }

    /// Returns the operation for `method`, or `None` if the route does not support the method.
    pub fn operation(&self, method: &str) -> Option<&'static Operation> {
        let takes = |op: &&Operation| op.methods.is_empty() || op.methods.contains(&method);
        self.operations.iter().find(takes)
    }

    /// Returns the methods in the format of the header `Allow`.
    pub fn allow(&self) -> String {
        let methods = self.operations.iter().flat_map(|op| op.methods).copied();
        methods.collect::<Vec<_>>().join(", ")
    }
}

/// The path prefixes before the database's name, and the first part of the paths that may follow the
/// name. With such a path, a program that has only a setting for a URL can select a database.
const DATABASE_PREFIXES: [(&str, &str); 2] = [("/prometheus/", "/api/v1/"), ("/otlp/", "/v1/")];

/// Splits a path such as `/prometheus/{db}/api/v1/write` into the percent-encoded name of the
/// database and the path of the route.
pub fn split_database(path: &str) -> (Option<&str>, &str) {
    let split = DATABASE_PREFIXES.iter().find_map(|(prefix, root)| {
        let (database, _) = path.strip_prefix(prefix)?.split_once('/')?;
        let route = path.get(prefix.len() + database.len()..)?;
        (!database.is_empty() && route.starts_with(root)).then_some((Some(database), route))
    });
    split.unwrap_or((None, path))
}

/// Returns the route of a path without trailing slashes, and the id in the path.
pub fn find(path: &str) -> Option<(&'static Route, Option<&str>)> {
    let found = ROUTES.iter().find_map(|route| Some((route, route.matches(path)?)));
    found.or_else(|| {
        unsupported::instead_of(path)?;
        let is_v2 = path.starts_with("/api/v2/");
        Some((if is_v2 { &UNSUPPORTED_V2 } else { &UNSUPPORTED }, None))
    })
}

#[cfg(test)]
mod tests;
