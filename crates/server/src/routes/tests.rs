use super::*;
use crate::error::ApiError;

fn beneath(parent: &str) -> Vec<&'static str> {
    let mut names: Vec<&str> = Vec::new();
    for name in ROUTES.iter().filter_map(|route| route.log_name().strip_prefix(parent)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

#[test]
fn route_id_is_one_segment() {
    let path = |path| find(path).map(|(route, id)| (route.path, id));
    assert_eq!(path("/api/v2/buckets"), Some(("/api/v2/buckets", None)));
    assert_eq!(path("/api/v2/buckets/1"), Some(("/api/v2/buckets/{id}", Some("1"))));
    assert_eq!(path("/api/v2/bucketsx"), None);
    assert_eq!(path("/api/v2/buckets/1/labels"), Some(("other", None)));
    assert_eq!(path("/nothing"), None);
}

#[test]
fn log_hides_ids_and_unknown_paths() {
    let log_name = |path| find(path).map_or(OTHER, |(route, _)| route.log_name());
    assert_eq!(log_name("/api/v2/buckets/0000000000000001"), "/api/v2/buckets");
    assert_eq!(log_name("/api/v2/orgs"), "/api/v2/orgs");
    assert_eq!(log_name("/api/v3/export"), "/api/v3/export");
    assert_eq!(log_name("/api/v2/orgs/1/2"), "other");
    assert_eq!(log_name("/secret-path"), "other");
}

#[test]
fn route_paths_and_methods_are_unique() {
    for (position, route) in ROUTES.iter().enumerate() {
        let found = find(route.path).map(|(found, _)| found.path);
        assert_eq!(found, Some(route.path), "row {position}");
        let methods: Vec<&str> =
            route.operations.iter().flat_map(|op| op.methods).copied().collect();
        let mut once = methods.clone();
        once.sort_unstable();
        once.dedup();
        assert!(!methods.is_empty() && once.len() == methods.len(), "{}: {methods:?}", route.path);
    }
}

#[test]
fn routes_with_bodies_require_credentials() {
    for route in ROUTES {
        for operation in route.operations.iter().filter(|op| op.body != Body::None) {
            assert!(
                !matches!(operation.access, Access::Open | Access::Known),
                "{} reads a body of everybody",
                route.path
            );
        }
    }
}

#[test]
fn error_texts_name_existing_routes() {
    let text = ApiError::NoRoute("/x".to_owned()).to_string();
    let named = text.split([' ', ',', ';']).filter(|word| word.starts_with('/') && *word != "/x");
    for path in named {
        assert!(ROUTES.iter().any(|route| route.path == path), "{path}");
    }
    let joined = |names: &[&str]| match names {
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
        [] => String::new(),
    };
    let v2 = unsupported::instead_of("/api/v2/tasks").unwrap();
    let expected =
        format!("the supported paths of the v2 API are /api/v2/{};", joined(&beneath("/api/v2/")));
    assert!(v2.starts_with(&expected), "{v2}\nis not {expected}");
    let v3 = unsupported::instead_of("/api/v3/show").unwrap();
    let own: Vec<&str> =
        beneath("/api/v3/").into_iter().filter(|name| !name.starts_with("enterprise/")).collect();
    let expected = format!("the supported paths of the v3 API are /api/v3/{};", joined(&own));
    assert!(v3.starts_with(&expected), "{v3}\nis not {expected}");
}
