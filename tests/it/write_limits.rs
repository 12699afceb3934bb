//! Tests every limit of a write with requests at the limit and above the limit. Checks the
//! response, and that the other lines of the request are stored.

use serde_json::Value;
use tidemark_model::configurable_limits::SETTABLE;
use tidemark_model::limits::*;

use crate::product::{AUTHORIZATION, Product, gzip};
use crate::world::is_long;

fn product() -> Product {
    let mut product = Product::with(&[]);
    assert_eq!(product.post("/query?q=CREATE+DATABASE+db", "").status, 200);
    product
}

fn post(product: &mut Product, body: Vec<u8>, headers: &[(&str, &str)]) -> (u16, String) {
    let headers = [&[AUTHORIZATION][..], headers].concat();
    let response = product.send("POST", "/write?db=db&precision=s", &headers, body);
    let text = String::from_utf8(response.body).unwrap();
    if text.is_empty() {
        return (response.status, text);
    }
    let json: Value = serde_json::from_str(&text).unwrap();
    (response.status, json["error"].as_str().unwrap().to_owned())
}

fn comments(bytes: usize) -> Vec<u8> {
    let mut body = b"#234567\n".repeat(bytes / 8);
    body.resize(bytes, b'\n');
    body
}

/// Writes a line at the limit, and then a line above the limit between valid lines. Checks that the
/// error contains the limit and the line's value, and that the other lines are stored.
fn line_limit(at_limit: &str, past: &str, expected: &str) {
    let mut product = product();
    let (status, text) = post(&mut product, at_limit.as_bytes().to_vec(), &[]);
    assert_eq!((status, text.as_str()), (204, ""));
    let body = format!("good v=1\n{past}\ngood v=2 1");
    let (status, text) = post(&mut product, body.into_bytes(), &[]);
    assert_eq!(status, 400);
    assert!(text.starts_with("partial write: unable to parse 1 line(s)"), "{text}");
    let beginning = format!("\nerror parsing line 2 (1-based): {expected}");
    assert!(text.contains(&beginning), "{text}\ninstead of\n{beginning}");
    assert!(text.ends_with("\n2 points written, 1 lines rejected"), "{text}");
}

#[test]
fn plain_body_size_is_limited() {
    let mut product = product();
    assert_eq!(post(&mut product, comments(BODY_BYTES_MAX), &[]), (204, String::new()));
    let (status, text) = post(&mut product, comments(BODY_BYTES_MAX + 1), &[]);
    let expected = "the body is too large: current 0, requested 25000001, limit 25000000 (BODY_BYTES_MAX): send \
         smaller batches or a shorter statement";
    assert_eq!((status, text.as_str()), (413, expected));
}

#[test]
fn decompressed_body_size_is_limited() {
    let mut product = product();
    let coded = [("content-encoding", "gzip")];
    let fits = gzip(&comments(BODY_BYTES_MAX));
    assert_eq!(post(&mut product, fits, &coded), (204, String::new()));
    for bytes in [BODY_BYTES_MAX + 1, 2 * BODY_BYTES_MAX] {
        let (status, text) = post(&mut product, gzip(&comments(bytes)), &coded);
        assert_eq!(status, 413);
        let beginning =
            "the body is too large: current 0, requested 25000001, limit 25000000 (BODY_BYTES_MAX)";
        assert!(text.starts_with(beginning), "{text}");
    }
}

#[test]
fn compressed_body_size_is_limited() {
    let mut product = product();
    let coded = [("content-encoding", "gzip")];
    // The gzip header contains a long file name.
    let plain = gzip(b"cpu v=1");
    let mut body = plain[..10].to_vec();
    body[3] = 8;
    body.resize(BODY_COMPRESSED_BYTES_MAX - (plain.len() - 10) - 1, b'n');
    body.push(0);
    body.extend(&plain[10..]);
    assert_eq!(body.len(), BODY_COMPRESSED_BYTES_MAX);
    assert_eq!(post(&mut product, body.clone(), &coded), (204, String::new()));
    let (status, text) = post(&mut product, [body, vec![0]].concat(), &coded);
    let expected = "the compressed body is too large: current 0, requested 10000001, limit 10000000 \
         (BODY_COMPRESSED_BYTES_MAX): send smaller batches or a shorter statement";
    assert_eq!((status, text.as_str()), (413, expected));
}

#[test]
fn gzip_member_count_is_limited() {
    let mut product = product();
    let coded = [("content-encoding", "gzip")];
    let body = gzip(b"").repeat(GZIP_MEMBERS_MAX);
    assert_eq!(post(&mut product, body.clone(), &coded), (204, String::new()));
    let (status, text) = post(&mut product, [body, gzip(b"")].concat(), &coded);
    let expected = "the gzip body has too many members: current 10000, requested 10001, limit \
                    10000 (GZIP_MEMBERS_MAX); the request changed no data: correct the body and \
                    send it again";
    assert_eq!((status, text.as_str()), (400, expected));
}

/// Also checks the position in the error.
#[test]
fn limits_can_be_set() {
    let line = |text: &str| ("/write?db=db&precision=s", text.to_owned());
    let query = |text: &str| ("/query?db=db", text.to_owned());
    let zipped = gzip(b"m v=1").len().to_string();
    let cases = [
        ("BODY_BYTES_MAX", "5", line("m v=1"), line("m v=10"), (0, 6)),
        ("LINE_BYTES_MAX", "6", line("m v=10"), line("m v=100"), (0, 7)),
        ("TAGS_PER_POINT_MAX", "1", line("m,a=x v=1"), line("m,a=x,b=x v=1"), (0, 2)),
        ("FIELDS_PER_MEASUREMENT_MAX", "2", line("m v=1,w=1"), line("m x=1"), (2, 3)),
        ("MEASUREMENTS_PER_POLICY_MAX", "1", line("m v=1"), line("n v=1"), (1, 2)),
        ("DATABASES_MAX", "1", line("m v=1"), ("/write?db=other", "m v=1".into()), (1, 2)),
        (
            "QUERY_TEXT_BYTES_MAX",
            "20",
            query("SELECT v FROM mmmmmm"),
            query("SELECT v FROM mmmmmmm"),
            (0, 21),
        ),
        (
            "STATEMENTS_MAX",
            "1",
            query("SHOW DATABASES"),
            query("SHOW DATABASES;SHOW DATABASES"),
            (1, 2),
        ),
        ("BODY_COMPRESSED_BYTES_MAX", &zipped, line("gzip m v=1"), line("gzip m v=1,w=2"), (0, 0)),
    ];
    for (name, value, (fits_at, fits), (past_at, past), (current, requested)) in cases {
        let mut product = Product::with(&[(name, value)]);
        product.post("/query?q=CREATE+DATABASE+db", "");
        let mut ask = |target: &str, text: &str| {
            let (body, coding) = match text.strip_prefix("gzip ") {
                Some(plain) => (gzip(plain.as_bytes()), "gzip"),
                None => (text.as_bytes().to_vec(), "identity"),
            };
            let headers = [AUTHORIZATION, ("content-encoding", coding)];
            let response = product.send("POST", target, &headers, body);
            (response.status, String::from_utf8(response.body).unwrap())
        };
        let (status, text) = ask(fits_at, &fits);
        assert!(status < 300 && !text.contains("error"), "{name}: {status} {text}");
        let (status, text) = ask(past_at, &past);
        assert!((400..500).contains(&status), "{name}: {status} {text}");
        let limit = value.parse::<u64>().unwrap();
        let requested = if requested > 0 { requested } else { limit + 4 };
        let numbers = [current, requested, limit].map(|number| number.to_string());
        assert!(numbers.iter().all(|number| text.contains(number)), "{name}: {text}");
        assert!(text.contains(&format!("({name})")), "{name}: {text}");
    }
}

/// The error contains the text of 1.x and the name of the setting.
#[test]
fn query_window_count_is_limited() {
    let mut product = Product::with(&[("BUCKETS_PER_QUERY_MAX", "10")]);
    assert_eq!(product.post("/write?db=db&precision=s", "m v=1 1700000000").status, 204);
    let q = |seconds: u64| {
        format!("SELECT count(v) FROM m WHERE time >= 0 AND time < {seconds}s GROUP BY time(1s)")
    };
    assert_eq!(product.query("db", &q(10))["results"][0]["error"], Value::Null);
    let error = &product.query("db", &q(11))["results"][0]["error"];
    let cure = "narrow the time range, or use longer windows";
    let expected =
        format!("max-select-buckets limit exceeded: (11/10) (BUCKETS_PER_QUERY_MAX): {cure}");
    assert_eq!(error, expected.as_str());
    let filled = "SELECT count(v) FROM m WHERE time < 1700000020s GROUP BY time(1s) fill(0)";
    let error = &product.query("db", filled)["results"][0]["error"];
    assert_eq!(error, expected.as_str());
}

/// The number of series is checked before any line is read, and the number of points while lines
/// are read.
#[test]
fn query_series_and_points_are_limited() {
    let lines = "m,t=a v=1 1\nm,t=b v=2 1\nm,t=c v=3 1\nm,t=d v=4 2\nn,t=a v=1 1";
    let ask = |setting: (&str, &str), q: &str| {
        let mut product = Product::with(&[setting, ("DEFAULT_SHARDS", "2")]);
        product.query("", "CREATE DATABASE db WITH DURATION INF");
        product.write("db", lines);
        product.query("db", q)["results"][0]["error"].clone()
    };
    let series = |limit, q| ask(("SERIES_PER_QUERY_MAX", limit), q);
    let cure = "narrow the time range or the WHERE clause";
    let four_of_three =
        format!("max-select-series limit exceeded: (4/3) (SERIES_PER_QUERY_MAX): {cure}");
    assert_eq!(series("3", "SELECT count(v) FROM m"), four_of_three.as_str());
    assert_eq!(series("3", "SELECT x FROM (SELECT v AS x FROM m)"), four_of_three.as_str());
    assert_eq!(series("3", "SELECT v FROM m WHERE t != 'a'"), Value::Null);
    assert_eq!(series("4", "SELECT count(v) FROM m, n"), Value::Null);
    let points = |limit, q| ask(("POINTS_PER_QUERY_MAX", limit), q);
    let error = points("3", "SELECT max(v) FROM m");
    assert_eq!(
        error,
        format!("max-select-point limit exceeded: (4/3) (POINTS_PER_QUERY_MAX): {cure}")
    );
    assert_eq!(points("4", "SELECT max(v) FROM m"), Value::Null);
    assert_eq!(points("3", "SELECT max(v) FROM m WHERE time < 2s"), Value::Null);
}

#[test]
fn settings_page_lists_every_limit() {
    let page = include_str!("../../docs/SETTINGS.md");
    let spaced = |number: u32| {
        let digits = number.to_string();
        let groups: Vec<&str> = digits
            .as_bytes()
            .rchunks(3)
            .rev()
            .map(|group| std::str::from_utf8(group).unwrap())
            .collect();
        groups.join(",")
    };
    for row in SETTABLE {
        let line = page.lines().find(|line| line.starts_with(&format!("| `{}` |", row.name)));
        let line = line.unwrap_or_else(|| panic!("{} is missing", row.name));
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        assert_eq!(cells[3..5], [spaced(row.default), spaced(row.max)], "{line}");
    }
}

#[test]
fn line_length_is_limited() {
    let line = |bytes: usize| format!("m{}v=1", " ".repeat(bytes - 4));
    line_limit(
        &line(LINE_BYTES_MAX),
        &line(LINE_BYTES_MAX + 1),
        "the line is too long: current 0, requested 2097153, limit 2097152 (LINE_BYTES_MAX)",
    );
}

#[test]
fn series_key_length_is_limited() {
    let line = |bytes: usize| format!("m,t={} v=1", "k".repeat(bytes - 4));
    line_limit(
        &line(SERIES_KEY_BYTES_MAX),
        &line(SERIES_KEY_BYTES_MAX + 1),
        "max key length exceeded: current 0, requested 65536, limit 65535 (SERIES_KEY_BYTES_MAX)",
    );
}

#[test]
fn string_length_is_limited() {
    let line = |bytes: usize| format!("m v=\"{}\"", "s".repeat(bytes));
    line_limit(
        &line(STRING_BYTES_MAX),
        &line(STRING_BYTES_MAX + 1),
        "the string is too long: current 0, requested 1048577, limit 1048576 (STRING_BYTES_MAX)",
    );
}

#[test]
fn tags_per_point_are_limited() {
    let line =
        |tags: usize| (0..tags).fold("m".to_owned(), |line, n| format!("{line},t{n}=x")) + " v=1";
    line_limit(
        &line(TAGS_PER_POINT_MAX),
        &line(TAGS_PER_POINT_MAX + 1),
        "too many tags: current 0, requested 256, limit 255 (TAGS_PER_POINT_MAX)",
    );
}

#[test]
fn tag_keys_per_measurement_are_limited() {
    let line = |from: usize, to: usize| {
        (from..to).fold("m".to_owned(), |line, n| format!("{line},t{n:04}=x")) + " v=1\n"
    };
    let most: String = (0..5).map(|part| line(part * 200, part * 200 + 200)).collect();
    let cause = "tag keys limit exceeded on measurement \"m\": it has 1000 tag keys, this line \
                 would make 1001, and the limit is 1000 (TAG_KEYS_PER_MEASUREMENT_MAX)";
    let mut product = product();
    let (status, text) = post(&mut product, (most + &line(999, 1_001)).into_bytes(), &[]);
    assert_eq!(status, 400);
    assert!(text.contains(&format!("error parsing line 6 (1-based): {cause}")), "{text}");
    assert!(text.ends_with("5 points written, 1 lines rejected"), "{text}");
    // The schema from earlier requests counts towards the limit.
    let (status, text) = post(&mut product, line(1_000, 1_001).into_bytes(), &[]);
    assert_eq!(status, 400);
    assert!(text.contains(&format!("error writing line 1 (1-based): {cause}")), "{text}");
}

#[test]
fn fields_per_measurement_are_limited() {
    let line = |from: usize, to: usize| {
        let fields: Vec<String> = (from..to).map(|n| format!("f{n}=1")).collect();
        format!("m {}", fields.join(","))
    };
    line_limit(
        &line(0, FIELDS_PER_MEASUREMENT_MAX),
        &line(0, FIELDS_PER_MEASUREMENT_MAX + 1),
        "too many fields: current 1000, requested 1001, limit 1000 (FIELDS_PER_MEASUREMENT_MAX)",
    );
    // Two requests together exceed the limit, because it applies to the schema.
    let mut product = product();
    let most = line(1, FIELDS_PER_MEASUREMENT_MAX).into_bytes();
    assert_eq!(post(&mut product, most, &[]).0, 204);
    assert_eq!(post(&mut product, b"m last=1".to_vec(), &[]).0, 204);
    let (status, text) = post(&mut product, b"m f1=2,over=1\nm f1=3 1".to_vec(), &[]);
    let cause = "fields limit exceeded on measurement \"m\": it has 1000 fields, this line would \
                 make 1001, and the limit is 1000 (FIELDS_PER_MEASUREMENT_MAX)";
    assert_eq!(status, 400);
    assert!(text.contains(&format!("error writing line 1 (1-based): {cause}")), "{text}");
    assert!(text.ends_with("1 points written, 1 lines rejected"), "{text}");
}

#[test]
fn measurements_per_policy_are_limited() {
    let mut product = product();
    let lines: String = (0..MEASUREMENTS_PER_POLICY_MAX).map(|n| format!("m{n} v=1\n")).collect();
    assert_eq!(post(&mut product, lines.clone().into_bytes(), &[]).0, 204);
    let (status, text) = post(&mut product, b"m0 v=2\nover v=1".to_vec(), &[]);
    assert_eq!(status, 400);
    assert!(
        text.contains(
            "error writing line 2 (1-based): measurements limit exceeded: cannot create \
                       measurement \"over\""
        ) && text.contains("10000"),
        "{text}"
    );
    let (status, text) = post(&mut product, (lines + "over v=1").into_bytes(), &[]);
    assert_eq!(status, 400);
    let cause = "too many measurements: current 10000, requested 10001, limit 10000 \
                 (MEASUREMENTS_PER_POLICY_MAX)";
    assert!(text.contains(&format!("line 10001 (1-based): {cause}")), "{text}");
}

#[test]
fn databases_per_deployment_are_limited() {
    let mut product = Product::with(&[("DATABASES_MAX", "100")]);
    for n in 0..100 {
        assert_eq!(product.post(&format!("/write?db=db{n}"), "m v=1").status, 204, "{n}");
    }
    let over = product.post("/write?db=over", "m v=1");
    let text = String::from_utf8(over.body).unwrap();
    assert_eq!(over.status, 422, "{text}");
    assert!(text.contains("100"), "{text}");
    assert_eq!(product.post("/write?db=db7", "m v=2").status, 204);
    product.query("", "DROP DATABASE db7");
    assert_eq!(product.post("/write?db=over", "m v=1").status, 204);
}

#[test]
fn reported_line_errors_are_limited() {
    let mut product = product();
    for (bad, more) in
        [(REJECTED_LINES_NAMED_MAX, ""), (REJECTED_LINES_NAMED_MAX + 1, "\nand 1 more")]
    {
        let (status, text) = post(&mut product, "m\n".repeat(bad).into_bytes(), &[]);
        assert_eq!((status, text.matches("\nerror parsing").count()), (400, 100));
        let end = format!("{more}\n0 points written, {bad} lines rejected");
        assert!(text.ends_with(&end), "{text}");
    }
}

/// The tables in the frame of a large write count as one write, in the order of the lines.
#[test]
fn later_lines_win_in_large_write() {
    let mut product = product();
    let lines: String = (0..70_000).map(|n| format!("m v={n}i {}\n", n % 69_990)).collect();
    assert_eq!(post(&mut product, lines.into_bytes(), &[]), (204, String::new()));
    let sum = (10..70_000_u64).sum::<u64>();
    let found = product.values("db", "SELECT count(v), sum(v) FROM m");
    assert_eq!(found, serde_json::json!([[0, 69_990, sum]]));
}

/// The number of tag values is not limited. With `LONG_TESTS=1`, writes a million tag values.
#[test]
fn tag_values_are_not_limited() {
    let mut product = product();
    let requests = if is_long() { 100 } else { 3 };
    for request in 0..requests {
        let first = request * 10_000;
        let lines: String = (first..first + 10_000).map(|n| format!("m,id={n} v=1 1\n")).collect();
        assert_eq!(post(&mut product, lines.into_bytes(), &[]).0, 204, "{request}");
    }
    assert_eq!(product.values("db", "SELECT count(v) FROM m")[0][1], requests * 10_000);
}

/// The header of a frame may have any length. It does not depend on the row size of the log.
#[test]
fn write_columns_are_not_limited() {
    let mut product = product();
    let name = |n: usize| format!("f{n:0>40}");
    let fields: Vec<String> = (0..600).map(|n| format!("{}=1i", name(n))).collect();
    let fields = fields.join(",");
    let lines: String = (0..120).map(|n| format!("m{n} {fields} 1\n")).collect();
    let (status, text) = post(&mut product, lines.into_bytes(), &[]);
    assert_eq!((status, text.as_str()), (204, ""));
    for n in [0, 70, 119] {
        let q = format!("SELECT {}, {} FROM m{n}", name(0), name(599));
        let values = product.values("db", &q);
        assert_eq!(values, serde_json::json!([[1, 1, 1]]), "m{n}");
    }
}
