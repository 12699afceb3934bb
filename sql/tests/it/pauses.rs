//! Runs random statements, and reports the turns that take the longest.
//!
//! The long form of the fuzzer is
//! `PAUSE_STATEMENTS=20000 PAUSE_SEED=1 cargo test --profile sql-quick -p tidemark-sql --test it longest_turn --
//! --nocapture`.

use std::cell::Cell;
use std::panic::{set_hook, take_hook};
use std::rc::Rc;
use std::time::Duration;

use cpu_time::ThreadTime;
use tidemark_sql::{Engine, QuerySession};

use super::grammar::{Rule, generate};
use super::product::Product;

/// The number of statements in the short form.
const STATEMENTS: usize = 60;
/// The maximum size of a random statement, in bytes.
const TEXT_BYTES_MAX: usize = 4_000;
/// The maximum CPU time of a turn. Within the limits, a turn takes far less. Without the limits, a
/// turn would take minutes.
const PATIENCE: Duration = Duration::from_secs(60);
/// The maximum number of turns of a statement. This number is far above the number that the limits
/// for rows and pairs permit.
const TURNS_MAX: u32 = 5_000;
/// The same stack size as in `hostile`.
const STACK_BYTES: usize = 8 * 4 * 1024 * 1024;

/// A grammar for SQL statements that query the data of [`product`]. The test replaces `@scalar`,
/// `@aggregate` and `@window` with the names of functions.
const SQL: &[Rule] = &[
    (
        "statement",
        &[
            "SELECT <columns> FROM <from><where><group><order>",
            "SELECT <constant>",
            "SELECT <constant*,>",
            "SELECT @scalar(<big>, <big>)",
            "SELECT @scalar(<big>, <big>, <big>) FROM v",
            "SELECT count(*) FROM v WHERE <condition>",
            "SELECT <windowed> FROM <table><order>",
            "SELECT <set> FROM m GROUP BY <sets>",
            "WITH RECURSIVE r AS (SELECT <one> AS x UNION ALL SELECT <recursion> FROM r<stop>) \
             SELECT count(*) FROM r",
            "<query> UNION ALL <query>",
            "<query> EXCEPT <query>",
            "EXPLAIN <query>",
            "SELECT count(*) FROM (<query>) q",
            "SELECT value FROM v WHERE value IN (<query>)",
            "SELECT date_bin_gapfill(INTERVAL '<number> seconds', time) AS t, <aggregate> FROM m \
             WHERE time >= '1970-01-01' AND time < '1970-01-01T01:00:00Z' GROUP BY t",
        ],
    ),
    ("query", &["SELECT value FROM v", "SELECT value FROM v<where>", "SELECT <one> AS value"]),
    ("columns", &["*", "<expression*,>", "<aggregate*,>", "DISTINCT <expression>", "<windowed>"]),
    ("from", &["v", "m", "<table>", "<table> a CROSS JOIN v b", "m JOIN v ON <join>", "<series>"]),
    ("series", &["generate_series(1, 1000)", "generate_series(1, 1000000)", "unnest(<list>)"]),
    ("table", &["v", "m", "wide", "(SELECT * FROM m) s", "(SELECT v.*, m.i FROM v, m LIMIT 50) s"]),
    ("join", &["m.i = v.value", "m.v < v.value", "m.s LIKE m.t", "m.s ~ m.t", "true"]),
    ("where", &["", " WHERE <condition>"]),
    (
        "condition",
        &[
            "true",
            "<text> LIKE <pattern>",
            "<text> ILIKE <pattern>",
            "<text> SIMILAR TO <pattern>",
            "<text> ~ <pattern>",
            "<text> !~* <pattern>",
            "<condition> AND <condition>",
            "NOT (<condition> OR <condition>)",
            "<expression> IN (<expression*,>)",
            "<expression> = <expression>",
            "<number> BETWEEN <number> AND <number>",
            "EXISTS (<query>)",
            "array_has(<list>, <one>)",
        ],
    ),
    (
        "group",
        &["", " GROUP BY 1", " GROUP BY <expression>", " GROUP BY <expression*,>", " GROUP BY ALL"],
    ),
    ("order", &[" LIMIT 10", " ORDER BY 1 LIMIT 10", " ORDER BY 1 DESC", "", " LIMIT <number>"]),
    ("set", &["count(*)", "<aggregate>"]),
    (
        "sets",
        &[
            "CUBE (<key>)",
            "CUBE (<key*,>)",
            "ROLLUP (<key*,>)",
            "GROUPING SETS ((<key>), (<key>, <key>))",
            "<cube*,>",
        ],
    ),
    ("cube", &["CUBE (<key>, <key>)", "ROLLUP (<key>, <key>)"]),
    ("key", &["t", "u", "i", "v", "b", "s", "i + 1", "i + 2", "i % 3"]),
    ("expression", &["<number>", "<text>", "<list>", "<call>", "<cast>", "<case>", "*"]),
    (
        "case",
        &["CASE <when*> ELSE <one> END", "coalesce(<expression>, <expression>)", "nullif(1, 1)"],
    ),
    ("when", &["WHEN <number> > 1 THEN <number> "]),
    (
        "cast",
        &[
            "CAST(<number> AS <type>)",
            "CAST(<text> AS <type>)",
            "TRY_CAST(<text> AS <type>)",
            "arrow_cast(<number>, 'Decimal128(38, 10)')",
            "arrow_cast(<text>, 'Dictionary(Int32, Utf8)')",
            "INTERVAL '<number> months'",
            "TIMESTAMP '1970-01-01' + INTERVAL '<number> days'",
        ],
    ),
    (
        "type",
        &["VARCHAR", "BIGINT", "DOUBLE", "BOOLEAN", "TIMESTAMP", "DATE", "DECIMAL(38, 5)", "BYTEA"],
    ),
    (
        "call",
        &[
            "@scalar(<argument>)",
            "@scalar(<argument>, <argument>)",
            "@scalar(<argument>, <argument>, <argument>)",
            "@scalar(<text>, <text>)",
            "@scalar(<text>, <number>)",
            "@scalar(<list>, <list>)",
            "@scalar(<list>, <one>)",
            "@scalar(<list>, <number>, <number>)",
            "@scalar()",
        ],
    ),
    ("argument", &["<number>", "<text>", "<list>", "<big>", "<call>", "time", "NULL"]),
    (
        "aggregate",
        &[
            "count(*)",
            "@aggregate(<argument>)",
            "@aggregate(<argument>, <argument>)",
            "@aggregate(DISTINCT <argument>)",
            "@aggregate(<number> ORDER BY <expression>)",
            "@aggregate(value) FILTER (WHERE <condition>)",
        ],
    ),
    (
        "windowed",
        &[
            "@window() OVER (<over>)",
            "@window(<argument>) OVER (<over>)",
            "@window(<argument>, <number>) OVER (<over>)",
            "@aggregate(<argument>) OVER (<over>)",
            "@aggregate(<number>) OVER (<over>)",
            "@aggregate(<text>, ',') OVER (<over>)",
        ],
    ),
    (
        "over",
        &[
            "",
            "ORDER BY time",
            "PARTITION BY <expression> ORDER BY time",
            "ORDER BY time ROWS BETWEEN <number> PRECEDING AND CURRENT ROW",
            "ORDER BY time ROWS BETWEEN 1000000 PRECEDING AND <number> FOLLOWING",
            "ORDER BY time ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING",
            "ORDER BY time RANGE BETWEEN INTERVAL '1 second' PRECEDING AND CURRENT ROW",
        ],
    ),
    (
        "number",
        &[
            "1",
            "value",
            "i",
            "v",
            "-1",
            "1000",
            "1000000000",
            "9223372036854775807",
            "1e300",
            "<number> + <number>",
            "<number> * i",
            "<number> % <number>",
            "@scalar(<number>)",
            "@scalar(<number>, <number>)",
        ],
    ),
    (
        "text",
        &[
            "'abc'",
            "s",
            "t",
            "<text> || <text>",
            "repeat(<text>, 10)",
            "@scalar(<text>)",
            "@scalar(<text>, <text>)",
            "@scalar(<text>, <text>, <text>)",
            "@scalar(<text>, <number>)",
        ],
    ),
    (
        "pattern",
        &[
            "'a%'",
            "'%a%b_%a%'",
            "<text>",
            "'(a|b)*a(a|b){12}'",
            "'\\pL{40}' || <text>",
            "repeat('%a', 1000)",
            "repeat('_%', 300) || <text>",
        ],
    ),
    (
        "list",
        &[
            "[1, 2, 3]",
            "range(100)",
            "make_array(<expression*,>)",
            "array_repeat(<list>, 10)",
            "[<list>, <list>]",
            "@scalar(<list>)",
            "@scalar(<list>, <list>)",
            "@scalar(<list>, <one>)",
            "string_to_array(<text>, 'a')",
            "array_agg(<number>)",
            "<list>[1:<number>]",
        ],
    ),
    ("one", &["1", "'a'", "value", "[1]", "NULL", "1.5", "true"]),
    ("constant", &["1", "@scalar(<big>, <big>)", "@scalar(<big>, <one>)", "@scalar(<big>)"]),
    (
        "big",
        &[
            "repeat('a', 20000)",
            "repeat('ab', 10000) || 'c'",
            "range(20000)",
            "array_repeat('ab', 20000)",
            "array_repeat([1, 2], 5000)",
            "1000000000",
            "'a'",
        ],
    ),
    ("recursion", &["x", "x + 1", "x || x", "[x]", "repeat('a', 1000)"]),
    ("stop", &["", " WHERE x < 100", " LIMIT 10"]),
];

thread_local! {
    /// Whether a statement has caused a panic in this thread. The runtime of a plan catches panics.
    static HAS_PANICKED: Cell<bool> = const { Cell::new(false) };
}

fn watch_panics() {
    let hook = take_hook();
    set_hook(Box::new(move |panic| {
        HAS_PANICKED.set(true);
        hook(panic);
    }));
}

fn product(turn: impl Fn(ThreadTime) + 'static) -> Product {
    let (engine, mut session) = (Engine::default(), QuerySession::default());
    let sql = move |message: &[u8]| {
        let start = ThreadTime::now();
        let reply = session.turn(&engine, message);
        turn(start);
        Ok(reply)
    };
    let mut product = Product::with(&[("DEFAULT_SHARDS", "1")], Box::new(sql));
    let row = |i: u32| {
        let value = f64::from(i % 97) + 0.5;
        format!("m,t={},u=h{} v={value},i={i}i,s=\"x{i}\",b=true {i}\n", i % 7, i % 100)
    };
    product.write(&(0..500).map(row).collect::<String>());
    product.write(&(0..300).map(|i| format!("v value={i} {i}\n")).collect::<String>());
    let fields: Vec<String> = (0..100).map(|field| format!("f{field}={field}")).collect();
    product.write(&format!("wide {} 1", fields.join(",")));
    product
}

/// Returns the names of the functions of a kind.
fn functions(product: &mut Product, kind: &str) -> Vec<String> {
    let rows = product.rows(&format!(
        "SELECT DISTINCT routine_name FROM information_schema.routines WHERE function_type = \
         '{kind}' ORDER BY 1"
    ));
    rows.lines().skip(1).map(str::to_owned).collect()
}

/// Replaces each `@kind` with the name of a function.
fn call_functions(text: &str, kinds: &[(&str, Vec<String>)], random: &mut fastrand::Rng) -> String {
    let mut whole = String::new();
    let mut parts = text.split('@');
    whole.extend(parts.next());
    for part in parts {
        let (kind, names) = kinds.iter().find(|(kind, _)| part.starts_with(kind)).unwrap();
        whole.push_str(&names[random.usize(..names.len())]);
        whole.push_str(&part[kind.len()..]);
    }
    whole
}

fn report_the_longest_turn() {
    let setting = |name: &str| std::env::var(name).ok()?.parse().ok();
    let statements = setting("PAUSE_STATEMENTS").unwrap_or(STATEMENTS);
    let mut random = fastrand::Rng::with_seed(setting("PAUSE_SEED").unwrap_or(46) as u64);
    let (longest, turns) = (Rc::new(Cell::new(Duration::ZERO)), Rc::new(Cell::new(0)));
    let watch = {
        let (longest, turns) = (Rc::clone(&longest), Rc::clone(&turns));
        move |start: ThreadTime| {
            longest.set(longest.get().max(start.elapsed()));
            turns.set(turns.get() + 1);
        }
    };
    watch_panics();
    let mut product = product(watch);
    let kinds: Vec<_> = [("scalar", "SCALAR"), ("aggregate", "AGGREGATE"), ("window", "WINDOW")]
        .map(|(kind, name)| (kind, functions(&mut product, name)))
        .into();
    let (mut found, mut faults, mut whole) = (Vec::new(), Vec::new(), 0);
    for _ in 0..statements {
        let text = generate(SQL, "statement", &mut random, TEXT_BYTES_MAX);
        let text = call_functions(&text, &kinds, &mut random);
        longest.set(Duration::ZERO);
        turns.set(0);
        let (status, body) = product.sql(&text);
        match status {
            200 => whole += 1,
            // DataFusion's own errors have status 500.
            400 | 500 | 507 => {}
            _ => faults.push(format!("{status} {body}: {text}")),
        }
        if HAS_PANICKED.take() {
            faults.push(format!("a panic: {text}"));
        }
        if turns.get() > TURNS_MAX || longest.get() > PATIENCE {
            faults.push(format!("{} turns, {:?}: {text}", turns.get(), longest.get()));
        }
        found.push((longest.get(), text));
        found.sort_by_key(|(turn, _)| std::cmp::Reverse(*turn));
        found.truncate(20);
    }
    println!("{whole} of {statements} statements have a result; the longest turns:");
    for (turn, text) in found {
        println!("{:8.1} ms  {:.300}", turn.as_secs_f64() * 1e3, text);
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(whole * 10 > statements, "only {whole} statements of {statements} have a result");
}

/// In a test, the runtime of a plan catches panics. In a Worker, a panic ends the instance.
#[test]
fn aggregate_and_window_calls_never_panic() {
    watch_panics();
    let mut product = product(|_| {});
    let mut faults = Vec::new();
    for kind in ["AGGREGATE", "WINDOW"] {
        for name in functions(&mut product, kind) {
            for arguments in ["", "v, 1", "v ORDER BY i"] {
                for rest in ["FROM m GROUP BY t", "OVER () FROM m"] {
                    let text = format!("SELECT {name}({arguments}) {rest}");
                    let (status, body) = product.sql(&text);
                    if HAS_PANICKED.take() || !matches!(status, 200 | 400 | 500) {
                        faults.push(format!("{text}: {status} {body:.300}"));
                    }
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn longest_turn_of_statements_is_reported() {
    let fuzzer = std::thread::Builder::new().stack_size(STACK_BYTES);
    let ended = fuzzer.spawn(report_the_longest_turn).unwrap().join();
    if let Err(fault) = ended {
        std::panic::resume_unwind(fault);
    }
}
