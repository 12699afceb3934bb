//! Compares `/api/v3/query_influxql` with `/query`. In each format, one table must contain the same
//! rows.

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampNanosecondType};
use arrow_array::{Array, RecordBatch};
use arrow_ipc::reader::StreamReader;
use serde_json::{Value, json};
use tidemark_server::http::Response;

use crate::product::{AUTHORIZATION, Product, form};

fn ask(product: &mut Product, q: &str, format: &str) -> Response {
    let query = form(&[("db", "db"), ("q", q), ("format", format)]);
    let target = format!("/api/v3/query_influxql?{query}");
    product.send("GET", &target, &[AUTHORIZATION], "")
}

fn whole(product: &mut Product, q: &str, format: &str) -> Vec<u8> {
    let response = ask(product, q, format);
    let text = String::from_utf8_lossy(&response.body);
    assert_eq!(response.status, 200, "{q} as {format}: {text}");
    response.body
}

fn text(product: &mut Product, q: &str, format: &str) -> String {
    String::from_utf8(whole(product, q, format)).unwrap()
}

fn batches(product: &mut Product, q: &str) -> Vec<RecordBatch> {
    let stream = whole(product, q, "arrow");
    StreamReader::try_new(stream.as_slice(), None).unwrap().map(Result::unwrap).collect()
}

/// Creates a product with a database that has unlimited retention.
fn created(settings: &[(&str, &str)]) -> Product {
    let mut product = Product::with(settings);
    assert_eq!(product.configure("POST", "{\"db\":\"db\"}").0, 200);
    product
}

fn loaded(shards: u32) -> Product {
    let mut product = Product::with(&[]);
    let body = json!({"db": "db", "shards": shards}).to_string();
    assert_eq!(product.configure("POST", &body).0, 200);
    for hour in 0..24 {
        let line = |n: u32| {
            let (host, minute) = (n % 20, n / 20);
            let time_s = 1_699_920_000 + hour * 3_600 + minute * 60;
            format!("cpu,host=h{host:02},region=r{} v={n},i={hour}i {time_s}\n", host % 3)
        };
        let lines: String = (0..1_200).map(line).collect();
        product.write("db", &lines);
    }
    product
}

#[test]
fn query_v3_equals_query_v1() {
    let statements = [
        "SELECT mean(v), max(i) FROM cpu WHERE time >= 1699920000s AND time < 1700006400s \
         GROUP BY time(6h), region",
        "SELECT v, region FROM cpu WHERE i = 3 GROUP BY host",
        "SELECT last(v) FROM cpu GROUP BY host ORDER BY time DESC LIMIT 1",
        "SELECT sum(m) FROM (SELECT max(v) AS m FROM cpu GROUP BY host)",
    ];
    let mut expected = Vec::new();
    for shards in [1, 2, 7] {
        let mut product = loaded(shards);
        for (at, q) in statements.into_iter().enumerate() {
            let table: Value = serde_json::from_str(&text(&mut product, q, "json")).unwrap();
            let rows = rows_of(&product.query("db", q));
            let seconds = |row: &Value| {
                let mut row = row.clone();
                let time = row["time"].as_str().unwrap().to_owned() + "Z";
                row["time"] = time.into();
                row
            };
            let table: Vec<Value> = table.as_array().unwrap().iter().map(seconds).collect();
            assert_eq!(table.len(), rows.len(), "{q} on {shards}");
            assert!(!rows.is_empty());
            for (cells, row) in table.iter().zip(&rows) {
                for (name, value) in row.as_object().unwrap() {
                    let shown =
                        if name == "time" { at_s(&cells[name]) } else { cells[name].clone() };
                    // JSON from Go never contains a number such as 1.0.
                    let same = match (shown.as_f64(), value.as_f64()) {
                        (Some(shown), Some(value)) => shown == value,
                        _ => shown == *value,
                    };
                    assert!(same, "{q}: {name} of {cells} is {value}");
                }
                assert_eq!(cells["iox::measurement"], "cpu");
            }
            expected.push((at, table));
        }
    }
    let (first, others) = expected.split_at(statements.len());
    for (at, table) in others {
        assert_eq!((*at, table), (first[*at].0, &first[*at].1));
    }
}

/// Tags and columns are listed by name, and nulls are omitted.
fn rows_of(answer: &Value) -> Vec<Value> {
    let mut rows = Vec::new();
    for series in answer["results"][0]["series"].as_array().unwrap() {
        for values in series["values"].as_array().unwrap() {
            let mut row = series["tags"].clone();
            if row.is_null() {
                row = json!({});
            }
            let names = series["columns"].as_array().unwrap();
            for (name, value) in names.iter().zip(values.as_array().unwrap()) {
                if !value.is_null() {
                    row[name.as_str().unwrap()] = value.clone();
                }
            }
            rows.push(row);
        }
    }
    rows
}

/// Returns the timestamp in seconds. The timestamp must be a whole second, on the day of the
/// written points or at the Unix epoch.
fn at_s(time: &Value) -> Value {
    let text = time.as_str().unwrap();
    if text.starts_with("1970-01-01T00:00:00") {
        return 0.into();
    }
    let part = |from: usize, to: usize| text[from..to].parse::<i64>().unwrap();
    assert_eq!(&text[..8], "2023-11-", "{text}");
    let days = part(8, 10) - 14;
    let of_day = part(11, 13) * 3_600 + part(14, 16) * 60 + part(17, 19);
    (1_699_920_000 + days * 86_400 + of_day).into()
}

#[test]
fn large_result_is_complete_in_formats() {
    let mut product = loaded(3);
    let q = "SELECT v, i, host FROM cpu";
    let rows = 24 * 1_200;
    let objects: Vec<Value> = serde_json::from_str(&text(&mut product, q, "json")).unwrap();
    assert_eq!(objects.len(), rows);
    let lines = text(&mut product, q, "jsonl");
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines, objects);
    let csv = text(&mut product, q, "csv");
    assert_eq!(csv.lines().next(), Some("iox::measurement,time,v,i,host"));
    assert_eq!(csv.lines().count(), rows + 1);
    let pretty = text(&mut product, q, "pretty");
    assert_eq!(pretty.lines().count(), rows + 4);
    assert!(pretty.len() > 1_000_000 && pretty.ends_with('+'));
    let batches = batches(&mut product, q);
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), rows);
    let mut at = 0;
    for batch in &batches {
        let times = batch.column(1).as_primitive::<TimestampNanosecondType>();
        let (v, i) = (batch.column(2), batch.column(3));
        let (v, i) = (v.as_primitive::<Float64Type>(), i.as_primitive::<Int64Type>());
        let hosts = batch.column(4).as_string::<i32>();
        for row in 0..batch.num_rows() {
            let object = &objects[at];
            assert_eq!(at_s(&object["time"]), times.value(row) / 1_000_000_000);
            assert_eq!(object["v"], v.value(row));
            assert_eq!(object["i"], i.value(row));
            assert_eq!(object["host"], hosts.value(row));
            at += 1;
        }
    }
}

/// A column has one type in all measurements, even in a table that has no values in this column.
#[test]
fn columns_have_one_type_across_measurements() {
    let mut product = created(&[]);
    product.write("db", "a,t=x f=1i,s=\"é\",only=2u 1\nb f=2.5,b=true 2\n");
    let batches = batches(&mut product, "SELECT * FROM a, b");
    let schema = batches[0].schema();
    let described: Vec<(String, String)> = (schema.fields().iter())
        .map(|field| (field.name().clone(), field.data_type().to_string()))
        .collect();
    let expected = [
        ("iox::measurement", "Utf8"),
        ("time", "Timestamp(ns)"),
        ("b", "Boolean"),
        ("f", "Float64"),
        ("only", "UInt64"),
        ("s", "Utf8"),
        ("t", "Utf8"),
    ];
    assert_eq!(described, expected.map(|(name, of)| (name.to_owned(), of.to_owned())));
    let floats: Vec<Option<f64>> = (batches.iter())
        .flat_map(|batch| batch.column(3).as_primitive::<Float64Type>().iter().collect::<Vec<_>>())
        .collect();
    assert_eq!(floats, [Some(1.0), Some(2.5)]);
    assert_eq!(batches.iter().map(|batch| batch.column(4).null_count()).sum::<usize>(), 1);
    let nothing = whole(&mut product, "SELECT f, none FROM a WHERE t = 'y'", "arrow");
    let schema = StreamReader::try_new(nothing.as_slice(), None).unwrap().schema();
    let of: Vec<String> = schema.fields().iter().map(|f| f.data_type().to_string()).collect();
    assert_eq!(of, ["Utf8", "Timestamp(ns)", "Int64", "Utf8"]);
}

#[test]
fn early_query_error_has_status() {
    let mut product = created(&[("POINTS_PER_QUERY_MAX", "10")]);
    let lines: String = (0..100).map(|n| format!("m v={n} {n}\n")).collect();
    product.write("db", &lines);
    let response = ask(&mut product, "SELECT v FROM m", "csv");
    let body = String::from_utf8(response.body).unwrap();
    assert_eq!(response.status, 400, "{body}");
    assert!(body.starts_with("{\"error\":\"max-select-point limit exceeded"), "{body}");
    assert!(response.headers.contains(&("Content-Type", "application/json".into())));
}

/// A `pretty` table is completely in memory, so the memory limit of the query applies to the table.
#[test]
fn pretty_format_is_limited() {
    let mut product = created(&[]);
    let long = "x".repeat(60_000);
    for n in 0..600 {
        product.write("db", &format!("m s=\"{n}{long}\" {n}\n"));
    }
    let response = ask(&mut product, "SELECT s FROM m", "pretty");
    let body = String::from_utf8(response.body).unwrap();
    assert_eq!(response.status, 400, "{}", &body[..200]);
    assert!(body.contains("bytes"), "{body}");
    assert_eq!(ask(&mut product, "SELECT s FROM m", "csv").status, 200);
}
