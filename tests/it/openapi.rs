//! Compares the table of routes with two other files. `www/openapi.json` must describe every route,
//! method and status. `wrangler.toml` must send every path to the Worker.

use std::collections::BTreeSet;

use serde_json::Value;
use tidemark_server::http::RequestHead;
use tidemark_server::routes::{self, Access, ROUTES};

use crate::http::answered;
use crate::product::Product;
use crate::repository::text;

const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];

fn paths() -> Vec<(String, Value)> {
    let description: Value = serde_json::from_str(&text("www/openapi.json")).unwrap();
    let paths = description["paths"].as_object().unwrap();
    paths.iter().map(|(path, item)| (path.clone(), item.clone())).collect()
}

fn described() -> BTreeSet<(String, String, u16)> {
    let mut all = BTreeSet::new();
    for (path, item) in paths() {
        for method in METHODS {
            let Some(operation) = item.get(method.to_lowercase()) else { continue };
            for status in operation["responses"].as_object().unwrap().keys() {
                all.insert((method.to_owned(), path.clone(), status.parse().unwrap()));
            }
        }
    }
    all
}

fn template(path: &str, all: &[(String, Value)]) -> Option<String> {
    let fits = |template: &str| match template.strip_suffix("{id}") {
        Some(parent) => path.strip_prefix(parent).is_some_and(|id| !id.contains('/')),
        None => template == path,
    };
    all.iter().map(|(template, _)| template).find(|template| fits(template)).cloned()
}

fn in_the_table() -> BTreeSet<(String, String)> {
    let operations = ROUTES.iter().flat_map(|route| {
        let methods = route.operations.iter().flat_map(|operation| operation.methods);
        methods.map(|method| ((*method).to_owned(), route.path.to_owned()))
    });
    operations.collect()
}

#[test]
fn openapi_paths_match_route_table() {
    let described: BTreeSet<(String, String)> =
        described().into_iter().map(|(method, path, _)| (method, path)).collect();
    assert_eq!(described, in_the_table());
}

#[test]
fn openapi_lists_authorization_errors() {
    let described = described();
    for route in ROUTES {
        for operation in route.operations {
            for method in operation.methods {
                let is = |status| {
                    described.contains(&((*method).to_owned(), route.path.to_owned(), status))
                };
                let is_open = operation.access == Access::Open;
                assert_eq!(is(401), !is_open, "{method} {}", route.path);
                let may_lack = !matches!(operation.access, Access::Open | Access::Known);
                assert_eq!(is(403), may_lack, "{method} {}", route.path);
            }
        }
    }
}

#[test]
fn only_listed_methods_are_allowed() {
    let mut product = Product::with(&[]);
    for route in ROUTES {
        for method in METHODS {
            let head = RequestHead {
                method: method.to_owned(),
                path: route.path.replace("{id}", "0000000000000001"),
                ..RequestHead::default()
            };
            let status = product.request(head, Vec::new()).status;
            let is_there = route.operation(method).is_some();
            assert_ne!(is_there, status == 405, "{method} {}: {status}", route.path);
            assert_ne!(status, 501, "{method} {}", route.path);
        }
    }
}

#[test]
fn worker_first_patterns_match_routes() {
    let settings = text("wrangler.toml");
    let (_, list) = settings.split_once("run_worker_first = [").unwrap();
    let (list, _) = list.split_once(']').unwrap();
    let patterns: Vec<&str> = list.split('"').skip(1).step_by(2).collect();
    let fits = |pattern: &str, path: &str| match pattern.strip_suffix('*') {
        Some(beginning) => path.starts_with(beginning),
        None => pattern == path,
    };
    for route in ROUTES {
        let found = patterns.iter().any(|pattern| fits(pattern, route.path));
        assert!(found, "{} would be looked for among the console's files", route.path);
    }
    for pattern in patterns {
        let has_route = ROUTES.iter().any(|route| fits(pattern, route.path))
            || ["/prometheus/*", "/otlp/*"].contains(&pattern);
        assert!(has_route || routes::find(pattern).is_some(), "{pattern} is nobody's");
    }
}

/// The statuses that any authenticated request may get.
#[test]
fn openapi_lists_retry_statuses() {
    let described = described();
    for (method, path, _) in described.iter().filter(|(_, _, status)| *status == 401) {
        let is = |status| described.contains(&(method.clone(), path.clone(), status));
        assert!(is(503), "{method} {path}");
        // 1.x clients do not repeat a `/write` after status 429, and Prometheus repeats a remote
        // write only if configured.
        let has_503_instead = ["/write", "/api/v1/write", "/api/v1/prom/write"].contains(&&**path);
        assert_eq!(is(429), !has_503_instead, "{method} {path}");
    }
}

#[test]
fn openapi_statuses_match_http_scripts() {
    let (all, described) = (paths(), described());
    let mut seen = BTreeSet::new();
    for (method, path, status) in answered() {
        // The document contains no operation for preflights and rejected methods.
        let Some(path) = template(&path, &all) else { continue };
        if described.iter().any(|(of, at, _)| (of, at) == (&method, &path)) {
            seen.insert((method, path, status));
        }
    }
    // The tests in `write_overload` and `tokens` cover these statuses.
    let elsewhere = |(_, _, status): &&(String, String, u16)| !matches!(status, 429 | 501 | 503);
    // The tests in `recoveries` cover these statuses.
    let goes_back = |(method, path, status): &&(String, String, u16)| {
        let statuses = if method == "GET" { &[202][..] } else { &[200, 202, 409, 422] };
        path == "/api/v3/recover" && statuses.contains(status)
    };
    let missing = described.difference(&seen).filter(elsewhere);
    let missing: Vec<_> = missing.filter(|found| !goes_back(found)).collect();
    let unsaid: Vec<_> = seen.difference(&described).collect();
    assert!(missing.is_empty(), "described, but no script of tests/data/http has it: {missing:?}");
    assert!(unsaid.is_empty(), "answered, but not described: {unsaid:?}");
}
