//! Compares aggregates that shards compute with aggregates that DataFusion computes.

use super::product::Product;

/// A random number generator (xorshift) with a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len() as u64) as usize]
    }

    fn some<'a>(&mut self, of: &[&'a str], most: u64) -> Vec<&'a str> {
        (0..self.below(most + 1)).map(|_| self.one(of)).collect()
    }
}

/// Creates rows with different times. Some series do not have all tags, and some rows do not have
/// all fields.
fn lines(random: &mut Random, rows: u64) -> String {
    let mut lines = String::new();
    for row in 0..rows {
        let mut line = "t".to_owned();
        for tag in ["dc", "host", "rack"] {
            let value = random.below(5);
            line += &if value > 0 { format!(",{tag}={tag}{value}") } else { String::new() };
        }
        let mut fields = Vec::new();
        for field in ["f", "n", "u", "s", "b", "w", "rare"] {
            let value = random.below(100);
            fields.push(match field {
                _ if random.below(4) == 0 => continue,
                "f" => format!("f={}", value as f64 / 4.0 - 10.25),
                "n" => format!("n={}i", value as i64 - 50),
                "u" => format!("u={value}u"),
                "s" => format!("s=\"x{value}\""),
                "b" => format!("b={}", value.is_multiple_of(2)),
                // The sum of these values overflows 64 bits.
                "w" => format!("w={}i", i64::MAX - value as i64),
                _ if value < 97 => continue,
                rare => format!("{rare}={value}"),
            });
        }
        fields.push(format!("always={row}i"));
        lines += &format!("{line} {} {}\n", fields.join(","), 1_000 + row * 7);
    }
    lines
}

/// The second table exchanges columns of equal types, and casts one of them.
const TABLES: &[&str] = &[
    "t",
    "(SELECT time, dc AS host, host AS dc, rack, u AS n, n AS u, s, b, w, CAST(n AS DOUBLE) AS f, \
     f AS rare FROM t)",
];

const GROUPS: &[&str] = &[
    "host",
    "dc",
    "rack",
    "date_bin(interval '1 minute', time)",
    "date_bin(interval '10 minutes', time, '2020-01-01T00:00:07Z')",
    "date_bin(interval '1 month', time)",
    "upper(host)",
];

const CALLS: &[&str] = &[
    "count(*)",
    "count(1)",
    "count(time)",
    "count(f)",
    "count(s)",
    "count(host)",
    "sum(f)",
    "sum(n)",
    "sum(u)",
    "sum(w)",
    "avg(f)",
    "avg(n)",
    "avg(u)",
    "min(f)",
    "max(n)",
    "min(u)",
    "max(b)",
    "min(s)",
    "max(rare)",
    "avg(rare)",
    "max(time)",
    "min(time)",
    "count(DISTINCT n)",
    "sum(n) FILTER (WHERE n > 0)",
    "avg(f) + sum(n) * 2",
    "round(stddev(f), 6)",
    "first_value(f ORDER BY time)",
    "last_value(n ORDER BY time)",
    "last_value(host ORDER BY time DESC)",
    "first_value(time ORDER BY time)",
    "first_value(rare ORDER BY time)",
    "last_value(n ORDER BY time DESC) IGNORE NULLS",
    "first_value(s ORDER BY time) IGNORE NULLS",
    "selector_first(f, time)['value']",
    "selector_last(s, time)['time']",
    "selector_last(rare, time, host, n)['other_1']",
    "selector_max(n, time, host, f)['other_2']",
    "selector_min(f, time)['time']",
    "selector_min(b, time)['time']",
];

const FILTERS: &[&str] = &[
    "time >= '1970-01-01T00:20:00Z' AND time < '1970-01-01T00:40:00Z'",
    "host = 'host1'",
    "host IS NULL OR dc IN ('dc1', 'dc2')",
    "f > 1.5",
    "n + 1 > 0",
    "time > '2001-01-01T00:00:00Z'",
];

fn statement(random: &mut Random) -> String {
    let groups = random.some(GROUPS, 3);
    let mut calls = random.some(CALLS, 5);
    if groups.is_empty() && calls.is_empty() {
        calls.push("count(*)");
    }
    let names = |list: &[&str]| -> Vec<String> {
        list.iter().enumerate().map(|(at, one)| format!("{one} AS c{at}")).collect()
    };
    let shown = names(&[groups.as_slice(), calls.as_slice()].concat()).join(", ");
    let mut text = format!("SELECT {shown} FROM {}", random.one(TABLES));
    if random.below(2) == 0 {
        text += &format!(" WHERE {}", random.one(FILTERS));
    }
    if !groups.is_empty() {
        text += &format!(" GROUP BY {}", groups.join(", "));
        text += ["", " HAVING count(*) > 2"][random.below(2) as usize];
    }
    text
}

/// Creates a statement for the first or last rows of each group.
fn first_rows(random: &mut Random) -> String {
    let tags = ["host", "dc, host", "rack", "host, dc, rack"];
    let by = random.one(&tags);
    let filter = match random.below(2) {
        0 => String::new(),
        _ => format!("WHERE {}", random.one(FILTERS)),
    };
    let order = random.one(&["", "DESC"]);
    match random.below(3) {
        0 => format!("SELECT DISTINCT ON ({by}) * FROM t {filter} ORDER BY {by}, time {order}"),
        1 => {
            let calls = ["max(time) AS a", "last_value(rare ORDER BY time) AS b"].join(", ");
            format!(
                "SELECT {by}, {calls}, last_value(n + 1 ORDER BY time) AS c FROM t {filter} GROUP BY {by}"
            )
        }
        _ => {
            let keeps = random.one(&["= 1", "<= 3", "< 3"]);
            let number = format!("row_number() OVER (PARTITION BY {by} ORDER BY time {order})");
            format!("SELECT * FROM (SELECT *, {number} AS r FROM t {filter}) WHERE r {keeps}")
        }
    }
}

#[test]
fn shards_return_first_rows_of_groups() {
    let handed_down = agree([(4, 1), (5, 2), (6, 7)], 40, first_rows, "est first of each [");
    assert!(handed_down > 60, "only {handed_down}");
}

/// Runs random statements with and without the shards' aggregates, for each seed and number of
/// shards. Both results must be equal. Returns the number of plans that contain `mark`.
fn agree(
    seeds_and_shards: [(u64, u32); 3],
    statements: usize,
    statement: fn(&mut Random) -> String,
    mark: &str,
) -> usize {
    let mut marked = 0;
    for (seed, shards) in seeds_and_shards {
        let mut random = Random(seed << 33 | 0x9e37_79b9);
        let lines = lines(&mut random, 500);
        let mut with = Product::new(shards);
        let mut without = Product::without_aggregates();
        for product in [&mut with, &mut without] {
            product.write(&lines);
        }
        for _ in 0..statements {
            let text = statement(&mut random);
            let (found, expected) = (with.rows(&text), without.rows(&text));
            assert_eq!(sorted(&found), sorted(&expected), "{shards} shards: {text}");
            let plan = with.rows(&format!("EXPLAIN {text}"));
            marked += usize::from(plan.contains(mark));
        }
    }
    marked
}

fn sorted(answer: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = answer.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn shard_aggregates_equal_sql_aggregates() {
    let handed_down = agree([(1, 1), (2, 2), (3, 7)], 50, statement, "aggregates=[");
    assert!(handed_down > 30, "only {handed_down}");
}

/// Checks which aggregates the shards compute.
#[test]
fn explain_shows_shard_aggregates() {
    let mut product = Product::new(2);
    product.write(&lines(&mut Random(7), 20));
    for (text, asked) in [
        ("SELECT count(*) FROM t", "aggregates=[rows()], by=[]"),
        (
            "SELECT host, avg(n), count(n), max(f) FROM t GROUP BY host",
            "aggregates=[count(n), sum(n), max(f)], by=[\\\"host\\\"]",
        ),
        (
            "SELECT date_bin(interval '1 hour', time, '2020-01-01T00:00:01Z') AS h, sum(u) FROM t \
             WHERE dc = 'dc1' GROUP BY h",
            "aggregates=[sum(u)], by=[], windows=3600000000000 ns + 1000000000 ns, where dc in",
        ),
        ("SELECT DISTINCT host FROM t", "aggregates=[], by=[\\\"host\\\"]"),
        (
            "SELECT date_bin_gapfill(interval '1 minute', time) AS m, avg(f) FROM t WHERE time >= \
             '1970-01-01T00:20:00Z' AND time < '1970-01-01T00:40:00Z' GROUP BY m",
            "aggregates=[count(f), sum(f)], by=[], windows=60000000000 ns + 0 ns",
        ),
        ("SELECT selector_last(f, time, host)['time'] FROM t", "aggregates=[last(f, host)], by=[]"),
        ("SELECT last_value(f ORDER BY time) IGNORE NULLS FROM t", "aggregates=[last(f)], by=[]"),
        ("SELECT last_value(f ORDER BY time) FROM t", "rows=1, newest first"),
        ("SELECT dc, min(time) FROM t GROUP BY dc", "rows=1, oldest first of each [\\\"dc\\\"]"),
        ("SELECT DISTINCT ON (dc) f FROM t ORDER BY dc, time", "oldest first of each [\\\"dc\\\"]"),
        (
            "SELECT min(time), max(time), last_value(f ORDER BY time), last_value(dc ORDER BY time) FROM t",
            "aggregates=[firstrow(), lastrow(f, dc)]",
        ),
        (
            "SELECT max(a), avg(x) FROM (SELECT u AS a, CAST(n AS DOUBLE) AS x FROM t)",
            "aggregates=[max(u), count(n), sum(n)], by=[]",
        ),
        (
            "SELECT m, avg(x) FROM (SELECT date_bin(interval '1 minute', time) AS m, f AS x FROM t) \
             GROUP BY m",
            "aggregates=[count(f), sum(f)], by=[], windows=60000000000 ns + 0 ns",
        ),
    ] {
        let plan = product.rows(&format!("EXPLAIN {text}")).replace("\"\"", "\\\"");
        assert!(plan.contains(asked), "{text}: {plan}");
    }
    for text in [
        "SELECT min(s) FROM t",
        "SELECT count(DISTINCT n) FROM t",
        "SELECT sum(f) FILTER (WHERE n > 0) FROM t",
        "SELECT sum(f) FROM t WHERE n + 1 > 0",
        "SELECT date_bin(interval '1 month', time) AS m, sum(f) FROM t GROUP BY m",
        "SELECT host, dc, sum(f) FROM t GROUP BY GROUPING SETS ((host), (dc))",
        "SELECT sum(f + 1.0) FROM t",
    ] {
        let plan = product.rows(&format!("EXPLAIN {text}"));
        assert!(!plan.contains("aggregates=["), "{text}: {plan}");
    }
    let plan = product.rows("EXPLAIN ANALYZE SELECT host, sum(f) FROM t GROUP BY host");
    assert!(plan.contains("rows_read=20"), "{plan}");
}

/// The numbers of groups and windows exceed a page.
#[test]
fn many_groups_span_many_pages() {
    let mut product = Product::new(2);
    let mut plain = Product::without_aggregates();
    let lines: Vec<String> = (0..3_000)
        .map(|n| format!("m,a={},b={} n={n}i {}", n % 1_000, n % 7, 1_000 + n * 100))
        .collect();
    for product in [&mut product, &mut plain] {
        product.write(&lines.join("\n"));
    }
    for text in [
        "SELECT b, date_bin(interval '1 second', time) AS t, count(*), sum(n) FROM m GROUP BY b, t",
        "SELECT date_bin(interval '1 second', time) AS t, a, max(n) FROM m GROUP BY t, a",
        "SELECT sum(c) FROM (SELECT a, count(*) AS c FROM m GROUP BY a)",
        "SELECT x.b, x.c, y.c FROM (SELECT b, count(*) AS c FROM m GROUP BY b) x JOIN \
         (SELECT b, max(n) AS c FROM m GROUP BY b) y ON x.b = y.b",
    ] {
        let (found, expected) = (product.rows(text), plain.rows(text));
        assert_eq!(sorted(&found), sorted(&expected), "{text}");
    }
}
