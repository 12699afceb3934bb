//! The parser alone against the scripts: it refuses what InfluxDB refused, in the same words, and
//! takes everything else.

use std::path::Path;

use tidemark::influxql;
use tidemark::influxql::params::Params;

use super::answer::Answer;
use super::script::{Query, Script, Step};

/// Steps that the parser answers otherwise for now; one that agrees must leave this list.
const EXCEPTIONS: &[&str] = &[
    // Go's words for what is wrong with a regex, and its refusal of `**`.
    "query db0 SELECT v FROM m WHERE host =~ /(/",
    "query db0 SELECT v FROM m WHERE host =~ /a**/",
    "query db0 SELECT f FROM /(/",
];

/// Why InfluxDB could not parse the request, if so.
fn recorded_error(answer: &Answer) -> Option<String> {
    let Answer::Failed { status: 400, body } = answer else { return None };
    let body: serde_json::Value = serde_json::from_str(body).ok()?;
    body.get("error")?.as_str().map(ToOwned::to_owned)
}

fn parser_error(query: &Query) -> Option<String> {
    let param = |name: &str| {
        let found = query.request.params.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value)
    };
    let params = match Params::from_json(param("params")) {
        Ok(params) => params,
        Err(error) => return Some(error.to_string()),
    };
    let error = influxql::parse(param("q"), &params).err()?;
    Some(format!("error parsing query: {error}"))
}

#[test]
fn every_script_is_refused_or_taken_by_the_parser_as_recorded() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/query");
    let (mut checked, mut different) = (0, Vec::new());
    for path in super::script_files(&dir).unwrap() {
        let script = Script::parse(&std::fs::read_to_string(&path).unwrap()).unwrap();
        for (line, head, step) in script.steps {
            let Step::Query(query) = step else { continue };
            // An empty text never reaches the parser, CSV and pretty errors are not plain JSON.
            if head.ends_with(" text") || query.request.accept.is_some() {
                continue;
            }
            checked += 1;
            let (expected, actual) = (recorded_error(&query.answer), parser_error(&query));
            if (expected == actual) == EXCEPTIONS.contains(&head.as_str()) {
                let at = path.display();
                different.push(format!("{at}:{line}: {head}\n  {expected:?}\n  {actual:?}"));
            }
        }
    }
    assert!(checked > 1000, "only {checked} queries");
    assert!(different.is_empty(), "{} differ:\n{}", different.len(), different.join("\n"));
}
