//! Tests only the parser with the scripts. It must reject the statements that InfluxDB rejected,
//! with the same errors. It must accept all other statements.

use std::path::Path;

use tidemark::influxql;
use tidemark::influxql::bound_params::Params;

use super::answer::Answer;
use super::script::{Query, Script, Step};

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
fn script_queries_parse_as_recorded() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/query");
    let (mut checked, mut different) = (0, Vec::new());
    for path in super::script_files(&dir).unwrap() {
        let script = Script::parse(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let file = path.strip_prefix(&dir).unwrap().display().to_string();
        for (line, head, step) in script.steps {
            let Step::Query(query) = step else { continue };
            // CSV and pretty-printed errors are not a single line of JSON.
            if query.is_text {
                continue;
            }
            checked += 1;
            let (expected, actual) = (recorded_error(&query.answer), parser_error(&query));
            if expected != actual {
                different.push(format!("{file}:{line}: {head}\n  {expected:?}\n  {actual:?}"));
            }
        }
    }
    assert!(checked > 1000, "only {checked} queries");
    assert!(different.is_empty(), "{} differ:\n{}", different.len(), different.join("\n"));
}
