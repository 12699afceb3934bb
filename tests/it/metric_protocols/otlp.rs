use prost::Message;
use serde_json::{Value, json};
use tidemark_server::http::Response;

use super::messages::*;
use super::{T_MS, product, rows, text};
use crate::product::{AUTHORIZATION, Product, gzip, header};

const T_NS: u64 = T_MS.cast_unsigned() * 1_000_000;
const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const JSON: (&str, &str) = ("content-type", "application/json");

fn send(product: &mut Product, target: &str, message: &Export) -> Response {
    product.send("POST", target, &[AUTHORIZATION, PROTOBUF], message.encode_to_vec())
}

/// Checks that everything is stored.
#[track_caller]
fn stored(response: &Response) {
    let answer = ExportResponse::decode(response.body.as_slice()).unwrap();
    assert_eq!((response.status, answer), (200, ExportResponse::default()));
    assert_eq!(header(response, "content-type"), Some("application/x-protobuf"));
}

fn double(value: f64) -> NumberPoint {
    NumberPoint { time_unix_nano: T_NS, as_double: Some(value), ..NumberPoint::default() }
}

#[test]
fn metrics_are_stored_with_names_of_prometheus() {
    let mut product = product();
    let resource = [
        ("service.name", "shop"),
        ("service.namespace", "eu"),
        ("service.instance.id", "i-1"),
        ("host.name", "h1"),
    ];
    let mut requests = double(0.0);
    requests.as_double = None;
    requests.as_int = Some(9_007_199_254_740_993);
    requests.attributes = vec![attribute("http.method", "GET"), attribute("empty", "")];
    let counter =
        Numbers { data_points: vec![requests], aggregation_temporality: 2, is_monotonic: true };
    let delta =
        Numbers { data_points: vec![double(3.0)], aggregation_temporality: 1, is_monotonic: true };
    let sum = |name: &str, sum| Metric { name: name.into(), sum: Some(sum), ..Metric::default() };
    let metrics = vec![
        gauge("system.memory.usage", "By", double(1.5)),
        sum("http.requests", counter),
        sum("jobs", delta),
    ];
    let mut message = export(&resource, metrics);
    let scope = Scope {
        name: "lib".into(),
        version: "1.0".into(),
        attributes: vec![attribute("a.b", "c")],
    };
    message.resource_metrics[0].scope_metrics[0].scope = Some(scope);
    stored(&send(&mut product, "/v1/metrics?db=db", &message));
    let tags = json!([
        ["instance"],
        ["job"],
        ["otel_scope_a_b"],
        ["otel_scope_name"],
        ["otel_scope_version"]
    ]);
    assert_eq!(rows(&mut product, "SHOW TAG KEYS FROM system_memory_usage_bytes"), tags);
    let q = "SELECT job, instance, otel_scope_name, value FROM system_memory_usage_bytes";
    assert_eq!(rows(&mut product, q), json!([[T_NS, "eu/shop", "i-1", "lib", 1.5]]));
    let q = "SELECT http_method, value FROM http_requests_total";
    assert_eq!(rows(&mut product, q), json!([[T_NS, "GET", 9_007_199_254_740_992_f64]]));
    // A delta is not a counter.
    let q = "SELECT temporality, value FROM jobs";
    assert_eq!(rows(&mut product, q), json!([[T_NS, "delta", 3.0]]));
    assert_eq!(
        rows(&mut product, "SELECT * FROM target_info"),
        json!([[T_NS, "h1", "i-1", "eu/shop", 1.0]])
    );
}

#[test]
fn parameters_select_names_tags_and_integers() {
    let mut product = product();
    let mut point = double(0.0);
    point.as_double = None;
    point.as_int = Some(i64::MAX);
    point.attributes = vec![attribute("http.method", "GET")];
    let metrics = vec![gauge("queue.size", "s", point)];
    let message =
        export(&[("service.name", "shop"), ("host.name", "h1"), ("os.type", "linux")], metrics);
    let target = "/otlp/db/v1/metrics?names=keep&integers=keep&scope_attributes=false&\
                  resource_attributes=host.name,cloud.region";
    stored(&send(&mut product, target, &message));
    assert_eq!(
        rows(&mut product, "SELECT * FROM \"queue.size\""),
        json!([[T_NS, "h1", "GET", "shop", i64::MAX]])
    );
    assert_eq!(
        rows(&mut product, "SELECT * FROM target_info"),
        json!([[T_NS, "h1", "shop", "linux", 1.0]])
    );
    let target = "/otlp/db/v1/metrics?metric=field&resource_attributes=*";
    stored(&send(&mut product, target, &message));
    assert_eq!(
        rows(&mut product, "SELECT * FROM prometheus"),
        json!([[T_NS, "h1", "GET", "shop", "linux", 9_223_372_036_854_775_807_f64, "shop"]])
    );
    let response = send(&mut product, "/otlp/db/v1/metrics?names=short", &message);
    let status = Status::decode(response.body.as_slice()).unwrap();
    let message = "invalid value \"short\" of names: expected prometheus or keep";
    assert_eq!((response.status, status), (400, Status { code: 3, message: message.into() }));
}

#[test]
fn histograms_and_summaries_become_series() {
    let mut product = product();
    let histogram = HistogramPoint {
        time_unix_nano: T_NS,
        count: 6,
        sum: Some(12.5),
        bucket_counts: vec![1, 2, 3],
        explicit_bounds: vec![0.5, 10.0],
        flags: 0,
    };
    // Base 2: (1, 2] has 2 values, (2, 4] has 0, (4, 8] has 1; [-4, -2) has 1; 3 are zero.
    let exponential = ExponentialPoint {
        time_unix_nano: T_NS,
        count: 7,
        sum: None,
        scale: 0,
        zero_count: 3,
        positive: Some(Buckets { offset: 0, bucket_counts: vec![2, 0, 1] }),
        negative: Some(Buckets { offset: 1, bucket_counts: vec![1] }),
    };
    let summary = SummaryPoint {
        time_unix_nano: T_NS,
        count: 4,
        sum: Some(8.0),
        quantile_values: vec![
            Quantile { quantile: 0.5, value: 2.0 },
            Quantile { quantile: 1.0, value: 3.5 },
        ],
    };
    let metric = |name: &str| Metric { name: name.into(), ..Metric::default() };
    let histograms = Histograms { data_points: vec![histogram], aggregation_temporality: 2 };
    let exponentials = ExponentialHistograms { data_points: vec![exponential] };
    let metrics = vec![
        Metric { unit: "s".into(), histogram: Some(histograms), ..metric("latency") },
        Metric { exponential_histogram: Some(exponentials), ..metric("size") },
        Metric { summary: Some(Summaries { data_points: vec![summary] }), ..metric("delay") },
    ];
    stored(&send(&mut product, "/v1/metrics?db=db", &export(&[], metrics)));
    let mut read = |q: &str| rows(&mut product, q);
    assert_eq!(
        read("SELECT le, value FROM latency_seconds_bucket"),
        json!([[T_NS, "+Inf", 6.0], [T_NS, "0.5", 1.0], [T_NS, "10", 3.0]])
    );
    assert_eq!(read("SELECT * FROM latency_seconds_sum"), json!([[T_NS, 12.5]]));
    assert_eq!(read("SELECT * FROM latency_seconds_count"), json!([[T_NS, 6.0]]));
    let buckets = [("+Inf", 7), ("-2", 1), ("0", 4), ("2", 6), ("4", 6), ("8", 7)];
    let buckets = buckets.map(|(le, count)| json!([T_NS, le, f64::from(count)]));
    assert_eq!(read("SELECT le, value FROM size_bucket"), json!(buckets));
    assert_eq!(read("SELECT * FROM size_sum"), json!(null));
    assert_eq!(
        read("SELECT quantile, value FROM delay"),
        json!([[T_NS, "0.5", 2.0], [T_NS, "1", 3.5]])
    );
    assert_eq!(read("SELECT * FROM delay_count"), json!([[T_NS, 4.0]]));
}

/// The same request as JSON: integers are strings or numbers, and unknown fields are ignored.
#[test]
fn json_and_protobuf_are_equal() {
    let body = json!({"resourceMetrics": [{
        "resource": {"attributes": [
            {"key": "service.name", "value": {"stringValue": "shop"}},
            {"key": "n", "value": {"intValue": "-5"}},
            {"key": "d", "value": {"doubleValue": 0.5}},
            {"key": "b", "value": {"boolValue": true}},
            {"key": "bytes", "value": {"bytesValue": "AAH/"}},
            {"key": "list", "value": {"arrayValue": {"values": [{"intValue": 1}, {"stringValue": "x"}, {}]}}}],
            "droppedAttributesCount": 1},
        "schemaUrl": "ignored",
        "scopeMetrics": [{"scope": null, "metrics": [
            {"name": "g", "description": "d", "gauge": {"dataPoints": [
                {"timeUnixNano": T_NS.to_string(), "asInt": "7", "attributes": [], "flags": 0},
                {"timeUnixNano": T_NS + 1, "asDouble": "Infinity"},
                {"timeUnixNano": T_NS + 2, "asDouble": 1}]}},
            {"name": "h", "exponentialHistogram": {"aggregationTemporality": 2, "dataPoints": [
                {"timeUnixNano": T_NS.to_string(), "count": "3", "sum": 1.5, "scale": -1, "zeroCount": "1",
                 "positive": {"offset": -1, "bucketCounts": ["2"]}}]}}]}]}]});
    let value = |value: AnyValue| Some(value);
    let attributes = vec![
        attribute("service.name", "shop"),
        KeyValue {
            key: "n".into(),
            value: value(AnyValue { int_value: Some(-5), ..AnyValue::default() }),
        },
        KeyValue {
            key: "d".into(),
            value: value(AnyValue { double_value: Some(0.5), ..AnyValue::default() }),
        },
        KeyValue {
            key: "b".into(),
            value: value(AnyValue { bool_value: Some(true), ..AnyValue::default() }),
        },
        KeyValue {
            key: "bytes".into(),
            value: value(AnyValue { bytes_value: Some(vec![0, 1, 255]), ..AnyValue::default() }),
        },
        KeyValue {
            key: "list".into(),
            value: value(AnyValue {
                array_value: Some(ArrayValue {
                    values: vec![
                        AnyValue { int_value: Some(1), ..AnyValue::default() },
                        AnyValue { string_value: Some("x".into()), ..AnyValue::default() },
                        AnyValue::default(),
                    ],
                }),
                ..AnyValue::default()
            }),
        },
    ];
    let point = |time_ns, as_double, as_int| NumberPoint {
        time_unix_nano: time_ns,
        as_double,
        as_int,
        ..NumberPoint::default()
    };
    let data_points = vec![
        point(T_NS, None, Some(7)),
        point(T_NS + 1, Some(f64::INFINITY), None),
        point(T_NS + 2, Some(1.0), None),
    ];
    let exponential = ExponentialPoint {
        time_unix_nano: T_NS,
        count: 3,
        sum: Some(1.5),
        scale: -1,
        zero_count: 1,
        positive: Some(Buckets { offset: -1, bucket_counts: vec![2] }),
        negative: None,
    };
    let exponentials = ExponentialHistograms { data_points: vec![exponential] };
    let metrics = vec![
        Metric {
            name: "g".into(),
            gauge: Some(Numbers { data_points, ..Numbers::default() }),
            ..Metric::default()
        },
        Metric { name: "h".into(), exponential_histogram: Some(exponentials), ..Metric::default() },
    ];
    let mut message = export(&[], metrics);
    message.resource_metrics[0].resource = Some(Resource { attributes });

    let mut products = [product(), product(), product()];
    stored(&send(&mut products[0], "/v1/metrics?db=db", &message));
    let text = body.to_string();
    let response =
        products[1].send("POST", "/v1/metrics?db=db", &[AUTHORIZATION, JSON], text.as_str());
    assert_eq!((response.status, self::text(&response).as_str()), (200, "{}"));
    assert_eq!(header(&response, "content-type"), Some("application/json"));
    let headers = [
        AUTHORIZATION,
        ("content-type", "application/json; charset=utf-8"),
        ("content-encoding", "gzip"),
    ];
    let response = products[2].send("POST", "/v1/metrics?db=db", &headers, gzip(text.as_bytes()));
    assert_eq!((response.status, self::text(&response).as_str()), (200, "{}"));
    let exports =
        products.map(|mut product| product.ask("GET", "/api/v3/export", "db=db", &[], "").1);
    let expected = format!(
        "g,job=shop value=7 {T_NS}\ng,job=shop value=1 {}\nh_bucket,job=shop,le=+Inf value=3 {T_NS}\n\
         h_bucket,job=shop,le=0 value=1 {T_NS}\nh_bucket,job=shop,le=1 value=3 {T_NS}\nh_count,job=shop \
         value=3 {T_NS}\nh_sum,job=shop value=1.5 {T_NS}\ntarget_info,b=true,bytes=AAH/,d=0.5,job=shop,\
         list=[1\\,\"x\"\\,null],n=-5 value=1 {}\n",
        T_NS + 2,
        T_NS + 2
    );
    for export in exports {
        assert_eq!(export, expected);
    }
}

#[test]
fn points_without_value_end_a_series() {
    let mut product = product();
    let stale = NumberPoint { flags: 1, as_double: None, ..double(0.0) };
    let histogram = HistogramPoint { time_unix_nano: T_NS, flags: 1, ..HistogramPoint::default() };
    let histograms = Histograms { data_points: vec![histogram], aggregation_temporality: 2 };
    let metrics = vec![
        gauge("g", "", stale),
        Metric { name: "h".into(), histogram: Some(histograms), ..Metric::default() },
    ];
    stored(&send(&mut product, "/v1/metrics?db=db", &export(&[], metrics)));
    assert_eq!(
        rows(&mut product, "SHOW SERIES"),
        json!([["g"], ["h_bucket,le=+Inf"], ["h_count"], ["h_sum"]])
    );
    for measurement in ["g", "h_bucket", "h_sum", "h_count"] {
        assert_eq!(rows(&mut product, &format!("SELECT * FROM {measurement}")), json!(null));
    }
}

#[test]
fn rejected_points_are_a_partial_success() {
    let mut product = product();
    product.write("db", "g value=1i");
    let mut with_exemplar = double(2.0);
    with_exemplar.exemplars = vec![Sample::default()];
    let no_value = NumberPoint { as_double: None, ..double(0.0) };
    let late = NumberPoint { time_unix_nano: u64::MAX, ..double(1.0) };
    let metrics = vec![
        gauge("g", "", double(1.0)),
        gauge("good", "", with_exemplar),
        gauge("none", "", no_value),
        gauge("late", "", late),
    ];
    let message = export(&[], metrics);
    let response = send(&mut product, "/v1/metrics?db=db", &message);
    assert_eq!(response.status, 200);
    let answer = ExportResponse::decode(response.body.as_slice()).unwrap();
    let partial = answer.partial_success.unwrap();
    assert_eq!(partial.rejected_data_points, 3);
    for part in [
        "1 samples stored, 3 samples rejected, 1 exemplars rejected (exemplars are not supported); ",
        "g: field type conflict: input field \"value\" on measurement \"g\" is type float, already \
         exists as type integer",
        "none: the data point has no value",
        "late: the timestamp is outside of the range of times",
    ] {
        assert!(partial.error_message.contains(part), "{part}\n{}", partial.error_message);
    }
    assert_eq!(rows(&mut product, "SELECT * FROM good"), json!([[T_NS, 2.0]]));
    // In JSON, the number of points is a string.
    let body = json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": [
        {"name": "none", "gauge": {"dataPoints": [{"timeUnixNano": "1"}]}}]}]}]});
    let response =
        product.send("POST", "/v1/metrics?db=db", &[AUTHORIZATION, JSON], body.to_string());
    let answer: Value = serde_json::from_slice(&response.body).unwrap();
    assert_eq!(answer["partialSuccess"]["rejectedDataPoints"], "1", "{answer}");
}

#[test]
fn errors_have_the_type_of_the_request() {
    let mut product = product();
    let mut send = |target: &str, headers: &[(&str, &str)], body: Vec<u8>| {
        product.send("POST", target, &[&[AUTHORIZATION], headers].concat(), body)
    };
    let response = send("/v1/metrics?db=db", &[PROTOBUF], b"\x0a\x05x".to_vec());
    let status = Status::decode(response.body.as_slice()).unwrap();
    assert_eq!((response.status, status.code), (400, 3));
    assert!(status.message.starts_with("the body is not a valid message: a field is cut off"));
    for (body, part) in [
        ("[]", "it is not OTLP's JSON"),
        ("{\"resourceMetrics\": 1}", "resourceMetrics may not be a number"),
        ("{} x", "trailing"),
        (
            "{\"resourceMetrics\":{\"scopeMetrics\":{\"metrics\":{\"gauge\":{\"dataPoints\":{\"timeUnixNano\":\"-1\"}}}}}}",
            "-1 is out of range for timeUnixNano",
        ),
    ] {
        let response = send("/v1/metrics?db=db", &[JSON], body.into());
        let answer: Value = serde_json::from_slice(&response.body).unwrap();
        assert_eq!((response.status, &answer["code"]), (400, &json!(3)));
        assert!(answer["message"].as_str().unwrap().contains(part), "{answer}");
    }
    let unknown = send("/v1/metrics?db=db", &[("content-type", "text/plain")], Vec::new());
    assert_eq!(unknown.status, 415);
    assert!(text(&unknown).contains("send application/x-protobuf or application/json"));
    let zstd = send("/v1/metrics?db=db", &[JSON, ("content-encoding", "zstd")], Vec::new());
    assert_eq!(zstd.status, 415);
    let missing = send("/v1/metrics", &[JSON], b"{}".to_vec());
    assert_eq!(missing.status, 400);
    assert!(text(&missing).contains("database is required"), "{}", text(&missing));
}
