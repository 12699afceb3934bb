//! Paths that the vendor's servers have and this one does not, to a refusal naming what to use.

use super::error::ApiError;

/// 501 for a path of the vendor's API, 404 for any other.
pub fn refusal(path: &str) -> ApiError {
    let instead = match path {
        "/api/v2/query" => "Flux is not spoken here; query with InfluxQL at /query",
        "/api/v2/delete" => {
            "delete with the InfluxQL statement DELETE or DROP SERIES at POST /query"
        }
        "/api/v3/configure/token/admin" | "/api/v3/configure/token/named_admin" => {
            "the admin token is the secret ADMIN_TOKEN; make database tokens at \
             /api/v3/configure/token"
        }
        "/api/v3/query_sql" => "SQL is not spoken here; query with InfluxQL at /query",
        "/api/v3/query_influxql" => "query with InfluxQL at /query",
        path if path.starts_with("/arrow.flight.") => {
            "Arrow Flight is not spoken here; query with InfluxQL at /query"
        }
        path if is_under(path, "/api/v2") => {
            "of the v2 API there are /api/v2/write, buckets, dbrps, orgs, ready and setup; query \
             with InfluxQL at /query"
        }
        path if is_under(path, "/api/v3") => {
            "of the v3 API there are /api/v3/write_lp and /api/v3/configure/database; query with \
             InfluxQL at /query"
        }
        path => return ApiError::NoRoute(path.to_owned()),
    };
    ApiError::NotImplemented(format!("{path} is not supported: {instead}"))
}

fn is_under(path: &str, parent: &str) -> bool {
    path.strip_prefix(parent).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_vendor_has_is_501_and_the_rest_404() {
        for path in [
            "/api/v2/query",
            "/api/v2/delete",
            "/api/v2/tasks/0123",
            "/api/v2",
            "/api/v3/query_sql",
            "/arrow.flight.protocol.FlightService/DoGet",
        ] {
            let error = refusal(path);
            assert_eq!(
                (error.status(), error.to_string().contains("/query")),
                (501, true),
                "{path}"
            );
        }
        for path in ["/", "/api", "/api/v20", "/api/v4/x", "/arrow"] {
            assert_eq!(refusal(path), ApiError::NoRoute(path.to_owned()));
        }
    }
}
