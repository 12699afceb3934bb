//! Tests bodies that try to use too much memory or time, and names with every byte.

use fastrand::Rng;
use prost::Message;
use serde_json::json;
use tidemark_model::limits::{
    ATTRIBUTE_DEPTH_MAX, BODY_BYTES_MAX, HISTOGRAM_BUCKETS_MAX, OTLP_JSON_BYTES_MAX,
    TAGS_PER_POINT_MAX,
};

use super::messages::*;
use super::{T_MS, V1, V2, oracle, product, remote_write, rows, stored, text};
use crate::product::AUTHORIZATION;

#[test]
fn snappy_bomb_is_refused_before_it_is_decompressed() {
    let mut product = product();
    let mut bomb = compress(&vec![0; BODY_BYTES_MAX + 1]);
    for body in [bomb.clone(), {
        // The header promises 4 GiB.
        bomb.splice(..4, [0xff, 0xff, 0xff, 0xff, 0x0f]);
        bomb
    }] {
        let response = remote_write(&mut product, "/api/v1/write?db=db", V1, body);
        assert_eq!(response.status, 413, "{}", text(&response));
        assert!(text(&response).contains("(BODY_BYTES_MAX)"), "{}", text(&response));
    }
    let lying = [compress(b"x"), vec![0; 10]].concat();
    assert_eq!(remote_write(&mut product, "/api/v1/write?db=db", V1, lying).status, 400);
}

#[test]
fn empty_messages_use_little_memory() {
    let mut product = product();
    // Each pair of bytes is a series without labels, a label, or a symbol.
    for (media_type, pair) in [(V1, [0x0a, 0]), (V2, [0x2a, 0])] {
        let body = compress(&pair.repeat(5_000_000));
        let response = remote_write(&mut product, "/api/v1/write?db=db", media_type, body);
        assert_eq!(response.status, 413, "{}", text(&response));
        assert!(text(&response).contains("BODIES_IN_FLIGHT_BYTES_MAX"), "{}", text(&response));
    }
    let symbols = compress(&[0x22, 0].repeat(5_000_000));
    let response = remote_write(&mut product, "/api/v1/write?db=db", V2, symbols);
    assert_eq!(response.status, 413, "{}", text(&response));
}

#[test]
fn series_with_too_many_labels_is_refused() {
    let mut product = product();
    let names: Vec<String> = (0..100_000).map(|number| format!("l{number:06}")).collect();
    let labels = |count: usize| -> Vec<(&str, &str)> {
        names.iter().take(count).map(|name| (name.as_str(), "v")).collect()
    };
    let all = vec![
        series("at_limit", &labels(TAGS_PER_POINT_MAX), &[(T_MS, 1.0)]),
        series("above", &labels(TAGS_PER_POINT_MAX + 1), &[(T_MS, 1.0)]),
        series("far_above", &labels(100_000), &[(T_MS, 1.0)]),
    ];
    let response = remote_write(&mut product, "/api/v1/write?db=db", V1, snappy(&v1(all)));
    let text = text(&response);
    assert_eq!(response.status, 400);
    assert!(text.starts_with("1 samples stored, 2 samples rejected; above{"), "{text}");
    let cause = "too many tags: current 0, requested 256, limit 255 (TAGS_PER_POINT_MAX)";
    assert_eq!(text.matches(cause).count(), 2, "{text}");
}

#[test]
fn names_may_have_every_byte_that_line_protocol_can_express() {
    let mut product = product();
    let mut all = Vec::new();
    for byte in 0..=127_u8 {
        let part = char::from(byte);
        let (metric, name) = (format!("m{part}m"), format!("n{part}n"));
        all.push(series(&metric, &[(&name, &metric)], &[(T_MS, f64::from(byte))]));
    }
    let response = remote_write(&mut product, "/api/v1/write?db=db", V1, snappy(&v1(all)));
    let text = text(&response);
    assert!(text.starts_with("96 samples stored, 32 samples rejected; "), "{text}");
    let (_, export) = product.ask("GET", "/api/v3/export", "db=db", &[], "");
    // An import of the export has the same points.
    product.post("/query?q=CREATE+DATABASE+copy", "");
    assert_eq!(product.post("/write?db=copy", &export).status, 204);
    let (_, again) = product.ask("GET", "/api/v3/export", "db=copy", &[], "");
    assert_eq!(again.lines().count(), 96);
    assert_eq!(again, export);
}

#[test]
fn invalid_series_are_refused() {
    let mut product = product();
    let sample = [(T_MS, 1.0)];
    let all = vec![
        series("", &[("a", "b")], &sample),
        series("m", &[("a", "b"), ("a", "c")], &sample),
        series("m", &[("time", "b")], &sample),
        series("m", &[("a", "b\\")], &sample),
        series("#m", &[], &sample),
        series("m", &[("a", "")], &sample),
        series("m", &[("b", "1"), ("a", "2")], &sample),
        series(&"m".repeat(70_000), &[], &sample),
    ];
    let response = remote_write(&mut product, "/api/v1/write?db=db", V1, snappy(&v1(all)));
    assert!(
        text(&response).starts_with("2 samples stored, 6 samples rejected; "),
        "{}",
        text(&response)
    );
    let ns = T_MS * 1_000_000;
    assert_eq!(
        rows(&mut product, "SELECT * FROM m"),
        json!([[ns, null, null, 1.0], [ns, "2", "1", 1.0]])
    );
}

#[test]
fn deep_and_long_otlp_values_are_refused() {
    let mut product = product();
    let nested = |depth: usize| {
        let mut value = AnyValue { int_value: Some(1), ..AnyValue::default() };
        for _ in 0..depth {
            let array_value = Some(ArrayValue { values: vec![value] });
            value = AnyValue { array_value, ..AnyValue::default() };
        }
        let mut point = NumberPoint { as_double: Some(1.0), ..NumberPoint::default() };
        point.attributes = vec![KeyValue { key: "a".into(), value: Some(value) }];
        export(&[], vec![gauge("g", "", point)])
    };
    let buckets = |count: usize| {
        let bucket_counts = vec![1; count];
        let point = ExponentialPoint {
            positive: Some(Buckets { offset: 0, bucket_counts }),
            ..ExponentialPoint::default()
        };
        let histogram = ExponentialHistograms { data_points: vec![point] };
        let exponential_histogram = Some(histogram);
        export(&[], vec![Metric { name: "h".into(), exponential_histogram, ..Metric::default() }])
    };
    for (message, status) in [
        (nested(ATTRIBUTE_DEPTH_MAX), 200),
        (nested(ATTRIBUTE_DEPTH_MAX + 1), 400),
        (nested(10_000), 400),
        (buckets(HISTOGRAM_BUCKETS_MAX), 200),
        (buckets(HISTOGRAM_BUCKETS_MAX + 1), 400),
        (buckets(1_000_000), 400),
    ] {
        let headers = [AUTHORIZATION, ("content-type", "application/x-protobuf")];
        let body = message.encode_to_vec();
        let response = product.send("POST", "/v1/metrics?db=db", &headers, body);
        assert_eq!(response.status, status, "{}", text(&response));
    }
    let deep = |depth: usize| "{\"resourceMetrics\":".to_owned() + &"[".repeat(depth);
    let arrays = |depth: usize| {
        let value = "{\"arrayValue\":{\"values\":[".repeat(depth) + "{}" + &"]}}".repeat(depth);
        format!("{{\"resourceMetrics\":{{\"resource\":{{\"attributes\":{{\"value\":{value}}}}}}}}}")
    };
    let long = format!("{{\"x\":\"{}\"}}", "x".repeat(OTLP_JSON_BYTES_MAX));
    for (body, status) in [
        (deep(100_000), 400),
        (arrays(ATTRIBUTE_DEPTH_MAX), 200),
        (arrays(ATTRIBUTE_DEPTH_MAX + 1), 400),
        (arrays(10_000), 400),
        (long, 413),
    ] {
        let headers = [AUTHORIZATION, ("content-type", "application/json")];
        let response = product.send("POST", "/v1/metrics?db=db", &headers, body);
        assert_eq!(response.status, status, "{}", text(&response));
    }
}

#[test]
fn long_body_pauses() {
    let mut product = product();
    let all: Vec<_> = (0..20_000)
        .map(|number| series("m", &[("n", &number.to_string())], &[(T_MS, 1.0)]))
        .collect();
    let pauses = product.count_pauses();
    stored(&remote_write(&mut product, "/api/v1/write?db=db", V1, snappy(&v1(all))), 20_000);
    assert!(pauses.get() > 4, "{} pauses", pauses.get());
}

#[test]
fn mutated_messages_are_decoded_or_refused() {
    let mut rng = Rng::with_seed(76);
    let all = || {
        vec![
            series("up", &[("job", "a")], &[(T_MS, 1.0), (T_MS + 1, 2.0)]),
            series("b", &[], &[(T_MS, 1.0)]),
        ]
    };
    let mut point = NumberPoint { as_int: Some(1), ..NumberPoint::default() };
    point.attributes = vec![attribute("a", "b")];
    let otlp = export(&[("service.name", "s")], vec![gauge("g", "s", point)]);
    let bodies = [v1(all()).encode_to_vec(), v2(all()).encode_to_vec(), otlp.encode_to_vec()];
    let json = br#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"g","gauge":{"dataPoints":[{"asInt":"1"}]}}]}]}]}"#;
    for _ in 0..20_000 {
        let kind = rng.usize(..=bodies.len());
        let mut body = vec![rng.u8(..)];
        body.extend_from_slice(bodies.get(kind).map_or(&json[..], Vec::as_slice));
        for _ in 0..rng.usize(1..4) {
            let at = rng.usize(..body.len());
            match rng.u8(..3) {
                0 => body[at] = rng.u8(..),
                1 => drop(body.remove(at)),
                _ => body.insert(at, rng.u8(..)),
            }
        }
        oracle::check_remote_write(&body);
        oracle::check_otlp(&body);
    }
}
