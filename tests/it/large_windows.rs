//! Tests functions that need all values of a window, with more values than fit into the memory
//! limit. Functions that return only some of the rows drop the other rows early. All other
//! functions return an error with a hint.

use serde_json::{Value, json};

use crate::product::Product;

const ROWS: usize = 1_050_000;
const PER_WRITE: usize = 350_000;

#[test]
fn functions_needing_all_values_are_limited() {
    let mut product = Product::with(&[]);
    product.query("d", "CREATE DATABASE d WITH DURATION INF");
    for from in (0..ROWS).step_by(PER_WRITE) {
        let line = |n: usize| format!("m v={}i {n}\n", n * 7 % 1_000);
        product.write("d", &(from..from + PER_WRITE).map(line).collect::<String>());
    }
    product.rest();
    let pauses = product.count_pauses();
    let mut ask = |q: &str| product.query("d", q)["results"][0].clone();
    let values = |answer: &Value| answer["series"][0]["values"].clone();
    assert_eq!(values(&ask("SELECT count(distinct(v)) FROM m")), json!([[0, 1_000]]));
    // Of several equal values, the earliest one is returned in either direction.
    let (top, bottom) = (json!([[857, 999], [1857, 999]]), json!([[0, 0], [1000, 0]]));
    assert_eq!(values(&ask("SELECT top(v, 2) FROM m")), top);
    assert_eq!(values(&ask("SELECT bottom(v, 2) FROM m")), bottom);
    let turned = values(&ask("SELECT bottom(v, 2) FROM m ORDER BY time DESC"));
    assert_eq!(turned, bottom);
    let sampled = ask("SELECT sample(v, 5) FROM m");
    assert_eq!(values(&sampled).as_array().map(Vec::len), Some(5));
    let text = "a window of a function that needs all values of the window has more than 1000000 \
                values, or 16 MB: narrow the time range or select fewer series";
    for call in ["median(v)", "mode(v)", "percentile(v, 50)"] {
        assert_eq!(ask(&format!("SELECT {call} FROM m"))["error"], text, "{call}");
    }
    assert_eq!(values(&ask("SELECT median(v) FROM m WHERE time < 999s")), json!([[0, 499]]));
    // A large window is evaluated with pauses.
    for (call, value, at_least) in [
        ("count(v)", Some(900_000.0), 0),
        ("median(v)", Some(499.5), 20),
        ("percentile(v, 50)", Some(499.0), 20),
        ("mode(v)", Some(999.0), 40),
        ("count(distinct(v))", Some(1_000.0), 40),
        ("top(v, 9)", Some(999.0), 20),
        ("sample(v, 9)", None, 20),
    ] {
        pauses.set(0);
        let answer = ask(&format!("SELECT {call} FROM m WHERE time < 900000s"));
        let found = values(&answer)[0][1].as_f64();
        assert!(value.is_none() || found == value, "{call}: {found:?}");
        assert!(pauses.get() / 2 >= at_least, "{call}: {} pauses", pauses.get() / 2);
    }
}
