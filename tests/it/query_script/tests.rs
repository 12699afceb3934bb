//! Tests the parser and the comparison of query scripts. The comparison must detect each kind of
//! difference.

use super::answer::Answer;
use super::script::{Script, Step};
use super::{QueryRequest, Server, Summary, compare, run_text};

struct Canned {
    status: u16,
    body: &'static str,
    log: Vec<String>,
}

impl Server for Canned {
    fn write(&mut self, db: &str, rp: &str, precision: &str, body: &str) -> (u16, String) {
        self.log.push(format!("write {db} {rp} {precision} {body:?}"));
        (self.status, self.body.to_owned())
    }

    fn query(&mut self, request: &QueryRequest) -> (u16, String) {
        self.log.push(format!("{} {:?} {:?}", request.method, request.params, request.accept));
        (self.status, self.body.to_owned())
    }

    fn reset(&mut self) {
        self.log.push("reset".to_owned());
    }

    fn drain(&mut self) {
        self.log.push("drain".to_owned());
    }
}

fn play(script: &str, status: u16, body: &'static str) -> (Summary, Vec<String>) {
    let mut server = Canned { status, body, log: Vec::new() };
    let mut summary = Summary::default();
    run_text(&mut server, "a.test", script, &mut summary).unwrap();
    (summary, server.log)
}

#[test]
fn script_steps_send_their_options() {
    let script = "# why\nwrite db0 rp=r precision=s\n  m v=1 0\n  m v=2 1\n\ndrain\n\
        query - get epoch=ms params={\"a\":1} SELECT a = 'x y'\n  http 204 {}\n\
        query db chunked=2 accept=text/csv SHOW x\n  http 204 {}\n";
    let (summary, log) = play(script, 204, "{}");
    assert_eq!(
        log,
        [
            "reset",
            r#"write db0 r s "m v=1 0\nm v=2 1""#,
            "drain",
            r#"GET [("epoch", "ms"), ("params", "{\"a\":1}"), ("q", "SELECT a = 'x y'")] None"#,
            "POST [(\"db\", \"db\"), (\"chunked\", \"true\"), (\"chunk_size\", \"2\"), \
                (\"q\", \"SHOW x\")] Some(\"text/csv\")",
        ]
    );
    assert_eq!((summary.passed, summary.failures.len()), (3, 0), "{summary}");
}

#[test]
fn script_write_checks_status() {
    let (summary, _) = play("write db0\n  m v=1 0\n", 400, "no");
    assert_eq!(summary.failures[0].difference, "the write was answered 400 no, not 204");
    let (summary, log) = play("write db0\n  m v=1 0\n  bad\n  => http 400\n", 400, "no");
    assert_eq!((summary.passed, log[1].as_str()), (1, r#"write db0   "m v=1 0\nbad""#));
}

#[test]
fn invalid_script_error_names_line() {
    let error = |text| Script::parse(text).unwrap_err();
    assert_eq!(
        error("# a\nread db0\n"),
        "2: expected a comment, write, query, query-unordered or drain"
    );
    assert_eq!(error("  m v=1\n"), "1: an indented line of no step");
    assert_eq!(error("write db0\n m v=1\n"), "2: bad indentation");
    assert_eq!(error("write db0 epoch=s\n"), "1: unknown option epoch=s");
    assert_eq!(error("query d x\n  m\n  time v\n  1\n"), "1: 1 cells under 2 columns in \"1\"");
    assert_eq!(error("query d x\n  m\n"), "1: no columns below \"m\"");
    assert_eq!(error("query d x\n  m\n  v\n  a\n"), "1: a is no cell; are quotes missing?");
    assert_eq!(error("query d pretty x\n  {}\n"), "1: a line of a text answer lacks its |");
    assert_eq!(error("query d x\n  statement 1\n"), "1: statement 1 comes as number 0");
}

/// The recorder's output for `HTTP`.
const LINES: &[&str] = &[
    "statement 0",
    "cpu \"a b\"=\"\" host=é",
    "time                  v    \"s p\"",
    "1970-01-01T00:00:00Z  1.5  \"1\"",
    "1970-01-01T00:00:00Z  -2   null",
    "",
    "- (partial)",
    "key",
    "\"cpu,host=a = b\"",
    "statement 1",
    "statement 2",
    "message: warning beware",
    "error: it broke: twice",
    "statement 3",
    "error: \"not found: \"",
];

const HTTP: &str = r#"{"results":[{"statement_id":0,"series":[{"name":"cpu",
    "tags":{"a b":"","host":"é"},"columns":["time","v","s p"],"values":[
    ["1970-01-01T00:00:00Z",1.5,"1"],["1970-01-01T00:00:00Z",-2,null]]},
    {"columns":["key"],"values":[["cpu,host=a = b"]],"partial":true}]},{"statement_id":1},
    {"statement_id":2,"messages":[{"level":"warning","text":"beware"}],"error":"it broke: twice"},
    {"statement_id":3,"error":"not found: "}]}
"#;

fn recorded() -> Answer {
    Answer::from_lines(false, LINES).unwrap()
}

#[test]
fn script_and_http_results_parse_equally() {
    assert_eq!(Answer::from_http(false, 200, HTTP).unwrap(), recorded());
}

fn difference(change: impl Fn(&str) -> String, unordered: bool) -> String {
    let body = change(HTTP);
    assert_ne!(body, HTTP, "the change changed nothing");
    match Answer::from_http(false, 200, &body) {
        Ok(actual) => compare::answers(&recorded(), &actual, unordered).err().unwrap_or_default(),
        Err(malformed) => malformed,
    }
}

#[test]
fn script_comparison_detects_every_difference() {
    let swap_rows = |body: &str| {
        let rows = [r#"["1970-01-01T00:00:00Z",1.5,"1"]"#, r#"["1970-01-01T00:00:00Z",-2,null]"#];
        body.replace(&rows.join(","), &[rows[1], rows[0]].join(","))
    };
    for (name, from, to) in [
        ("a wrong fraction", "1.5", "1.5000001"),
        ("a wrong whole number", "-2", "-3"),
        ("a whole number that is too long", "-2", "-2.0"),
        ("a string for a number", "1.5", "\"1.5\""),
        ("a number for a string", r#""1"]"#, "1]"),
        ("a value for null", "null", "0"),
        ("a wrong time", "Z\",-2", "1Z\",-2"),
        ("a missing column", r#","s p""#, ""),
        ("a renamed column", "s p", "sp"),
        ("a missing cell", ",\"1\"]", "]"),
        ("a missing row", r#","values":[["cpu,host=a = b"]]"#, ""),
        ("one more row", r#"["1970-01-01T00:00:00Z",-2"#, r#"["a",1,null],["b",-2"#),
        ("a wrong name", "\"cpu\"", "\"mem\""),
        ("no name", "\"name\":\"cpu\",", ""),
        ("a wrong tag", "é", "e"),
        ("tags in another order", r#""a b":"","host":"é""#, r#""host":"é","a b":"""#),
        ("not partial", r#","partial":true"#, ""),
        ("another error", "twice", "once"),
        ("another message", "beware", "be good"),
        ("a missing result", r#"{"statement_id":1},"#, ""),
        ("a wrong statement", r#":1}"#, ":7}"),
        ("a member of ours", r#":1}"#, r#":1,"took":3}"#),
        ("members in another order", r#""statement_id":1"#, r#""error":"x","statement_id":1"#),
        ("an empty list", r#":1}"#, r#":1,"series":[]}"#),
        ("a member twice", r#":1}"#, r#":1,"statement_id":1}"#),
        ("no JSON", "]}", "]"),
    ] {
        assert_ne!(difference(|body| body.replacen(from, to, 1), false), "", "{name} went unseen");
        assert_ne!(difference(|body| body.replacen(from, to, 1), true), "", "{name} (unordered)");
    }
    assert_ne!(difference(swap_rows, false), "", "a wrong order went unseen");
    assert_eq!(difference(swap_rows, true), "", "rows of equal time are a multiset");
    let later = |body: &str| body.replace("0Z\",1.5", "1Z\",1.5").replace("0Z\",-2", "1Z\",-2");
    assert_ne!(difference(later, true), "");
}

fn cell_passes(expected: &str, actual: &str) -> bool {
    let expected = Answer::from_lines(false, &["m", "v", expected]).unwrap();
    let body = r#"{"results":[{"statement_id":0,"series":[{"name":"m","columns":["v"],"#;
    let body = format!("{body}\"values\":[[{actual}]]}}]}}]}}");
    let actual = Answer::from_http(false, 200, &body).unwrap();
    compare::answers(&expected, &actual, false).is_ok()
}

#[test]
fn script_numbers_compare_with_tolerance() {
    for (expected, actual, passes) in [
        ("1.5", "1.5000000001", true),
        ("1.5", "1.50000001", false),
        ("3", "3.0000000001", true),
        ("3.0000000001", "3", true),
        ("3", "3.0", false),
        ("0.1", "0.10", false),
        ("0.1", "1e-1", false),
        ("1e+21", "1e21", false),
        ("1e+21", "1.0000000001e+21", true),
        ("1e-7", "0.0000001", false),
        ("1e-7", "1.0000000001e-7", true),
        ("9007199254740993", "9007199254740992", false),
        ("0", "1e-300", false),
        ("-0", "0", false),
        ("true", "false", false),
    ] {
        assert_eq!(cell_passes(expected, actual), passes, "{expected} against {actual}");
    }
}

#[test]
fn script_errors_and_texts_match_whole() {
    let (summary, _) =
        play("query - x\n  http 400 {\"error\":\"a\"}\n", 400, "{\"error\":\"a\"}\n");
    assert_eq!(summary.passed, 1, "{summary}");
    let (summary, _) =
        play("query - x\n  http 400 {\"error\":\"a\"}\n", 404, "{\"error\":\"a\"}\n");
    assert_eq!(summary.passed, 0);
    let (summary, _) = play("query - x\n", 200, "{\"error\":\"a\"}\n");
    assert_eq!(summary.passed, 0);
    let pretty = "query - pretty x\n  http 400\n  |{\n  |}\n";
    assert_eq!(play(pretty, 400, "{\n}\n").0.passed, 1);
    assert_eq!(play(pretty, 400, "{}\n").0.passed, 0);
    let csv = "query - accept=text/csv x\n  |a,b\n  |\n  | 1,2\n";
    assert_eq!(play(csv, 200, "a,b\n\n 1,2\n").0.passed, 1);
    assert_eq!(play(csv, 200, "a,b\n\n1,2\n").0.passed, 0);
    assert_eq!(play(csv, 200, "a,b\n 1,2\n").0.passed, 0);
}

#[test]
fn script_parser_keeps_query_flags() {
    let script =
        Script::parse("query-unordered d text SELECT 1\n  |x\nwrite d\n  m v=1\n").unwrap();
    let [(1, _, Step::Query(query)), (3, _, Step::Write(write))] = script.steps.as_slice() else {
        panic!("{script:?}");
    };
    assert!(query.unordered && query.is_text);
    assert_eq!(write.status, 204);
}
