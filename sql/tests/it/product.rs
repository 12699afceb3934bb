//! Runs the complete server in one process: HTTP requests, real shards, and SQL. SQL communicates
//! with the same messages as in a deployment.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tidemark_browser::in_process::{InProcess, SqlSession};
use tidemark_engine::protocol::envelope;
use tidemark_engine::protocol::sql::ToSql;
use tidemark_server::http::RequestHead;
use tidemark_server::settings::Settings;
use tidemark_sql::{Engine, QuerySession};

const TOKEN: &str = "token-of-the-tests";
const NOW_NS: i64 = 1_700_000_000_000_000_000;

pub(crate) struct Product(InProcess);

/// Returns SQL in this process.
fn sql_session() -> SqlSession {
    let (engine, mut session) = (Engine::default(), QuerySession::default());
    Box::new(move |message: &[u8]| Ok(session.turn(&engine, message)))
}

impl Product {
    pub(crate) fn new(shards: u32) -> Self {
        Self::with(&[("DEFAULT_SHARDS", &shards.to_string())], sql_session())
    }

    /// Creates a server whose shards compute no aggregates.
    pub(crate) fn without_aggregates() -> Self {
        let mut sql = sql_session();
        let sql = move |message: &[u8]| {
            let (_, mut message) = envelope::decode::<ToSql>(message).unwrap();
            if let ToSql::Open(request) = &mut message {
                (request.aggregates, request.first_of_groups) = (false, false);
            }
            sql(&envelope::encode(&message))
        };
        Self::with(&[("DEFAULT_SHARDS", "1")], Box::new(sql))
    }

    pub(crate) fn with(set: &[(&str, &str)], sql: SqlSession) -> Self {
        let settings = Settings::read(|name| match name {
            "ADMIN_TOKEN" => Some(TOKEN.to_owned()),
            _ => set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()),
        });
        let mut product = InProcess::new(settings.unwrap(), 7);
        product.set_sql(sql);
        let mut product = Self(product);
        product.ask("POST", "/query", "q=CREATE+DATABASE+d", "");
        product
    }

    pub(crate) fn ask(
        &mut self,
        method: &str,
        path: &str,
        query: &str,
        body: &str,
    ) -> (u16, String) {
        let (status, body) = self.bytes(method, path, query, body);
        (status, String::from_utf8(body).unwrap())
    }

    pub(crate) fn bytes(
        &mut self,
        method: &str,
        path: &str,
        query: &str,
        body: &str,
    ) -> (u16, Vec<u8>) {
        let head = RequestHead {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers: vec![("authorization".to_owned(), format!("Token {TOKEN}"))],
        };
        let response = self.0.request(head, body.as_bytes().to_vec(), NOW_NS);
        (response.status, response.body)
    }

    pub(crate) fn write(&mut self, lines: &str) {
        let (status, body) = self.ask("POST", "/write", "db=d&precision=s", lines);
        assert_eq!(status, 204, "{body}");
    }

    pub(crate) fn sql(&mut self, text: &str) -> (u16, String) {
        let body = serde_json::json!({ "db": "d", "q": text, "format": "csv" }).to_string();
        self.ask("POST", "/api/v3/query_sql", "", &body)
    }

    pub(crate) fn rows(&mut self, text: &str) -> String {
        let (status, body) = self.sql(text);
        assert_eq!(status, 200, "{text}: {body}");
        body
    }
}

/// Creates rows of 50 series. Every second row has no `usage`, and some rows have only `note`.
fn lines() -> String {
    let line = |n: u32| {
        let fields = match n % 10 {
            7 => format!("note=\"n{n}\""),
            odd if odd % 2 == 1 => format!("n={n}i"),
            _ => format!("usage={},n={n}i", f64::from(n) / 4.0),
        };
        let region = match n % 3 {
            0 => String::new(),
            of => format!(",region=r{of}"),
        };
        format!("cpu,host=h{}{region} {fields} {n}", n % 50)
    };
    (0..700).map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn shard_count_does_not_change_results() {
    let mut all = [1, 7].map(|shards| {
        let mut product = Product::new(shards);
        product.write(&lines());
        product
    });
    for text in [
        "SELECT count(*) AS a, count(usage) AS b, sum(n) AS c, max(note) AS d FROM cpu",
        "SELECT * FROM cpu WHERE n IS NULL ORDER BY time LIMIT 20",
        "SELECT time, note FROM cpu WHERE host = 'h7' ORDER BY time",
        "SELECT time FROM cpu WHERE region IS NULL ORDER BY time DESC LIMIT 5",
        "SELECT host, n FROM cpu WHERE region NOT IN ('r1') AND n > 600 ORDER BY n",
        "SELECT region, count(*) AS c FROM cpu WHERE host IN ('h1', 'h2', 'h3') GROUP BY region \
         ORDER BY region",
        "SELECT count(*) AS c FROM cpu WHERE note = 'n17' OR usage >= 100.5",
        "SELECT date_bin(interval '1 minute', time) AS m, avg(usage) AS u FROM cpu GROUP BY m \
         ORDER BY m",
        "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE \
         table_schema = 'iox' ORDER BY 1, 2",
        "SHOW TABLES",
    ] {
        let [one, seven] = &mut all;
        let (one, seven) = (one.rows(text), seven.rows(text));
        assert_eq!(one, seven, "{text}");
        assert!(one.lines().count() > 1, "{text}: {one}");
    }
    let [_, seven] = &mut all;
    assert_eq!(seven.rows("SELECT count(*) AS a, count(n) AS b FROM cpu"), "a,b\n700,630\n");
}

#[test]
fn cpu_limit_applies_to_sql() {
    let set = [("DEFAULT_SHARDS", "1"), ("QUERY_CPU_MS_MAX", "100")];
    let mut product = Product::with(&set, sql_session());
    product.write(&lines());
    let (status, body) = product.sql(
        "SELECT count(*) FROM generate_series(1, 3000) a CROSS JOIN generate_series(1, 3000) b \
         WHERE a.value + b.value > 0",
    );
    assert_eq!(status, 507, "{body}");
    assert!(body.contains("limit 100 (QUERY_CPU_MS_MAX): narrow the time range"), "{body}");
    assert_eq!(product.rows("SELECT count(*) AS n FROM cpu"), "n\n700\n");
}

#[test]
fn next_statement_reads_new_points() {
    let mut product = Product::new(3);
    assert_eq!(product.sql("SELECT * FROM cpu").0, 400);
    product.write("cpu,host=a n=1i 1");
    assert_eq!(product.rows("SELECT host, n FROM cpu"), "host,n\na,1\n");
    product.write("cpu,host=a,rack=x m=2i 2");
    let both = "host,m,n,rack,time\na,,1,,1970-01-01T00:00:01\na,2,,x,1970-01-01T00:00:02\n";
    assert_eq!(product.rows("SELECT * FROM cpu ORDER BY time"), both);
}

/// The caller sends the schemas of the tables in the text, and requests pages immediately.
/// Therefore every turn receives new data.
#[test]
fn sql_statements_take_few_turns() {
    let turns = Arc::new(AtomicUsize::new(0));
    let (counted, mut sql) = (Arc::clone(&turns), sql_session());
    let sql = move |message: &[u8]| {
        counted.fetch_add(1, Ordering::Relaxed);
        sql(message)
    };
    let mut product = Product::with(&[("DEFAULT_SHARDS", "2")], Box::new(sql));
    product.write(&lines());
    product.rows("SELECT count(*) FROM cpu");
    for (text, expected) in [
        ("SELECT host, sum(n) FROM cpu GROUP BY host", 2),
        ("SELECT * FROM CPU WHERE host = 'h1'", 2),
        // A join reads one of its sides completely before the other side.
        ("SELECT x.n FROM cpu x JOIN cpu y ON x.n = y.n", 3),
    ] {
        turns.store(0, Ordering::Relaxed);
        product.rows(text);
        assert_eq!(turns.load(Ordering::Relaxed), expected, "{text}");
    }
}

#[test]
fn sql_errors_have_their_status() {
    let mut product = Product::new(1);
    product.write("cpu n=1i 1");
    for (text, status) in [
        ("SELECT nope FROM cpu", 400),
        ("SELECT 1/0", 400),
        ("", 400),
        ("SELECT count(*) FROM generate_series(1, 100000000)", 507),
    ] {
        let (found, body) = product.sql(text);
        assert_eq!(found, status, "{text}: {body}");
        assert!(body.starts_with("{\"error\":\""), "{body}");
    }
}

/// The number of series is checked before the first read. The number of points is checked during
/// the reads. Both errors contain the limit.
#[test]
fn sql_limits_series_and_points() {
    let ask = |name: &str, limit: &str, text: &str| {
        let mut product = Product::with(&[(name, limit), ("DEFAULT_SHARDS", "2")], sql_session());
        product.write("m,t=a v=1 1\nm,t=b v=2 1\nm,t=c v=3 1\nm,t=d v=4 2\nn,t=a v=1 1");
        product.sql(text)
    };
    let cure = "narrow the time range or the WHERE clause";
    let refused = |what: &str, name: &str| {
        let why = format!("max-select-{what} limit exceeded: (4/3) ({name}): {cure}");
        (400, format!("{{\"error\":\"{why}\"}}\n"))
    };
    let series = "SERIES_PER_QUERY_MAX";
    for text in ["SELECT * FROM m", "SELECT count(v) FROM m", "SELECT m.v FROM m, n"] {
        assert_eq!(ask(series, "3", text), refused("series", series), "{text}");
        assert_eq!(ask(series, "4", text).0, 200, "{text}");
    }
    assert_eq!(
        ask(series, "3", "SELECT v FROM m WHERE t != 'a' ORDER BY v").1,
        "v\n2.0\n3.0\n4.0\n"
    );
    let points = "POINTS_PER_QUERY_MAX";
    for text in ["SELECT * FROM m", "SELECT max(v) FROM m"] {
        assert_eq!(ask(points, "3", text), refused("point", points), "{text}");
        assert_eq!(ask(points, "4", text).0, 200, "{text}");
    }
    assert_eq!(ask(points, "3", "SELECT max(v) FROM m WHERE v < 4").0, 400);
    assert_eq!(ask(points, "3", "SELECT max(v) FROM m WHERE t != 'd'").1, "max(m.v)\n3.0\n");
}

/// The reads of a statement count against the quota, as in InfluxQL.
#[test]
fn exceeded_cell_quota_returns_429() {
    for (text, group) in [("*", ""), ("host, sum(n)", "GROUP BY host")] {
        let mut product = Product::new(1);
        product.write(&lines());
        let quota = "{\"db\":\"d\",\"cells_per_minute\":5000}";
        let (status, body) = product.ask("POST", "/api/v3/configure/quota", "", quota);
        assert_eq!(status, 200, "{body}");
        // Each statement reads a different range, because a repeated read would not decode the data
        // again.
        let ask = |at: u32| format!("SELECT {text} FROM cpu WHERE n < {} {group}", 1_000 + at);
        let mut answers = (0..50).map(|at| product.sql(&ask(at)));
        let (status, body) = answers.find(|(status, _)| *status != 200).expect("a refusal");
        assert_eq!(status, 429, "{body}");
        assert!(body.contains("cells_per_minute"), "{body}");
    }
}
