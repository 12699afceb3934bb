//! Refuses paths that InfluxDB supports but this server does not, and names alternatives.

use crate::error::{ApiError, ApiResult, FLUX_PATH};
use crate::routes::handler::{PendingRequest, Request};

/// The first segments of 2.x's paths under `/api/v2`. The route table takes precedence.
const V2: &str = "annotations authorizations backup buckets checks config dashboards dbrps flags \
                  labels legacy maps me notebooks notificationEndpoints notificationRules orgs \
                  query remotes replications resources restore scrapers scripts setup signin \
                  signout sources stacks tasks telegraf telegrafs templates users variables";
/// The first segments of InfluxDB 3's paths under `/api/v3`. The route table takes precedence.
const V3: &str = "configure engine enterprise plugin_test plugins show test";
/// The first segments of InfluxDB 3's paths of plugins under `/api/v3/configure`.
const PLUGIN_SETTINGS: &str =
    "plugin_environment processing_engine_plugin processing_engine_trigger";

/// Refuses a request of an unsupported path. The error names the alternative.
pub fn begin(request: &Request) -> ApiResult<PendingRequest> {
    let path = request.head.route();
    let instead = instead_of(path).unwrap_or_default();
    Err(ApiError::NotImplemented(format!("{path} is not supported: {instead}")))
}

/// Returns the alternative to an unsupported path of InfluxDB, or `None` for any other path.
pub fn instead_of(path: &str) -> Option<&'static str> {
    Some(match path {
        FLUX_PATH => "query with InfluxQL at /query instead of Flux",
        "/api/v3/configure/token/admin/regenerate" => {
            "the admin token is the secret ADMIN_TOKEN: set ADMIN_TOKEN_NEXT, move the clients, \
             then set ADMIN_TOKEN; to replace a database token, create another one at \
             /api/v3/configure/token"
        }
        "/api/v3/configure/token/admin" | "/api/v3/configure/token/named_admin" => {
            "the admin token is the secret ADMIN_TOKEN; create database tokens at \
             /api/v3/configure/token"
        }
        "/api/v3/configure/database/retention_period" => {
            "change the retention period with PUT /api/v3/configure/database"
        }
        "/api/v2/signin" | "/api/v2/signout" => {
            "the server has no sessions: send a token with every request, or name:password in \
             place of the token"
        }
        // The command `influx v1 auth` uses the path `/private/legacy`.
        path if is_known_path(path, "/api/v2", "authorizations users")
            || is_known_path(path, "/legacy", "authorizations")
            || is_known_path(path, "/private/legacy", "authorizations") =>
        {
            "create, list and delete tokens at /api/v3/configure/token, and users with CREATE USER \
             at /query"
        }
        path if is_known_path(path, "/api/v2", V2) => {
            "the supported paths of the v2 API are /api/v2/write, delete, buckets, dbrps, orgs, \
             ready and setup; query with InfluxQL at /query"
        }
        path if is_known_path(path, "/api/v3/configure", "last_cache distinct_cache") => {
            "the server has no such caches: use last() and SHOW TAG VALUES at /query, or SELECT \
             DISTINCT ON and SELECT DISTINCT at /api/v3/query_sql"
        }
        path if is_known_path(path, "/api/v3/configure", PLUGIN_SETTINGS)
            || is_known_path(path, "/api/v3", "engine plugin_test plugins") =>
        {
            "the server has no plugins: use CREATE CONTINUOUS QUERY at /query, or a program that \
             calls the API"
        }
        path if is_known_path(path, "/api/v3", V3) => {
            "the supported paths of the v3 API are /api/v3/write_lp, query_influxql, query_sql, \
             export, configure/database, configure/table, configure/token, configure/quota, \
             configure/backup, configure/access, backup, backup/verify, restore and recover; query \
             with InfluxQL at /query"
        }
        path if is_known_path(path, "/api/v1/prom", "read") => {
            "Prometheus' remote read is not supported; query with InfluxQL at /query"
        }
        path if is_known_path(path, "/debug", "vars requests pprof") => {
            "read counters at /metrics, or with SHOW STATS and SHOW DIAGNOSTICS at /query"
        }
        _ => return None,
    })
}

/// Whether `path` is one of the paths `known` under `parent`, or is below such a path. Spaces
/// separate the paths.
fn is_known_path(path: &str, parent: &str, known: &str) -> bool {
    let rest = path.strip_prefix(parent).and_then(|rest| rest.strip_prefix('/'));
    let name = rest.and_then(|rest| rest.split('/').next());
    name.is_some_and(|name| known.split(' ').any(|known| known == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsupported_influxdb_routes_suggest_alternatives() {
        for path in [
            "/api/v2/query",
            "/api/v2/query/analyze",
            "/api/v2/tasks/0123",
            "/api/v2/telegrafs",
            "/api/v2/buckets/0123/labels",
            "/api/v2/scripts",
            "/api/v2/authorizations",
            "/legacy/authorizations",
            "/private/legacy/authorizations/0123/password",
            "/api/v3/configure/distinct_cache",
            "/api/v3/configure/processing_engine_trigger/enable",
            "/api/v3/plugins/files",
            "/api/v1/prom/read",
            "/debug/vars",
            "/debug/pprof/heap",
        ] {
            assert!(instead_of(path).is_some_and(|text| text.contains("/query")), "{path}");
        }
        for path in [
            "/",
            "/api",
            "/api/v2",
            "/api/v2/nonsense",
            "/api/v2/tasksx",
            "/api/v20",
            "/api/v3/nonsense",
            "/api/v4/x",
            "/arrow",
            "/debug",
            "/private",
            "/private/legacy",
            "/wp-login.php",
        ] {
            assert_eq!(instead_of(path), None, "{path}");
        }
    }
}
