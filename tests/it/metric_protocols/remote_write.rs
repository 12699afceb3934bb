use serde_json::json;
use tidemark_model::prometheus::{NORMAL_NAN_BITS, STALE_NAN_BITS, companion};

use super::messages::{Metadata, Sample, TimeSeries, compress, series, snappy, v1, v2};
use super::{T_MS, V1, V2, product, remote_write, rows, stored, text};
use crate::product::{AUTHORIZATION, header};
use crate::tokens::token;

const T_NS: i64 = T_MS * 1_000_000;

fn samples() -> Vec<TimeSeries> {
    vec![
        series("up", &[("instance", "a:9090"), ("job", "node")], &[(T_MS, 1.0), (T_MS + 1, 0.0)]),
        series("up", &[("instance", "b:9090"), ("job", "node")], &[(T_MS, 0.1)]),
        series("load", &[], &[(T_MS, -1e308), (T_MS - 5_000, 5e-324)]),
    ]
}

#[test]
fn both_versions_store_the_same_points() {
    for (target, media_type, body) in [
        ("/api/v1/write?db=db", V1, snappy(&v1(samples()))),
        ("/api/v1/prom/write?db=db&rp=autogen", V1, snappy(&v1(samples()))),
        ("/api/v1/write?bucket=db/autogen", V2, snappy(&v2(samples()))),
        ("/prometheus/db/api/v1/write", V2, snappy(&v2(samples()))),
        (
            "/prometheus/%64b/api/v1/write",
            "application/x-protobuf; proto=prometheus.WriteRequest",
            snappy(&v1(samples())),
        ),
    ] {
        let mut product = product();
        let response = remote_write(&mut product, target, media_type, body.clone());
        stored(&response, 5);
        for name in ["Histograms", "Exemplars"] {
            let name = format!("X-Prometheus-Remote-Write-{name}-Written");
            assert_eq!(header(&response, &name), Some("0"));
        }
        // Prometheus sends a body again after a failure.
        stored(&remote_write(&mut product, target, media_type, body), 5);
        assert_eq!(
            rows(&mut product, "SELECT * FROM up"),
            json!([
                [T_NS, "a:9090", "node", 1.0],
                [T_NS, "b:9090", "node", 0.1],
                [T_NS + 1_000_000, "a:9090", "node", 0.0]
            ])
        );
        assert_eq!(
            rows(&mut product, "SELECT * FROM load"),
            json!([[T_NS - 5_000_000_000, 5e-324], [T_NS, -1e308]])
        );
    }
}

#[test]
fn each_metric_can_be_a_field_of_one_measurement() {
    let mut product = product();
    let all = vec![
        series("up", &[("job", "node")], &[(T_MS, 1.0)]),
        series("load", &[("job", "node")], &[(T_MS, 2.0)]),
        series("load", &[("job", "api")], &[(T_MS, f64::INFINITY)]),
    ];
    let target = "/api/v1/write?db=db&metric=field";
    stored(&remote_write(&mut product, target, V1, snappy(&v1(all))), 3);
    let q = "SELECT job, load, up FROM prometheus";
    assert_eq!(rows(&mut product, q), json!([[T_NS, "node", 2.0, 1.0]]));
    let target = "/api/v1/write?db=db&metric=tag";
    let response = remote_write(&mut product, target, V1, snappy(&v1(Vec::new())));
    let expected = "invalid value \"tag\" of metric: expected measurement or field\n";
    assert_eq!((response.status, text(&response).as_str()), (400, expected));
}

#[test]
fn special_values_are_stored_in_hidden_fields() {
    let mut product = product();
    let special = [
        f64::from_bits(STALE_NAN_BITS),
        f64::from_bits(NORMAL_NAN_BITS),
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::from_bits(0xfff8_1234_0000_0000),
    ];
    let special: Vec<_> =
        special.into_iter().zip(1..).map(|(value, ms)| (T_MS + ms, value)).collect();
    let all = vec![series("up", &[("job", "node")], &[&[(T_MS, 1.5)], &special[..]].concat())];
    let response = remote_write(&mut product, "/api/v1/write?db=db", V1, snappy(&v1(all)));
    stored(&response, 6);
    product.rest();
    assert_eq!(rows(&mut product, "SELECT * FROM up"), json!([[T_NS, "node", 1.5]]));
    assert_eq!(rows(&mut product, "SELECT count(*) FROM up"), json!([[0, 1.0]]));
    assert_eq!(rows(&mut product, "SHOW FIELD KEYS"), json!([["value", "float"]]));
    assert_eq!(rows(&mut product, "SHOW FIELD KEY CARDINALITY"), json!([[1]]));
    let (status, export) = product.ask("GET", "/api/v3/export", "db=db", &[], "");
    assert_eq!((status, export.as_str()), (200, "up,job=node value=1.5 1700000000000000000\n"));
    let q = format!("SELECT \"{}\" FROM up", companion("value"));
    assert_eq!(rows(&mut product, &q), json!(null));
    let line = format!("up,job=node {}=1i", companion("value"));
    let response = product.post("/write?db=db", &line);
    assert_eq!(response.status, 400);
    assert!(text(&response).contains("control character 0x01 in a name"), "{}", text(&response));
}

#[test]
fn unsupported_data_is_refused_by_name() {
    let mut product = product();
    let sample = Sample { value: 1.0, timestamp: T_MS };
    let with_others = TimeSeries {
        exemplars: vec![sample; 2],
        histograms: vec![sample],
        ..series("up", &[], &[(T_MS, 1.0)])
    };
    let mut message = v1(vec![with_others.clone()]);
    message.metadata.push(Metadata { metric_family_name: "up".into(), ..Metadata::default() });
    for (media_type, body) in [(V1, snappy(&message)), (V2, snappy(&v2(vec![with_others])))] {
        let response = remote_write(&mut product, "/api/v1/write?db=db", media_type, body);
        let expected = "1 samples stored, 2 exemplars rejected (exemplars are not supported), 1 \
                        native histograms rejected (send classic histograms)\n";
        assert_eq!((response.status, text(&response).as_str()), (400, expected));
        let written = |name: &str| {
            header(&response, &format!("X-Prometheus-Remote-Write-{name}-Written")).unwrap()
        };
        let counts = ["Samples", "Exemplars", "Histograms"].map(written);
        assert_eq!(counts, ["1", "0", "0"]);
    }
    message.timeseries.clear();
    stored(&remote_write(&mut product, "/api/v1/write?db=db", V1, snappy(&message)), 0);
}

#[test]
fn rejected_samples_are_named() {
    let mut product = product();
    product.write("db", "requests,code=200 value=1i");
    let all = vec![
        series("good", &[], &[(T_MS, 1.0)]),
        series("requests", &[("code", "200")], &[(T_MS, 1.0), (T_MS + 1, 1.0)]),
        series("late", &[("a", "b\"\n")], &[(T_MS, 1.0)]),
        series("range", &[], &[(i64::MAX, 1.0), (i64::MIN, 1.0), (T_MS, 3.0)]),
    ];
    let response = remote_write(&mut product, "/api/v1/write?db=db", V2, snappy(&v2(all)));
    let text = text(&response);
    assert_eq!(response.status, 400);
    assert_eq!(header(&response, "X-Prometheus-Remote-Write-Samples-Written"), Some("2"));
    let outside = "range: the timestamp is outside of the range of times (±9223372036854775806 ns)";
    for part in [
        "2 samples stored, 5 samples rejected; ",
        "requests{code=\"200\"}: field type conflict: input field \"value\" on measurement \
         \"requests\" is type float, already exists as type integer",
        "late{a=\"b\\\"\\n\"}: \"b\\\"\\n\" cannot be written as line protocol",
        outside,
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    // Prometheus logs only the first line.
    assert_eq!(text.lines().count(), 1, "{text}");
    assert_eq!(rows(&mut product, "SELECT * FROM range"), json!([[T_NS, 3.0]]));
}

#[test]
fn version_and_encoding_are_chosen_by_headers() {
    let mut product = product();
    let body = snappy(&v1(samples()));
    let accepted = "send application/x-protobuf (proto=prometheus.WriteRequest or \
                    proto=io.prometheus.write.v2.Request) with Content-Encoding: snappy\n";
    for (media_type, encoding, beginning) in [
        ("text/plain", "snappy", "unsupported content type \"text/plain\": "),
        ("application/x-protobuf;proto=a.B", "snappy", "unsupported content type \""),
        ("application/x-protobuf", "gzip", "unsupported content encoding \"gzip\": "),
        ("application/x-protobuf", "", "unsupported content encoding \"\": "),
    ] {
        let headers = [AUTHORIZATION, ("content-type", media_type), ("content-encoding", encoding)];
        let response = product.send("POST", "/api/v1/write?db=db", &headers, body.clone());
        let text = text(&response);
        assert_eq!(response.status, 415, "{text}");
        assert!(text.starts_with(beginning) && text.ends_with(accepted), "{text}");
    }
    assert_eq!(rows(&mut product, "SHOW MEASUREMENTS"), json!(null));
}

#[test]
fn token_for_one_database_selects_the_database() {
    let mut product = product();
    let [one, two] = [("one", &["db"][..]), ("two", &["db", "other"])].map(|(name, databases)| {
        let token = token(&mut product, name, databases, &["write"], None);
        format!("Bearer {token}")
    });
    let mut send = |authorization: &str, target: &str| {
        let headers = [
            ("authorization", authorization),
            ("content-type", V1),
            ("content-encoding", "snappy"),
        ];
        let response = product.send("POST", target, &headers, snappy(&v1(samples())));
        (response.status, text(&response))
    };
    assert_eq!(send(&one, "/api/v1/write"), (204, String::new()));
    let missing = "database is required: name it with the parameter db, or in the path \
                   (/prometheus/{db}/… or /otlp/{db}/…), or use a token that may write to only one \
                   database\n";
    assert_eq!(send(&two, "/api/v1/write"), (400, missing.to_owned()));
    assert_eq!(send(&two, "/api/v1/write?db=db"), (204, String::new()));
    let (status, text) = send(&one, "/prometheus/other/api/v1/write");
    assert_eq!((status, text.lines().count()), (403, 1), "{text}");
    assert_eq!(send("Bearer wrong", "/api/v1/write?db=db").0, 401);
}

#[test]
fn unreadable_body_stores_nothing() {
    let mut product = product();
    let whole = prost::Message::encode_to_vec(&v1(samples()));
    let mut not_utf8 = whole.clone();
    let at = not_utf8.windows(2).position(|two| two == b"up").unwrap();
    not_utf8[at] = 0xff;
    for (body, expected) in [
        (b"not snappy at all".to_vec(), "compressed with snappy's block format"),
        (compress(&whole[..whole.len() - 1]), "a field is cut off"),
        (compress(&not_utf8), "a string is not UTF-8"),
        (compress(&[0x0b]), "a field is a group"),
    ] {
        let response = remote_write(&mut product, "/api/v1/write?db=db", V1, body);
        let text = text(&response);
        assert_eq!(response.status, 400, "{text}");
        assert!(text.contains(expected), "{text}");
    }
    let mut odd = v2(samples());
    odd.timeseries[2].labels_refs.push(1);
    let mut outside = v2(samples());
    outside.timeseries[2].labels_refs[1] = 99;
    for (message, expected) in [(odd, "has no value"), (outside, "symbol 99 does not exist")] {
        let response = remote_write(&mut product, "/api/v1/write?db=db", V2, snappy(&message));
        assert_eq!(response.status, 400);
        assert!(text(&response).contains(expected), "{}", text(&response));
    }
    assert_eq!(rows(&mut product, "SHOW MEASUREMENTS"), json!(null));
}
