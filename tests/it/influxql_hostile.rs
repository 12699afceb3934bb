//! Tests the parser with malicious texts and with damaged valid texts.

use std::time::Duration;

use cpu_time::ThreadTime;
use tidemark_influxql::ast::Statement;
use tidemark_influxql::bound_params::Params;
use tidemark_influxql::parse;
use tidemark_model::limits::{QUERY_TEXT_BYTES_MAX, SOURCES_WRITTEN_MAX};

/// 50 ms of CPU time per parse, multiplied by the slowdown of an unoptimised build.
const PATIENCE: Duration = Duration::from_millis(500);

/// Parses a text that the parser must reject, quickly and without a stack overflow.
fn refused(text: &str) -> String {
    let started = ThreadTime::now();
    let error = parse(text, &Params::default()).map(drop).unwrap_err().to_string();
    let took = started.elapsed();
    assert!(took < PATIENCE, "{took:?} for {:.40}… of {} bytes", text, text.len());
    error
}

/// Parses a text that the parser must accept. Parsing, printing and dropping must be quick.
fn accepted(text: &str) {
    let started = ThreadTime::now();
    let statements = parse(text, &Params::default()).unwrap();
    let printed: Vec<_> = statements.iter().map(Statement::to_string).collect();
    drop(statements);
    let took = started.elapsed();
    assert!(took < PATIENCE, "{took:?} for {:.40}… of {} bytes", text, text.len());
    assert_eq!(printed.len(), 1);
}

#[test]
fn hostile_statements_fail_fast() {
    let too_long = "the query is too long: ";
    for (shape, error) in [
        ("(".repeat(100_000), too_long),
        ("-".repeat(1 << 20), too_long),
        ("SELECT a FROM ".to_owned() + &"(SELECT a FROM ".repeat(100_000), too_long),
    ] {
        assert!(refused(&shape).starts_with(error));
    }
    let fits = |start: &str, unit: &str, end: &str| {
        let n = (QUERY_TEXT_BYTES_MAX - start.len() - end.len()) / unit.len();
        format!("{start}{}{end}", unit.repeat(n))
    };
    let (deep, chained) = ("the query nests too deeply", "expression chains more than 512");
    for (shape, error) in [
        (fits("SELECT ", "(", ""), deep),
        (fits("SELECT a FROM m WHERE ", "(", ""), deep),
        (fits("SELECT ", "f(", ""), deep),
        (fits("SELECT ", "-(", ""), deep),
        (fits("SELECT a FROM ", "(SELECT a FROM ", ""), deep),
        (fits("SELECT a FROM m GROUP BY ", "time(", ""), deep),
        (fits("SELECT a", "+a", " FROM m"), chained),
        (fits("SELECT a FROM m WHERE a", "=a", ""), chained),
        (fits("SELECT a FROM m WHERE a", "^(a|a)", ""), chained),
        (fits("SELECT ", "-", ""), "found EOF"),
        (fits("", "/* ", ""), "found ILLEGAL"),
        (fits("", ";SHOW USERS", ""), "too many statements: current 100"),
        (fits("SELECT ", "\"", ""), "found "),
        (
            fits("SELECT a FROM m WHERE a =~ /", "(", "/"),
            "error parsing regexp: the regular expression is too long: ",
        ),
        (
            format!("SELECT a FROM m WHERE a =~ /{}/", "ab|".repeat(10_000)),
            "error parsing regexp: the regular expression is too long: ",
        ),
        (fits("SELECT a FROM ", "a.", "a"), "too many segments in "),
        (fits("SELECT ", "9", " FROM m"), "unable to parse integer"),
        (fits("SELECT ", "9", "s FROM m"), "invalid duration"),
        (fits("SELECT a FROM m LIMIT ", "9", " x"), "found x, expected ;"),
    ] {
        let found = refused(&shape);
        assert!(found.starts_with(error), "{:.40}: {found:.80}", shape);
    }
    for regex in
        ["(a{1000}){1000}", "((((a{10}){10}){10}){10})", "(\\pL{100}){10}", &"(".repeat(900)]
    {
        let found = refused(&format!("SELECT a FROM m WHERE b =~ /{regex}/"));
        assert!(found.starts_with("error parsing regexp: "), "{regex}: {found}");
    }
}

#[test]
fn large_valid_statements_parse() {
    let list = |unit: &str, separator: &str| {
        vec![unit; 60_000 / (unit.len() + separator.len())].join(separator)
    };
    accepted(&format!("SELECT {} FROM m", list("mean(a) AS b", ", ")));
    accepted(&format!("SELECT a FROM m WHERE {}", list("host = 'server01'", " OR ")));
    accepted(&format!("SELECT a FROM m WHERE {}", list("a", "\tAND\n")));
    accepted(&format!("SELECT a FROM m WHERE {}", list("a = 1 OR b = 2", " AND ")));
    accepted(&format!("SELECT a FROM {}", vec!["db.rp.m"; SOURCES_WRITTEN_MAX].join(",")));
    accepted(&format!("SELECT a FROM m WHERE {}", list("a =~ /x/", " OR ")));
    accepted(&format!("SELECT f({}) FROM m", list("1", ",")));
    accepted(&format!("SELECT a FROM m GROUP BY {}", list("zone", ",")));
    accepted(&format!("SHOW TAG VALUES WITH KEY IN ({})", list("host", ",")));
    accepted(&format!("SELECT '{}' FROM m", list("\\'", "")));
    accepted(&format!("SELECT a FROM m{}", list("--x\n", "")));
}

const SEEDS: &[&str] = &[
    "SELECT mean(a) AS b, c::float, *::tag, /x/, DISTINCT d INTO db.rp.:MEASUREMENT FROM db..m, /y/, \
        (SELECT max(e) FROM n GROUP BY time(10s, -1s), *) WHERE (time > now() - 1h30m AND host =~ /a\\/b/) \
        OR f != 'it\\'s' AND g >= -1.5 AND h <> true GROUP BY time(1m), host fill(previous) \
        ORDER BY time DESC LIMIT 1 OFFSET 2 SLIMIT 3 SOFFSET 4 tz('Europe/Berlin')",
    "SELECT -a + 2 * (b - c) / d % e & f | g ^ h, top(a, host, 3), \"a b\".\"c\" FROM \"my db\".rp.\"m\" fill(0.5)",
    "EXPLAIN ANALYZE SELECT count(distinct(a)) FROM m WHERE time >= '2000-01-01' AND time < 1000000000",
    "SHOW MEASUREMENTS ON *.rp WITH MEASUREMENT =~ /x/ WHERE host = 'a' ORDER BY ASC LIMIT 1 OFFSET 2",
    "SHOW TAG KEYS ON db FROM m WITH KEY !~ /x/ WHERE a = 'b' LIMIT 1 OFFSET 2 SLIMIT 3 SOFFSET 4",
    "SHOW TAG VALUES ON db FROM m, rp./x/ WITH KEY IN (a, \"b c\") WHERE a = 'b' LIMIT 1",
    "SHOW SERIES EXACT CARDINALITY ON db FROM m WHERE a = 'b' GROUP BY c LIMIT 1 OFFSET 2",
    "SHOW TAG VALUES CARDINALITY WITH KEY != a; SHOW FIELD KEY EXACT CARDINALITY; SHOW FIELD KEYS FROM m",
    "CREATE DATABASE db WITH DURATION 24h REPLICATION 2 SHARD DURATION 30m FUTURE LIMIT 1h NAME \"rp\"",
    "CREATE RETENTION POLICY rp ON db DURATION INF REPLICATION 1 SHARD DURATION 1h PAST LIMIT 2h DEFAULT",
    "ALTER RETENTION POLICY default ON db DEFAULT REPLICATION 4 DURATION 60s SHARD DURATION 0s",
    "CREATE CONTINUOUS QUERY cq ON db RESAMPLE EVERY 1m FOR 1h BEGIN SELECT mean(a) INTO t FROM m \
        GROUP BY time(5m) END; DROP CONTINUOUS QUERY cq ON db",
    "CREATE SUBSCRIPTION s ON db.rp DESTINATIONS ANY 'udp://a:1', 'b'; DROP SUBSCRIPTION s ON db.\"rp\"",
    "GRANT ALL ON db TO u; REVOKE ALL PRIVILEGES FROM u; KILL QUERY 3 ON host; SHOW GRANTS FOR u",
    "DELETE FROM rp.m WHERE time < '2000-01-01 00:00:00.5'; DROP SERIES FROM /x/ WHERE a = ''; DROP SHARD 3",
];

/// Fragments that are inserted into the statements to damage them.
const PIECES: &[&str] = &[
    " ",
    "\n",
    "\t",
    "(",
    ")",
    ",",
    ";",
    ".",
    "..",
    ":",
    "::",
    "*",
    "/",
    "/x/",
    "-",
    "--",
    "/*",
    "*/",
    "+",
    "=",
    "=~",
    "!~",
    "!=",
    "<",
    "'",
    "\"",
    "\\",
    "\\n",
    "$",
    "$p",
    "é",
    "µ",
    "\u{0}",
    "\u{2028}",
    "0",
    "1",
    "9",
    "1.",
    ".5",
    "1s",
    "10m5s",
    "99999999999999999999",
    "9223372036854775808",
    "a",
    "_",
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP BY",
    "AS",
    "INTO",
    "AND",
    "OR",
    "LIMIT",
    "DISTINCT",
    "distinct ",
    "now()",
    "time(",
    "fill(",
    "tz(",
    "fill(1.0)",
    "::float",
    "*::field",
    "true",
    "INF",
    "IN (",
    "ON",
    "WITH KEY",
    "'\\'",
    "\"a\\\"b\"",
    "#",
    "{2}",
];

fn damaged(random: &mut fastrand::Rng) -> String {
    let mut text = SEEDS[random.usize(..SEEDS.len())].to_owned();
    for _ in 0..random.usize(1..3) {
        let boundary = |random: &mut fastrand::Rng, text: &str| {
            let mut at = random.usize(..=text.len());
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            at
        };
        let (a, b) = (boundary(random, &text), boundary(random, &text));
        let (start, end) = (a.min(b), a.max(b));
        let near = (start + random.usize(0..12)).min(end);
        let near = if text.is_char_boundary(near) { near } else { start };
        match random.u8(..4) {
            0 => text.insert_str(start, PIECES[random.usize(..PIECES.len())]),
            1 => text.replace_range(start..near, ""),
            2 => text.replace_range(start..near, PIECES[random.usize(..PIECES.len())]),
            _ => {
                let copy = text[start..near].to_owned();
                text.insert_str(end, &copy);
            }
        }
    }
    text
}

#[test]
fn damaged_statements_never_panic() {
    let params = Params::default();
    let (mut accepted, mut refused) = (0, 0);
    for seed in 0..5_000 {
        let text = damaged(&mut fastrand::Rng::with_seed(seed));
        let Ok(statements) = parse(&text, &params) else {
            refused += 1;
            continue;
        };
        accepted += 1;
        for statement in statements {
            let printed = statement.to_string();
            // In fill(), a number without a fraction is printed as an integer.
            if !printed.contains("[REDACTED]") && !text.contains("fill(") {
                assert_eq!(
                    parse(&printed, &params),
                    Ok(vec![statement]),
                    "{seed}: {text}\n{printed}"
                );
            }
            let again = parse(&printed, &params).map(|again| again[0].to_string());
            assert!(printed.contains("[REDACTED]") || again == Ok(printed), "{seed}: {text}");
        }
    }
    // The test is only useful if many texts are accepted.
    assert!(accepted > 250 && refused > 250, "{accepted} accepted, {refused} refused");
}
