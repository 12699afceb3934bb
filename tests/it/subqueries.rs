//! Tests that a subquery has the same result whether its rows are streamed, aggregated immediately
//! or kept in memory. Runs random pairs of statements with batches of every size, and a large
//! statement in bounded memory.

use fastrand::Rng;
use tidemark_model::time::Precision;
use tidemark_query::source::Defaults;
use tidemark_response::{Format, Options};

use crate::allocator::{live, peak_since};
use crate::memory_server::Memory;
use crate::product::Product;
use crate::world::is_long;

const INNER: [&str; 15] = [
    "SELECT v, w FROM m",
    "SELECT v, w FROM m GROUP BY host",
    "SELECT v, w, host FROM /./ GROUP BY host, dc",
    "SELECT w, v * 2 AS v FROM m, n WHERE w > 20 GROUP BY *",
    "SELECT mean(v) AS v, count(w) AS w FROM m GROUP BY time(20s), host fill(0)",
    "SELECT max(v) AS v, w FROM m GROUP BY host, dc",
    "SELECT sum(v) AS v, last(w) AS w FROM /./ GROUP BY time(50s)",
    "SELECT derivative(v, 1s) AS v FROM m GROUP BY host",
    "SELECT top(v, 3) AS v, w FROM m GROUP BY dc",
    "SELECT bottom(v, host, 2) AS v FROM m GROUP BY time(40s)",
    "SELECT distinct(v) AS v FROM m GROUP BY host",
    "SELECT v, w FROM m GROUP BY host LIMIT 4 OFFSET 1",
    "SELECT v FROM n GROUP BY host SLIMIT 2 SOFFSET 1",
    "SELECT v, w FROM (SELECT v, w FROM m GROUP BY host, dc) WHERE v > 3 GROUP BY host",
    "SELECT max(v) AS v, min(w) AS w FROM (SELECT v, w FROM m GROUP BY host) GROUP BY time(30s)",
];

const OUTER: [&str; 14] = [
    "v",
    "v, w",
    "*",
    "v + w AS x, host",
    "count(v), sum(w)",
    "mean(v), max(w)",
    "max(v), w",
    "first(v), last(v)",
    "percentile(v, 40)",
    "median(w), mode(v)",
    "derivative(v), difference(w)",
    "cumulative_sum(sum(v))",
    "top(v, 2), host",
    "spread(v)",
];

const GROUP: [&str; 7] =
    ["", "", " GROUP BY host", " GROUP BY dc", " GROUP BY host, dc", " GROUP BY *", ""];
const WHERE: [&str; 5] =
    ["", "", " WHERE v > 40", " WHERE host = 'h1' OR w < 30", " WHERE time >= 60s AND time < 400s"];
const REST: [&str; 7] = [
    "",
    "",
    " ORDER BY time DESC",
    " LIMIT 3",
    " LIMIT 2 OFFSET 2",
    " SLIMIT 1",
    " SLIMIT 2 SOFFSET 1",
];

fn points(rng: &mut Rng) -> String {
    let mut lines = String::new();
    for _ in 0..rng.usize(1..250) {
        let (name, host, dc) = (rng.choice(["m", "m", "n"]).unwrap(), rng.u8(0..5), rng.u8(0..3));
        let tags = match rng.u8(0..6) {
            0 => format!("host=h{host}"),
            1 => format!("dc=d{dc}"),
            _ => format!("host=h{host},dc=d{dc}"),
        };
        let fields = match rng.u8(0..5) {
            0 => format!("v={}i", rng.u8(0..100)),
            1 => format!("w={}i", rng.u8(0..100)),
            _ => format!("v={}i,w={}i", rng.u8(0..100), rng.u8(0..100)),
        };
        lines += &format!("{name},{tags} {fields} {}\n", rng.i32(0..500));
    }
    lines
}

fn query(rng: &mut Rng) -> String {
    let mut pick = |from: &'static [&'static str]| rng.choice(from).copied().unwrap();
    let (what, inner, condition) = (pick(&OUTER), pick(&INNER), pick(&WHERE));
    let (mut group, rest) = (pick(&GROUP).to_owned(), pick(&REST));
    if what.contains('(') && condition.contains("time") && rng.bool() {
        group += if group.is_empty() { " GROUP BY time(70s)" } else { ", time(70s)" };
    }
    format!("SELECT {what} FROM ({inner}){condition}{group}{rest}")
}

/// Rounds the fractions in a text, because the sum of floats depends on their order.
fn rounded(text: &str) -> String {
    let mut out = String::new();
    for token in text.split_inclusive([',', ']', '[']) {
        let number = token.trim_end_matches([',', ']', '[']);
        match number.parse::<f64>() {
            Ok(value) if number.contains('.') => {
                out += &format!("{value:.7}{}", &token[number.len()..]);
            }
            _ => out += token,
        }
    }
    out
}

#[test]
fn batch_size_does_not_change_subqueries() {
    let form = || Options {
        format: Format::negotiate(None),
        epoch: Some(Precision::Second),
        pretty: false,
        chunk_rows: None,
    };
    let defaults = Defaults { database: Some("d"), policy: None };
    let (mut answered, mut asked) = (0, 0);
    for seed in 0..50 {
        let mut rng = Rng::with_seed(seed);
        let lines = points(&mut rng);
        let queries: Vec<String> = (0..20).map(|_| query(&mut rng)).collect();
        // These are the maximum sizes of a page and of a batch, in bytes.
        let answers = [10_000_000, 1, 700].map(|bytes| {
            let mut server = Memory::new(1, bytes);
            server.query("CREATE DATABASE d", defaults, form());
            let policy = server.databases.get_mut("d").unwrap().get_mut("autogen").unwrap();
            policy.write(&lines, Precision::Second);
            let answer = |q: &String| server.query(q, defaults, form());
            queries.iter().map(answer).collect::<Vec<String>>()
        });
        let [whole, batches @ ..] = &answers;
        for batches in batches {
            for ((q, whole), batch) in queries.iter().zip(whole).zip(batches) {
                assert_eq!(rounded(whole), rounded(batch), "seed {seed}: {q}");
            }
        }
        asked += queries.len();
        answered += whole.iter().filter(|answer| answer.contains("values")).count();
    }
    assert!(answered * 2 > asked, "{answered} of {asked} queries have rows");
}

/// The maximum memory, in bytes: for a batch, pages, and the shard's block cache. The rows need
/// twice as much.
const BYTES_MAX: isize = 24_000_000;

#[test]
fn large_subquery_needs_bounded_memory() {
    // The rows are 2 times as large as the memory limit, or 24 times with `LONG_TESTS=1`.
    let (writes, rows) = (if is_long() { 240 } else { 24 }, 4_000);
    let mut product = Product::with(&[]);
    product.query("d", "CREATE DATABASE d WITH DURATION INF");
    let mut rng = Rng::with_seed(1);
    let text: String = (0..1_000_000).map(|_| rng.char('a'..='z')).collect();
    for write in 0..writes {
        let line = |row: usize| {
            let (number, from) = (write * rows + row, rng.usize(0..999_500));
            format!("m,host=h{} s=\"{}\" {number}", number % 10, &text[from..from + 500])
        };
        product.write("d", &(0..rows).map(line).collect::<Vec<String>>().join("\n"));
    }
    product.rest();
    let total = writes * rows;
    // After any query, the block cache is full.
    product.query("d", "SELECT count(s) FROM m");
    let one_of = |total: usize| format!("[[0,{total}]]");
    let last = format!("SELECT s FROM (SELECT s FROM m) LIMIT 1 OFFSET {}", total - 1);
    for (q, expected) in [
        ("SELECT count(s) FROM (SELECT s FROM m)", one_of(total)),
        ("SELECT count(s) FROM (SELECT s FROM m GROUP BY host)", one_of(total)),
        ("SELECT count(s) FROM (SELECT s FROM m GROUP BY host) GROUP BY host", one_of(total / 10)),
        ("SELECT count(s) FROM (SELECT s FROM (SELECT s FROM m GROUP BY host))", String::new()),
        (&last, String::new()),
        ("SELECT s FROM (SELECT s FROM m GROUP BY host) LIMIT 1", String::new()),
    ] {
        let before = live();
        let answer = product.query("d", q);
        let peak = peak_since() - before;
        let (error, values) = (&answer["results"][0]["error"], &answer["results"][0]["series"]);
        println!("{q}: {peak} bytes at the peak");
        if q.contains("host))") || q.contains("host) LIMIT") {
            // To order the rows of ten series by time, all rows must be sorted.
            let text = "the rows of a subquery need more than 10000000 bytes: narrow its time \
                        range, aggregate in the subquery, or group the outer statement by all tags \
                        of the subquery's GROUP BY";
            assert_eq!(error.as_str(), Some(text), "{q}");
            continue;
        }
        assert!(error.is_null(), "{q}: {error}");
        let values = values[0]["values"].to_string();
        assert!(expected.is_empty() && values.len() > 8 || values == expected, "{q}: {values:.99}");
        assert!(peak < BYTES_MAX, "{q}: {peak} bytes");
    }
}
