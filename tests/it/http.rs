//! Runs the scripts `tests/data/http/*.http`. A script contains raw requests, and the exact status,
//! headers and body of each response. `tests/data/http/README.md` describes the format.

use std::fs;
use std::path::Path;

use tidemark_server::http::{RequestHead, Response};

use crate::product::{Product, header};

#[derive(Debug, Default)]
struct Case {
    line: usize,
    head: RequestHead,
    body: Vec<u8>,
    status: u16,
    headers: Vec<(String, String)>,
    absent: Vec<String>,
    reply: String,
}

#[test]
fn every_http_script_passes() {
    let mut faults = Vec::new();
    let mut cases = 0;
    every_case(|place, case, response| {
        cases += 1;
        if let Some(fault) = compare(case, response) {
            faults.push(format!("{place}:{}: {fault}", case.line));
        }
    });
    assert!(cases > 20, "only {cases} cases were found");
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

pub(crate) fn answered() -> Vec<(String, String, u16)> {
    let mut all = Vec::new();
    every_case(|_, case, response| {
        all.push((case.head.method.clone(), case.head.route().to_owned(), response.status));
    });
    all
}

/// Calls `look` with the name of the script, each request, and its response.
fn every_case(mut look: impl FnMut(&str, &Case, &Response)) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/http");
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "http") {
            continue;
        }
        let script = fs::read_to_string(&path).unwrap();
        let mut product = Product::with(&settings(&script));
        let mut last = Vec::new();
        for mut case in parse(&script) {
            fill(&mut case, &last);
            let response = product.request(case.head.clone(), case.body.clone());
            remember(&response.body, &mut last);
            look(&path.display().to_string(), &case, &response);
        }
    }
}

/// The placeholders for an `"id"`, a `"token"` and a `"hash"` in earlier responses.
const REMEMBERED: [(&str, &str); 3] =
    [("$ID", "\"id\":\""), ("$TOKEN", "\"token\":\""), ("$HASH", "\"hash\":\"")];

/// Appends the first id, the first token and the first hash in a response to `last`, whose newest
/// values are at the end.
fn remember(reply: &[u8], last: &mut Vec<(&str, String)>) {
    let reply = String::from_utf8_lossy(reply);
    for (name, key) in REMEMBERED {
        let value = reply.split_once(key).and_then(|(_, rest)| rest.split_once('"'));
        last.extend(value.map(|(value, _)| (name, value.to_owned())));
    }
}

fn fill(case: &mut Case, last: &[(&str, String)]) {
    let fill = |text: &mut String| {
        for (name, value) in last.iter().rev() {
            *text = text.replace(name, value);
        }
    };
    fill(&mut case.head.path);
    fill(&mut case.head.query);
    case.head.headers.iter_mut().for_each(|(_, value)| fill(value));
    if let Ok(mut body) = String::from_utf8(case.body.clone()) {
        fill(&mut body);
        case.body = body.into_bytes();
    }
}

/// Returns the settings in the lines `#! NAME=value` of a script.
fn settings(script: &str) -> Vec<(&str, &str)> {
    let lines = script.lines().filter_map(|line| line.strip_prefix("#! "));
    lines.map(|line| line.split_once('=').unwrap()).collect()
}

fn parse(script: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    let numbered: Vec<(usize, &str)> = script.lines().enumerate().collect();
    for block in numbered.split(|(_, line)| line.trim().is_empty()) {
        let mut lines = block.iter().filter(|(_, line)| !line.starts_with('#')).peekable();
        let Some((at, request)) = lines.next() else { continue };
        let mut case = Case { line: at + 1, ..Case::default() };
        let (method, target) = request.split_once(' ').unwrap();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        case.head.method = method.into();
        case.head.path = path.into();
        case.head.query = query.into();
        let (mut plain, mut members) = (Vec::new(), Vec::<Vec<&str>>::new());
        for (_, line) in lines.by_ref() {
            if let Ok(status) = line.trim().parse() {
                case.status = status;
                break;
            } else if let Some(hex) = line.strip_prefix(">hex ") {
                let digits = hex.as_bytes().chunks(2);
                let byte =
                    |pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
                case.body.extend(digits.map(byte));
            } else if *line == ">gzip" {
                members.push(Vec::new());
            } else if let Some(text) = line.strip_prefix('>') {
                let text = text.strip_prefix(' ').unwrap_or(text);
                members.last_mut().unwrap_or(&mut plain).push(text);
            } else {
                let (name, value) = line.split_once(": ").unwrap();
                case.head.headers.push((name.to_lowercase(), value.into()));
            }
        }
        case.body.extend(raw(&plain));
        for member in members {
            case.body.extend(crate::product::gzip(&raw(&member)));
        }
        let mut reply = Vec::new();
        for (_, line) in lines {
            let header = line
                .split_once(": ")
                .filter(|(name, _)| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
            match (line.strip_prefix('!'), header) {
                (Some(name), _) => case.absent.push(name.into()),
                (None, Some((name, value))) if reply.is_empty() => {
                    case.headers.push((name.into(), value.into()));
                }
                _ => reply.push(*line),
            }
        }
        case.reply = reply.join("\n");
        cases.push(case);
    }
    cases
}

/// Unicode control pictures represent unprintable characters.
fn raw(lines: &[&str]) -> Vec<u8> {
    lines.join("\n").replace('␀', "\0").replace('␍', "\r").into_bytes()
}

fn compare(case: &Case, response: &Response) -> Option<String> {
    let body = String::from_utf8_lossy(&response.body);
    let body = body.strip_suffix('\n').unwrap_or(&body);
    if response.status != case.status {
        return Some(format!("status {} instead of {}: {body}", response.status, case.status));
    }
    for (name, value) in &case.headers {
        let found = header(response, name);
        if !found.is_some_and(|found| fits(value, found)) {
            return Some(format!("header {name} is {found:?} instead of {value:?}"));
        }
    }
    if let Some(name) = case.absent.iter().find(|name| header(response, name).is_some()) {
        return Some(format!("header {name} should not be there"));
    }
    (!fits(&case.reply, body))
        .then(|| format!("the body is\n  {body}\ninstead of\n  {}", case.reply))
}

/// Whether `text` matches `pattern`, in which `*` matches any text.
fn fits(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut last = None;
    for piece in pieces {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
        last = Some(piece);
    }
    rest.is_empty() || last.is_some_and(|piece| text.ends_with(piece))
}

#[test]
fn http_comparison_detects_differences() {
    assert!(fits("a*c", "abc") && fits("a*", "a") && fits("", "") && fits("*c", "acbc"));
    assert!(!fits("a*c", "abd") && !fits("a", "ab") && !fits("", "x"));
    let script = "GET /ping\nX: y\n> b\n204\nA: b\n!C\n{}\n";
    let case = parse(script).pop().unwrap();
    assert_eq!((case.head.method.as_str(), case.body.as_slice()), ("GET", &b"b"[..]));
    let good = Response::empty(204).with_header("a", "b");
    let good = Response { body: b"{}\n".to_vec(), ..good };
    assert_eq!(compare(&case, &good), None);
    for bad in [
        Response { status: 200, ..good.clone() },
        Response { body: b"{ }".to_vec(), ..good.clone() },
        Response { headers: Vec::new(), ..good.clone() },
        good.clone().with_header("C", "x"),
    ] {
        assert!(compare(&case, &bad).is_some(), "{bad:?}");
    }
}
