//! Tests that every way to create a database uses the deployment's jurisdiction.

use crate::product::Product;

const CREATIONS: [(&str, &str, &str); 4] = [
    ("POST", "/write?db=d", "m v=1"),
    ("POST", "/query?q=CREATE+DATABASE+d", ""),
    ("POST", "/api/v2/buckets", r#"{"name":"d","orgID":"746964656d61726b"}"#),
    ("POST", "/api/v3/configure/database", r#"{"db":"d","location":"weur"}"#),
];

#[test]
fn new_databases_use_deployment_jurisdiction() {
    // Objects in one process support no jurisdiction, so the platform rejects each of them.
    let mut product = Product::with(&[("JURISDICTION", "eu")]);
    let mut elsewhere = Product::with(&[("DEFAULT_LOCATION", "weur")]);
    for (method, target, body) in CREATIONS {
        let response = product.ask_alone(method, target, body);
        let text = String::from_utf8_lossy(&response.body).into_owned();
        let says = "jurisdiction \\\"eu\\\" is not supported";
        assert!(text.contains(says), "{target}: {} {text}", response.status);
        let response = elsewhere.ask_alone(method, target, body);
        assert!(matches!(response.status, 200..=204 | 409 | 422), "{target}: {}", response.status);
    }
    let (status, text) = product.configure("POST", r#"{"db":"d","location":"oc"}"#);
    let says = "location \\\"oc\\\" is outside of jurisdiction \\\"eu\\\"";
    assert!(status == 400 && text.contains(says), "{status} {text}");
}
