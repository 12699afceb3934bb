//! Tests Prometheus remote write and OTLP: writes by each protocol, and reads by InfluxQL.

mod hostile;
mod messages;
mod oracle;
mod otlp;
mod remote_write;

use serde_json::Value;
use tidemark_server::http::Response;

use crate::product::{AUTHORIZATION, Product, header};

const V1: &str = "application/x-protobuf";
const V2: &str = "application/x-protobuf;proto=io.prometheus.write.v2.Request";
/// The time of the samples: 2023-11-14T22:13:20Z, in milliseconds.
const T_MS: i64 = 1_700_000_000_000;

fn product() -> Product {
    let mut product = Product::with(&[]);
    assert_eq!(product.post("/query?q=CREATE+DATABASE+db", "").status, 200);
    product
}

/// Sends a compressed message of remote write.
fn remote_write(product: &mut Product, target: &str, media_type: &str, body: Vec<u8>) -> Response {
    let headers = [AUTHORIZATION, ("content-type", media_type), ("content-encoding", "snappy")];
    product.send("POST", target, &headers, body)
}

fn text(response: &Response) -> String {
    String::from_utf8(response.body.clone()).unwrap()
}

/// Checks that everything of a remote write is stored.
#[track_caller]
fn stored(response: &Response, samples: u64) {
    assert_eq!((response.status, text(response)), (204, String::new()));
    let written = header(response, "X-Prometheus-Remote-Write-Samples-Written");
    assert_eq!(written, Some(samples.to_string().as_str()));
}

/// Returns the rows of a query, with the times in nanoseconds. All values that are exact floats are
/// floats, because JSON does not distinguish 1 and 1.0.
fn rows(product: &mut Product, q: &str) -> Value {
    const EXACT_MAX: u64 = 1 << 53;
    let target = "/query?db=db&epoch=ns";
    let response = product.post(target, &crate::product::form(&[("q", q)]));
    let mut answer: Value = serde_json::from_slice(&response.body).unwrap();
    let Some(rows) = answer.pointer_mut("/results/0/series/0/values") else { return Value::Null };
    for row in rows.as_array_mut().into_iter().flatten() {
        for value in row.as_array_mut().unwrap().iter_mut().skip(1) {
            let is_exact = value.as_i64().is_none_or(|integer| integer.unsigned_abs() <= EXACT_MAX);
            if let Some(float) = value.as_f64().filter(|_| is_exact) {
                *value = float.into();
            }
        }
    }
    rows.take()
}
