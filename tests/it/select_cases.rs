//! Holds the planner against the cases of `../shared/data/influxql`, where that folder is present.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use tidemark::influxql::ast::Statement;
use tidemark::influxql::params::Params;
use tidemark::model::schema::PolicySchema;
use tidemark::query::compile::{Context, PolicyView, compile};
use tidemark::query::source::{Defaults, sources};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data/influxql");
const NOW_NS: i64 = 1_700_000_000_000_000_000;

/// Constructs that parse but are not executed yet; this list only shrinks.
const NOT_YET: [&str; 5] =
    ["holt_winters()", "holt_winters_with_fit()", "integral()", "sample()", "subqueries"];

fn cases(file: &str) -> Vec<Value> {
    let path = Path::new(FOLDER).join(file);
    match std::fs::read_to_string(&path) {
        Ok(text) => text.lines().map(|line| serde_json::from_str(line).unwrap()).collect(),
        Err(_) => {
            println!("skipped: {} is absent", path.display());
            Vec::new()
        }
    }
}

/// What compiling `query` against an empty database comes to: the error's text, or "".
fn verdict(query: &str) -> String {
    let statements = match tidemark::influxql::parse(query, &Params::default()) {
        Ok(statements) => statements,
        Err(error) => return format!("error parsing query: {error}"),
    };
    let Some(Statement::Select(select)) = statements.first() else { return "no SELECT".into() };
    let defaults = Defaults { database: Some("db"), policy: None };
    let schema = PolicySchema::default();
    let view = |name| PolicyView { name, schema: &schema, oldest_kept_ns: i64::MIN };
    let policies: Vec<PolicyView<'_>> =
        sources(select, defaults).unwrap().into_iter().map(view).collect();
    let context = Context { defaults, now_ns: NOW_NS, policies: &policies };
    compile(select, &context).err().map(|error| error.to_string()).unwrap_or_default()
}

#[test]
fn statements_are_refused_in_the_words_of_1x() {
    let mut wrong = Vec::new();
    let mut unsupported = BTreeSet::new();
    for case in cases("compile_cases.jsonl") {
        let query = case["query"].as_str().unwrap();
        let expected = case["error"].as_str().unwrap_or_default();
        let got = verdict(query);
        if let Some(construct) = got.strip_prefix("not supported yet: ") {
            assert!(expected.is_empty(), "{query}: {expected}");
            unsupported.insert(construct.to_owned());
        } else if got != expected {
            wrong.push(format!("{query}\n  expected: {expected}\n  got:      {got}"));
        }
    }
    for construct in &unsupported {
        assert!(NOT_YET.contains(&construct.as_str()), "{construct} is not among NOT_YET");
    }
    assert!(wrong.is_empty(), "{} disagree:\n{}", wrong.len(), wrong.join("\n"));
}
