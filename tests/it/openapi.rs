//! `www/openapi.json` says what the API does: every route, every method, every status.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;
use tidemark::api::http::RequestHead;

use crate::http::answered;
use crate::product::Product;

const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];

fn text(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

fn paths() -> Vec<(String, Value)> {
    let description: Value = serde_json::from_str(&text("www/openapi.json")).unwrap();
    let paths = description["paths"].as_object().unwrap();
    paths.iter().map(|(path, item)| (path.clone(), item.clone())).collect()
}

/// What is described: method, path and status.
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

/// The described path that a request's path is one of.
fn template(path: &str, all: &[(String, Value)]) -> Option<String> {
    let fits = |template: &str| match template.strip_suffix("{id}") {
        Some(parent) => path.strip_prefix(parent).is_some_and(|id| !id.contains('/')),
        None => template == path,
    };
    all.iter().map(|(template, _)| template).find(|template| fits(template)).cloned()
}

#[test]
fn every_route_is_described() {
    let all = paths();
    let source = text("src/api/exchange/mod.rs")
        + &text("src/api/manage/mod.rs")
        + &text("src/api/manage/org.rs");
    // A route is a literal of a whole path; what the vendor has and this has not is elsewhere.
    let literals = source.split('"').skip(1).step_by(2).filter(|text| {
        let path = text.strip_prefix('/').unwrap_or_default();
        !path.is_empty() && path.bytes().all(|b| b.is_ascii_lowercase() || b"/_23v".contains(&b))
    });
    let routes: BTreeSet<&str> = literals.collect();
    assert!(routes.len() >= 16, "{routes:?}");
    for route in routes {
        assert_eq!(template(route, &all).as_deref(), Some(route), "{route} is not described");
    }
}

#[test]
fn a_method_is_described_exactly_where_it_is_allowed() {
    let mut product = Product::with(&[]);
    for (path, item) in paths() {
        for method in METHODS {
            let head = RequestHead {
                method: method.to_owned(),
                path: path.replace("{id}", "0000000000000001"),
                ..RequestHead::default()
            };
            let status = product.request(head, Vec::new()).status;
            let described = item.get(method.to_lowercase()).is_some();
            assert_ne!(described, status == 405, "{method} {path}: {status}");
            assert_ne!(status, 501, "{method} {path}");
        }
    }
}

/// What any request that is authenticated may be told, whatever it is about.
#[test]
fn who_is_authenticated_may_have_to_come_back() {
    let described = described();
    for (method, path, _) in described.iter().filter(|(_, _, status)| *status == 401) {
        let is = |status| described.contains(&(method.clone(), path.clone(), status));
        assert!(is(503), "{method} {path}");
        // 1.x clients take a 429 of `/write` for something that they need not repeat.
        assert_eq!(is(429), path != "/write", "{method} {path}");
    }
}

#[test]
fn every_described_status_is_answered_to_some_script_and_no_other() {
    let (all, described) = (paths(), described());
    let mut seen = BTreeSet::new();
    for (method, path, status) in answered() {
        // What has no operation is not described: preflights, and methods that are refused.
        let Some(path) = template(&path, &all) else { continue };
        if method != "OPTIONS" && status != 405 && status != 501 {
            seen.insert((method, path, status));
        }
    }
    // No script overloads a server or fails twenty times: see `write_overload` and `tokens`.
    let elsewhere = |(_, _, status): &&(String, String, u16)| !matches!(status, 429 | 503);
    let missing: Vec<_> = described.difference(&seen).filter(elsewhere).collect();
    let unsaid: Vec<_> = seen.difference(&described).collect();
    assert!(missing.is_empty(), "described, but no script of tests/data/http has it: {missing:?}");
    assert!(unsaid.is_empty(), "answered, but not described: {unsaid:?}");
}
