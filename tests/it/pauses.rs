//! Tests that statements pause, so that other requests can run, and that the limits of statements
//! are enforced.
//!
//! The long form of the fuzzer is `PAUSE_STATEMENTS=20000 PAUSE_SEED=1 cargo test --release --test
//! it longest_pause`. With `PAUSE_TEXT`, it repeats one statement, for a profile.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use cpu_time::ThreadTime;
use serde_json::Value;
use tidemark_engine::protocol::call::Address;

use crate::grammar::{Rule, generate};
use crate::product::{AUTHORIZATION, Product, error_of, form, gzip};

const STATEMENTS: usize = 40;
const TEXT_BYTES_MAX: usize = 8_000;
/// Far more CPU time than any statement needs between two pauses. Without the limits, a statement
/// would need hours.
const PATIENCE: Duration = Duration::from_secs(10);

const INFLUXQL: &[Rule] = &[
    ("statement", &["SELECT <fields> FROM <sources><where><group><order><limit>", "<show>"]),
    (
        "show",
        &[
            "SHOW MEASUREMENTS<where>",
            "SHOW SERIES FROM <measurement*,><where>",
            "SHOW TAG VALUES FROM <measurement*,> WITH KEY = t<where>",
            "SHOW FIELD KEYS FROM <measurement*,>",
            "SHOW TAG KEYS FROM <measurement*,>",
            "SHOW SERIES CARDINALITY",
        ],
    ),
    ("fields", &["<field>", "<field*,>", "<call>", "<call*,>", "*", "<star*,>"]),
    ("star", &["*", "*::field", "*::tag", "/./", "/f1/", "/none/"]),
    ("field", &["v", "i", "s", "b", "t", "f7", "none", "<expression>", "v::integer", "<star>"]),
    ("expression", &["v + 1", "<operand> <operator> <operand>", "abs(<operand>)", "v<term*>"]),
    ("term", &[" + 1", " * i", " - v"]),
    ("operand", &["v", "i", "2", "(<operand> <operator> <operand>)", "pow(<operand>, 2)"]),
    ("operator", &["+", "-", "*", "/", "%"]),
    ("call", &["max(<argument>)", "<one>(<argument>)", "<two>(<argument>, <number>)", "<nested>"]),
    ("argument", &["v", "i", "s", "f7", "*", "/f1/", "t"]),
    (
        "one",
        &[
            "max",
            "count",
            "mean",
            "sum",
            "first",
            "last",
            "spread",
            "stddev",
            "median",
            "mode",
            "distinct",
            "derivative",
            "difference",
            "cumulative_sum",
            "elapsed",
            "integral",
        ],
    ),
    (
        "two",
        &[
            "percentile",
            "top",
            "bottom",
            "sample",
            "moving_average",
            "exponential_moving_average",
            "relative_strength_index",
            "kaufmans_efficiency_ratio",
            "chande_momentum_oscillator",
        ],
    ),
    (
        "nested",
        &[
            "holt_winters(mean(<argument>), 10, <number>)",
            "holt_winters_with_fit(max(v), 100, 4)",
            "difference(mean(<argument>))",
            "moving_average(max(<argument>), <number>)",
            "count(distinct(<argument>))",
        ],
    ),
    ("number", &["2", "10", "60", "1000"]),
    ("sources", &["m", "<measurement>", "<measurement*,>", "(<inner>)", "<subquery*,>"]),
    ("measurement", &["m", "wide", "/^n/", "/./", "n7", "none"]),
    ("subquery", &["(<inner>)"]),
    ("inner", &["SELECT * FROM m", "SELECT <fields> FROM <sources><where><group>"]),
    ("where", &["", " WHERE time >= 0 AND time < 5000s", " WHERE <condition>"]),
    (
        "condition",
        &["v > 1", "t = 'a'", "<condition> AND <condition>", "<comparison*OR >", "(<condition>)"],
    ),
    ("comparison", &["v > 1 ", "s =~ /x+y*/ ", "t != 'b' ", "v + i * 2 > 7 ", "none = 'a' "]),
    (
        "group",
        &["", " GROUP BY time(1s)<fill>", " GROUP BY time(10s), *<fill>", " GROUP BY <key*,>"],
    ),
    ("key", &["t", "*", "u", "/./", "none"]),
    ("fill", &["", " fill(none)", " fill(0)", " fill(previous)", " fill(linear)"]),
    ("order", &["", " ORDER BY time DESC"]),
    ("limit", &["", " LIMIT 10", " SLIMIT 3", " LIMIT 2 OFFSET 100"]),
];

fn product(settings: &[(&str, &str)]) -> Product {
    let mut product = Product::with(settings);
    product.query("", "CREATE DATABASE db WITH DURATION INF");
    let row = |i: u32| {
        let (tag, value) = (i % 7, f64::from(i % 97) + 0.5);
        format!("m,t={tag},u=h{} v={value},i={i}i,s=\"x{i}\",b=true {i}\n", i % 100)
    };
    product.write("db", &(0..5_000).map(row).collect::<String>());
    let fields: Vec<String> = (0..1_000).map(|field| format!("f{field}={field}")).collect();
    let wide = |i: u32| format!("wide,t=a {} {i}\n", fields.join(","));
    product.write("db", &(0..3).map(wide).collect::<String>());
    product.write("db", &(0..200).map(|n| format!("n{n},t=a v=1 {n}\n")).collect::<String>());
    product
}

#[test]
fn source_limit_applies_before_expansion() {
    let mut product = product(&[("SOURCES_PER_QUERY_MAX", "300")]);
    let mut ask = |from: &str| product.query("db", &format!("SELECT count(v) FROM {from}"));
    let answer = ask(&vec!["m"; 100].join(","));
    assert_eq!(answer["results"][0]["series"][0]["values"][0][1], 500_000);
    let repeated = "FROM names measurement \"m\" more than 100 times: name the measurement once";
    let many = "too many sources: current 202, requested 404, limit 300 (SOURCES_PER_QUERY_MAX): \
                name fewer measurements in FROM";
    for (part, count, error) in [
        ("m", 101, repeated),
        ("/^m$/", 2_000, repeated),
        ("/./", 2_000, many),
        ("/none/", 2_000, ""),
        ("(SELECT v FROM m)", 301, "too many sources: current 300, requested 301, limit 300"),
        ("(SELECT v FROM m)", 101, repeated),
    ] {
        let error_found = error_of(&ask(&vec![part; count].join(",")));
        assert!(error_found.starts_with(error), "{count} of {part}: {error_found}");
        assert_eq!(error_found.is_empty(), error.is_empty(), "{count} of {part}");
    }
}

#[test]
fn column_limit_counts_expanded_wildcards() {
    let mut product = product(&[("COLUMNS_PER_QUERY_MAX", "2500")]);
    let mut ask = |fields: &str, count: usize| {
        let fields = vec![fields; count].join(",");
        error_of(&product.query("db", &format!("SELECT {fields} FROM wide LIMIT 1")))
    };
    for field in ["*", "max(*)", "/f/"] {
        assert_eq!(ask(field, 2), "", "{field}");
    }
    let advice = "name the needed fields instead of * or a regular expression";
    for (field, count) in [("*", 100), ("max(*)", 100), ("/f/", 100), ("*::field", 5_000)] {
        let error = ask(field, count);
        assert!(error.starts_with("too many columns: current 200"), "{field}: {error}");
        assert!(
            error.ends_with(&format!("limit 2500 (COLUMNS_PER_QUERY_MAX): {advice}")),
            "{error}"
        );
    }
    let inner = ["(SELECT * FROM wide)"; 5].join(",");
    let error = error_of(&product.query("db", &format!("SELECT f1 FROM {inner}")));
    assert!(error.starts_with("too many columns"), "{error}");
}

#[test]
fn query_columns_and_conditions_are_limited() {
    let mut product = product(&[]);
    let condition = vec!["v > 1"; 6_000].join(" OR ");
    let error = error_of(&product.query("db", &format!("SELECT v FROM /./ WHERE {condition}")));
    let expected = "has more than 300000 columns, dimensions, conditions and calls";
    assert!(error.contains(expected), "{error}");
    // Each source has about 600 clock changes.
    let mut windows = |zone: &str| {
        let (from, time) = (["/./"; 15].join(","), "time < '2262-01-01' GROUP BY time(9w)");
        error_of(&product.query("db", &format!("SELECT max(v) FROM {from} WHERE {time} {zone}")))
    };
    assert_eq!(windows("fill(none)"), "");
    let error = windows("fill(none) tz('Europe/Oslo')");
    assert!(error.contains(expected), "{error}");
}

#[test]
fn delete_comparisons_are_limited() {
    let mut product = product(&[]);
    let condition = vec!["(t = 'x' AND t != u)"; 51].join(" OR ");
    for statement in ["DELETE FROM m WHERE", "DROP SERIES FROM /./ WHERE"] {
        let error = error_of(&product.query("db", &format!("{statement} {condition}")));
        let expected = "the condition has more than 100 comparisons";
        assert!(error.starts_with(expected), "{error}");
    }
    assert_eq!(product.values("db", "SELECT count(v) FROM m")[0][1], 5_000);
}

#[test]
fn bound_values_count_as_text() {
    let mut product = product(&[]);
    let condition = vec!["s = $a"; 300].join(" OR ");
    let params = format!("{{\"a\":\"{}\"}}", "x".repeat(1_000));
    let q = format!("SELECT v FROM m WHERE {condition}");
    let response = product.post("/query?db=db", &form(&[("q", &q), ("params", &params)]));
    let text = String::from_utf8(response.body).unwrap();
    assert_eq!(response.status, 400, "{text}");
    assert!(text.contains("(QUERY_TEXT_BYTES_MAX)"), "{text}");
}

#[test]
fn regexes_are_limited_by_their_work() {
    let mut product = product(&[]);
    let conditions: Vec<String> = (0..100).map(|n| format!("t =~ /\\pL{{20}}{n}/")).collect();
    let text = format!("SELECT v FROM nowhere WHERE {}", conditions.join(" OR "));
    let answer = |product: &mut Product, text: &str| {
        let response = product.post("/query?db=db", &form(&[("q", text)]));
        String::from_utf8(response.body).unwrap()
    };
    let error = answer(&mut product, &text);
    assert!(error.contains("the compiled regular expressions of the query exceed"), "{error}");

    // A repeated regex is compiled once.
    let keys = vec![r"/\pL{20}/"; 5_000].join(",");
    let started = ThreadTime::now();
    let counted = answer(&mut product, &format!("SHOW SERIES CARDINALITY FROM m GROUP BY {keys}"));
    assert!(!counted.contains("error"), "{counted}");
    assert!(started.elapsed() < PATIENCE, "{:?}", started.elapsed());

    let mut rng = fastrand::Rng::with_seed(7);
    let texts: Vec<String> =
        (0..20).map(|_| (0..20_000).map(|_| rng.choice(['a', 'b']).unwrap()).collect()).collect();
    let lines: Vec<String> = (texts.iter().enumerate())
        .map(|(n, text)| format!("long,label={} text=\"{text}\" {n}\n", &text[..10_000]))
        .collect();
    product.write("db", &lines.concat());
    for statement in [
        "SELECT text FROM long WHERE text =~ /a[ab]{300}c/",
        "SELECT count(text) FROM long WHERE label =~ /a[ab]{300}c/",
        "SHOW SERIES FROM long WHERE label =~ /a[ab]{300}c/",
        "SHOW TAG VALUES FROM long WITH KEY = label WHERE label =~ /a[ab]{300}c/",
        "SHOW MEASUREMENTS WHERE label =~ /a[ab]{300}c/",
    ] {
        let error = answer(&mut product, statement);
        assert!(error.contains("a regular expression needs more than"), "{statement}: {error}");
    }
    let found = product.query("db", "SELECT count(text) FROM long WHERE text =~ /a[ab]*a$/");
    assert_eq!(found["results"][0]["error"], Value::Null);

    // Merges cannot stop at a slow match, so a delete rejects the regex.
    for statement in [
        "DELETE FROM long WHERE label =~ /a[ab]{300}c/",
        "DROP SERIES WHERE label !~ /a[ab]{300}c/",
    ] {
        let error = answer(&mut product, statement);
        assert!(error.contains("this expression may need many steps"), "{statement}: {error}");
    }
    let count = "SELECT count(text) FROM long";
    assert_eq!(product.values("db", count)[0][1], 20);
    assert!(!answer(&mut product, "DELETE FROM long WHERE label =~ /a[ab]*a$/").contains("error"));
}

#[test]
fn long_computations_yield_the_thread() {
    let mut product = product(&[]);
    let pauses = product.count_pauses();
    let terms = " + i".repeat(200);
    let derivatives: Vec<String> =
        (2..400).map(|window| format!("moving_average(v, {window})")).collect();
    let percentiles: Vec<String> = (0..60).map(|rank| format!("percentile(v, {rank})")).collect();
    for (q, at_least) in [
        ("SELECT v FROM m LIMIT 10".to_owned(), 0),
        // The statement has 16 fits of some hundred steps over 1,000 values each.
        (
            "SELECT holt_winters(mean(v), 10, 60) FROM m WHERE time < 1000s GROUP BY time(1s)"
                .to_owned(),
            50,
        ),
        // The plan has 200 copies of a condition with 400 nodes.
        (format!("SELECT v FROM /^n/ WHERE {}", vec!["v > 1"; 100].join(" OR ")), 1),
        // The statement has 5,000 rows of 400 operands and operators.
        (format!("SELECT v{terms} FROM m"), 5),
        // The statement has 200 series of one row with 2,000 columns.
        (format!("SELECT {} FROM m WHERE time < 200s GROUP BY *", vec!["v"; 2_000].join(",")), 8),
        // The statement has 398 calls that read 5,000 rows.
        (format!("SELECT {} FROM m", derivatives.join(",")), 5),
        // The statement has 200 windows of a thousand calls.
        ("SELECT max(*) FROM wide WHERE time >= 0 AND time < 200s GROUP BY time(1s)".into(), 2),
        // The statement fills 300,000 windows.
        (
            "SELECT count(v) FROM m WHERE time >= 0 AND time < 300000s GROUP BY time(1s) fill(0) \
             LIMIT 1"
                .into(),
            3,
        ),
        // The statement sorts 5,000 values 60 times.
        (format!("SELECT {} FROM m", percentiles.join(",")), 4),
        // The statement evaluates 60 calls in each of five windows.
        (
            format!(
                "SELECT {} FROM m WHERE time >= 0 AND time < 5000s GROUP BY time(1000s)",
                percentiles.join(",")
            ),
            4,
        ),
        // The statement merges the states of 5,000 calls.
        ("SELECT mean(*), count(*), sum(*), min(*), max(*) FROM wide".into(), 1),
        // The statement merges the rows of 50 sources, and compares each row with 50 rows.
        (format!("SELECT v FROM {}", vec!["m"; 50].join(",")), 60),
        // The statement compiles 600 terms for each of 200 measurements.
        (format!("DELETE FROM /^n/ WHERE {}", vec!["h = 'x'"; 600].join(" OR ")), 10),
    ] {
        pauses.set(0);
        let answer = product.query("db", &q);
        assert_eq!(error_of(&answer), "", "{q:.80}");
        let counted = pauses.get() / 2;
        assert!(counted >= at_least, "{counted} pauses: {q:.80}");
        assert!(at_least > 0 || counted == 0, "{counted} pauses: {q:.80}");
    }
}

#[test]
fn long_frame_yields_the_thread() {
    let mut product = product(&[]);
    let pauses = product.count_pauses();
    // The body is short enough to be read without a pause.
    product.write("db", &"k v=1 1\n".repeat(230_000));
    assert!(pauses.get() / 2 >= 2, "{} pauses", pauses.get() / 2);
    // The frame has few rows, but many values.
    let fields: Vec<String> = (0..100).map(|field| format!("f{field}=1")).collect();
    product.write("db", &format!("few {}", fields.join(",")));
    pauses.set(0);
    let lines = (0..2_000).map(|time| format!("few {} {time}\n", fields.join(",")));
    product.write("db", &lines.collect::<String>());
    assert!(pauses.get() > 0);
}

#[test]
fn rejected_lines_yield_the_thread() {
    let mut product = Product::with(&[]);
    product.query("", "CREATE DATABASE db WITH DURATION 1d");
    let fields: Vec<String> = (0..1_000).map(|field| format!("f{field}=1")).collect();
    product.write("db", &format!("wide {}\nm f=1", fields.join(",")));
    let pauses = product.count_pauses();
    // The lines have another type, are too old, and would exceed the limit of fields. The bodies
    // are short enough to be read without a pause.
    for line in ["m f=1i\n", "m f=1 1\n", "wide g=1\n"] {
        pauses.set(0);
        let (status, answer) = product.ask("POST", "/write", "db=db", &[], &line.repeat(200_000));
        assert_eq!(status, 400, "{answer}");
        assert!(pauses.get() / 2 >= 2, "{} pauses: {line}", pauses.get() / 2);
    }
}

#[test]
fn lists_of_many_series_yield_the_thread() {
    const SERIES: u32 = 250_000;
    let mut product = product(&[]);
    for first in (0..SERIES).step_by(10_000) {
        let line = |n: u32| format!("keyed,n=k{} v=1 1\n", n * 7_919 % SERIES);
        product.write("db", &(first..first + 10_000).map(line).collect::<String>());
    }
    let pauses = product.count_pauses();
    for (q, rows) in [
        ("SHOW SERIES FROM keyed", SERIES as usize),
        ("SHOW TAG VALUES FROM keyed WITH KEY = n", SERIES as usize),
    ] {
        pauses.set(0);
        let answer = product.query("db", q);
        let series = &answer["results"][0]["series"][0]["values"];
        assert_eq!(series.as_array().map(Vec::len), Some(rows), "{q}: {}", error_of(&answer));
        assert!(pauses.get() / 2 >= 1, "no pause: {q}");
    }
    // The condition makes the shard visit every series.
    let calls = Rc::new(Cell::new(0));
    let counter = Rc::clone(&calls);
    product.watch_calls(Box::new(move |to| {
        counter.set(counter.get() + u32::from(matches!(to, Address::Shard(_))));
    }));
    let q = "SHOW SERIES EXACT CARDINALITY FROM keyed WHERE n != ''";
    let answer = product.query("db", q);
    assert_eq!(answer["results"][0]["series"][0]["values"][0][0], SERIES, "{answer}");
    assert!(calls.get() / 2 >= SERIES / 20_000, "{} pages", calls.get() / 2);
    let pauses = product.count_pauses();
    // The statement merges 10,000 groups with one row each.
    pauses.set(0);
    let answer = product.query("db", "SELECT v FROM keyed GROUP BY n SLIMIT 10000");
    assert_eq!(answer["results"][0]["series"].as_array().map(Vec::len), Some(10_000));
    assert!(pauses.get() / 2 >= 2);
    // The statement compares the names of 2,000 measurements with 100 regexes.
    product.write("db", &(0..2_000).map(|n| format!("name{n} v=1 1\n")).collect::<String>());
    let regexes: Vec<String> = (0..100).map(|n| format!("/x{n}/")).collect();
    pauses.set(0);
    let answer = product.query("db", &format!("SELECT v FROM {}", regexes.join(",")));
    assert_eq!(error_of(&answer), "");
    assert!(pauses.get() / 2 >= 1);
}

#[test]
fn writes_to_many_wide_measurements_yield_the_thread() {
    let mut product = Product::with(&[]);
    product.query("", "CREATE DATABASE db WITH DURATION INF");
    let fields: Vec<String> = (0..1_000).map(|field| format!("f{field}=1")).collect();
    let wide = |n: u32| format!("m{n} {} 1\n", fields.join(","));
    product.write("db", &(0..60).map(wide).collect::<String>());
    let pauses = product.count_pauses();
    let narrow = |count: u32| (0..count).map(|n| format!("m{n} f7=2 2\n")).collect::<String>();
    product.write("db", &narrow(40));
    assert_eq!(pauses.get(), 0);
    product.write("db", &narrow(60));
    assert!(pauses.get() > 0);
}

#[test]
fn cpu_limit_applies_per_statement() {
    let mut product = product(&[("QUERY_CPU_MS_MAX", "100")]);
    let fit = "SELECT holt_winters(mean(v), 10, 60) FROM m WHERE time < 1000s GROUP BY time(1s)";
    let error = error_of(&product.query("db", fit));
    let advice = "narrow the time range, select fewer series or fields, or raise the limit";
    assert!(
        error.starts_with("the statement needs too much computing time: current 0, requested 1")
    );
    assert!(error.ends_with(&format!("limit 100 (QUERY_CPU_MS_MAX): {advice}")), "{error}");
    let small = "SELECT count(v) FROM m";
    for _ in 0..3 {
        assert_eq!(product.values("db", small)[0][1], 5_000);
    }
}

#[test]
fn longest_pause_of_statements_is_reported() {
    let setting = |name: &str| std::env::var(name).ok()?.parse().ok();
    let statements = setting("PAUSE_STATEMENTS").unwrap_or(STATEMENTS);
    let mut random = fastrand::Rng::with_seed(setting("PAUSE_SEED").unwrap_or(46) as u64);
    let mut product = product(&[]);
    // The end of the last pause, and the longest computation since the start of the statement.
    let (last, longest) =
        (Rc::new(Cell::new(ThreadTime::now())), Rc::new(Cell::new(Duration::ZERO)));
    let watch = {
        let (last, longest) = (Rc::clone(&last), Rc::clone(&longest));
        move || {
            longest.set(longest.get().max(last.get().elapsed()));
            last.set(ThreadTime::now());
        }
    };
    let (on_call, rest, mut is_paused) = (watch.clone(), Rc::clone(&last), false);
    product.watch_calls(Box::new(move |to| {
        // During a pause, the host of the test copies the bytes of a streamed response.
        let is_timer = matches!(to, Address::Timer { .. });
        let ends_pause = is_paused && is_timer;
        is_paused = is_timer && !ends_pause;
        if ends_pause { rest.set(ThreadTime::now()) } else { on_call() }
    }));
    let mut found: Vec<(Duration, String)> = Vec::new();
    for _ in 0..statements {
        let q = std::env::var("PAUSE_TEXT")
            .unwrap_or_else(|_| generate(INFLUXQL, "statement", &mut random, TEXT_BYTES_MAX));
        longest.set(Duration::ZERO);
        last.set(ThreadTime::now());
        let response = product.post("/query?db=db", &form(&[("q", &q)]));
        assert!(matches!(response.status, 200 | 400), "{}: {q}", response.status);
        watch();
        assert!(longest.get() < PATIENCE, "{:?}: {q}", longest.get());
        found.push((longest.get(), q));
        found.sort_by_key(|(pause, _)| std::cmp::Reverse(*pause));
        found.truncate(10);
    }
    println!("the longest pauses of {statements} statements:");
    for (pause, q) in found {
        println!("{:8.1} ms  {:.300}", pause.as_secs_f64() * 1e3, q);
    }
}

#[test]
fn large_write_is_several_frames() {
    let mut product = Product::with(&[]);
    product.query("", "CREATE DATABASE db WITH DURATION INF");
    product.write("db", "m v=0i 0");
    let calls = Rc::new(Cell::new(0));
    let counter = Rc::clone(&calls);
    product.watch_calls(Box::new(move |to| {
        counter.set(counter.get() + u32::from(matches!(to, Address::Shard(_))));
    }));
    // The last of several points with the same time wins, also in another frame.
    let line = |row: u32| format!("m v={row}i {}\n", row % 250_000);
    let body: String = (0..400_000).map(line).collect();
    let response = product.ask_alone("POST", "/write?db=db&precision=s", &body);
    assert_eq!(response.status, 204);
    assert_eq!(calls.get() / 2, 3, "{} frames", calls.get() / 2);
    let first = product.values("db", "SELECT first(v), count(v) FROM m");
    assert_eq!((&first[0][1], &first[0][2]), (&250_000.into(), &250_000.into()));
    assert_eq!(product.values("db", "SELECT last(v) FROM m")[0][1], 249_999);
    assert_eq!(product.values("db", "SELECT v FROM m WHERE time = 149999s")[0][1], 399_999);
}

/// The maximum CPU time of an object between two pauses. An unoptimized program needs several times
/// as long.
const OBJECT_PAUSE_MAX: Duration =
    Duration::from_millis(if cfg!(debug_assertions) { 500 } else { 50 });

/// Measures the CPU time of each object between two pauses, in calls and in alarms.
#[derive(Clone, Default)]
struct ObjectTimes(Rc<RefCell<ObjectTimesState>>);

#[derive(Default)]
struct ObjectTimesState {
    /// The addresses of the running calls.
    running: Vec<Address>,
    last: Option<ThreadTime>,
    longest: (Duration, Option<Address>),
}

impl ObjectTimes {
    fn watch(product: &mut Product) -> Self {
        let times = Self::default();
        let watched = times.clone();
        product.watch_calls(Box::new(move |to| watched.0.borrow_mut().pass(to)));
        times
    }

    /// Returns the longest time and its object.
    fn take_longest(&self) -> (Duration, Option<Address>) {
        std::mem::take(&mut self.0.borrow_mut().longest)
    }
}

impl ObjectTimesState {
    fn pass(&mut self, to: &Address) {
        let is_object = |to: &Address| {
            matches!(to, Address::Catalog | Address::Database(_) | Address::Shard(_))
        };
        if let Some(last) = self.last.filter(|_| self.running.last().is_some_and(is_object)) {
            let elapsed = last.elapsed();
            if elapsed > self.longest.0 {
                self.longest = (elapsed, self.running.last().cloned());
            }
        }
        if self.running.last() == Some(to) {
            self.running.pop();
        } else {
            self.running.push(to.clone());
        }
        self.last = Some(ThreadTime::now());
    }
}

#[test]
fn longest_pause_of_objects_is_limited() {
    let mut product = Product::with(&[]);
    product.query("", "CREATE DATABASE db WITH DURATION INF");
    let times = ObjectTimes::watch(&mut product);
    let mut found: Vec<(Duration, String)> = Vec::new();
    let named = |(pause, object): (Duration, Option<Address>), what: &str| {
        let kind = match object {
            Some(Address::Shard(_)) => "shard",
            Some(Address::Database(_)) => "database",
            _ => "catalog",
        };
        (pause, format!("{what}, {kind}"))
    };
    let mut report = |what: &str| found.push(named(times.take_longest(), what));
    let body = |rows: usize, line: &dyn Fn(usize) -> String| -> String {
        (0..rows).map(|row| format!("{} {row}\n", line(row))).collect()
    };
    let mut random = fastrand::Rng::with_seed(7);
    let words: Vec<String> =
        (0..4_000).map(|_| (0..2_000).map(|_| random.alphanumeric()).collect()).collect();
    let fields: Vec<String> = (0..100).map(|field| format!("f{field}={field}.5")).collect();
    let fields = fields.join(",");
    let names: Vec<String> = (0..900).map(|field| format!("f{field}=1")).collect();
    let names = names.join(",");
    let bodies: [(&str, String); 8] = [
        (
            "ordinary rows",
            body(900_000, &|row| format!("cpu,host=h{} v={}i", row % 100, row % 977)),
        ),
        (
            "full floats",
            body(600_000, &|row| format!("f,host=h{} v={}", row % 100, (row as f64).sin())),
        ),
        ("new series", body(400_000, &|row| format!("s,id=i{row} v=1"))),
        ("wide rows", body(20_000, &|row| format!("wide,host=h{} {fields}", row % 100))),
        ("long strings", body(4_000, &|row| format!("text v=\"{}{}\"", words[row], words[row]))),
        ("measurements", body(100_000, &|row| format!("n{} v=1", row % 9_000))),
        ("wide measurements", body(100, &|row| format!("w{row} {names}"))),
        ("a new column for each", body(100, &|row| format!("w{row} g=1"))),
    ];
    for (what, body) in &bodies {
        assert!(body.len() < 25_000_000, "{what}: {} bytes", body.len());
        // An uncompressed body of this size would need too much memory next to its columns.
        let headers = [AUTHORIZATION, ("content-encoding", "gzip")];
        let target = "/write?db=db&precision=s";
        let response = product.send("POST", target, &headers, gzip(body.as_bytes()));
        assert_eq!(response.status, 204, "{what}: {}", String::from_utf8_lossy(&response.body));
        report(&format!("write of {what}"));
        product.rest();
        report(&format!("flush and merge after {what}"));
    }
    for (what, q) in [
        ("list of series", "SHOW SERIES FROM s LIMIT 10"),
        ("list with a condition", "SHOW TAG VALUES FROM s WITH KEY = id WHERE id =~ /9$/"),
        ("count of series", "SHOW SERIES EXACT CARDINALITY FROM s WHERE id != ''"),
        (
            "query",
            "SELECT mean(v) FROM cpu WHERE time >= 0 AND time < 900000s GROUP BY time(1h), host",
        ),
        ("raw rows", "SELECT v FROM f WHERE v > 0.99999"),
        ("delete", "DELETE FROM cpu WHERE time < 300000s AND host = 'h7'"),
        ("drop of series", "DROP SERIES FROM s WHERE id = 'i7' OR id = 'i8'"),
        ("drop of strings", "DROP MEASUREMENT text"),
        ("drop of wide measurements", "DELETE FROM /^w/"),
    ] {
        assert_eq!(error_of(&product.query("db", q)), "", "{q}");
        product.rest();
        report(what);
    }
    // A log of the maximum size, which a restarted object reads.
    product.write("db", &body(100_000, &|row| format!("cpu,host=h{} v={}i", row % 100, row % 977)));
    let stores = product.stores();
    let mut restarted = Product::going_on(product.now_s(), product.object_count());
    stores.into_iter().for_each(|(address, store)| restarted.put_store(address, store));
    let times = ObjectTimes::watch(&mut restarted);
    assert_eq!(error_of(&restarted.query("db", "SELECT count(v) FROM cpu")), "");
    found.push(named(times.take_longest(), "query of a restarted object"));
    println!("the longest pauses of objects:");
    for (pause, what) in &found {
        println!("{:8.1} ms  {what}", pause.as_secs_f64() * 1e3);
    }
    let too_long: Vec<_> = found.iter().filter(|(pause, _)| *pause > OBJECT_PAUSE_MAX).collect();
    assert!(too_long.is_empty(), "{too_long:?}");
}
