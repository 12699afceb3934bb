//! Tests the planner with the cases of InfluxDB 1.x's own tests.

use serde_json::Value;
use tidemark_influxql::ast::Statement;
use tidemark_influxql::bound_params::Params;
use tidemark_model::configurable_limits::Limits;
use tidemark_model::schema::PolicySchema;
use tidemark_model::time::Precision;
use tidemark_query::compile::{Context, PolicyView, compile};
use tidemark_query::source::{Defaults, sources};
use tidemark_response::Options;

use crate::memory_server::{Memory, Policy};
use crate::repository::influxdata_cases;

const NOW_NS: i64 = 1_700_000_000_000_000_000;

/// Returns the error message of the planner for an empty database, or "".
fn verdict(query: &str) -> String {
    let statements = match tidemark_influxql::parse(query, &Params::default()) {
        Ok(statements) => statements,
        Err(error) => return format!("error parsing query: {error}"),
    };
    let Some(Statement::Select(select)) = statements.first() else { return "no SELECT".into() };
    let defaults = Defaults { database: Some("db"), policy: None };
    let schema = PolicySchema::default();
    let view = |name| PolicyView { name, schema: &schema, oldest_kept_ns: i64::MIN };
    let policies: Vec<PolicyView<'_>> =
        sources(select, defaults).unwrap().into_iter().map(view).collect();
    let context =
        Context { defaults, now_ns: NOW_NS, limits: Limits::default(), policies: &policies };
    compile(select, &context).err().map(|error| error.to_string()).unwrap_or_default()
}

#[test]
fn compile_errors_match_influxdb_1() {
    let mut wrong = Vec::new();
    for case in influxdata_cases("compile") {
        let query = case["query"].as_str().unwrap();
        let expected = case["error"].as_str().unwrap_or_default();
        let got = verdict(query);
        if got != expected {
            wrong.push(format!("{query}\n  expected: {expected}\n  got:      {got}"));
        }
    }
    assert!(wrong.is_empty(), "{} disagree:\n{}", wrong.len(), wrong.join("\n"));
}

/// Returns `[name, tags, time, values…]` for every row, or the error of the result.
fn flat(body: &str) -> Result<Value, String> {
    let body: Value = serde_json::from_str(body).unwrap();
    let result = &body["results"][0];
    if let Some(error) = result["error"].as_str() {
        return Err(error.to_owned());
    }
    let mut rows = Vec::new();
    for series in result["series"].as_array().into_iter().flatten() {
        for row in series["values"].as_array().into_iter().flatten() {
            let tags = series.get("tags").cloned().unwrap_or_else(|| serde_json::json!({}));
            let values = &row.as_array().unwrap()[1..];
            rows.push(serde_json::json!([series["name"], tags, row[0], values]));
        }
    }
    Ok(rows.into())
}

fn near(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => {
            let (left, right) = (left.as_f64().unwrap(), right.as_f64().unwrap());
            (left - right).abs() <= 1e-9 * left.abs().max(right.abs())
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(l, r)| near(l, r))
        }
        _ => left == right,
    }
}

#[test]
fn select_cases_match_influxdb_1() {
    let mut different = Vec::new();
    for case in influxdata_cases("select") {
        let query = case["query"].as_str().unwrap();
        let mut server = Memory::new(2, 60);
        server.now_ns = case["now_ns"].as_i64().unwrap_or(NOW_NS);
        let mut policy = Policy::default();
        policy.write(case["lines"].as_str().unwrap(), Precision::Nanosecond);
        let policies = [("autogen".to_owned(), policy)].into_iter().collect();
        server.databases.insert("db".into(), policies);
        let defaults = Defaults { database: Some("db"), policy: None };
        let form = Options { epoch: Some(Precision::Nanosecond), ..Options::default() };
        let expected = match case["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(case["rows"].clone()),
        };
        let got = flat(&server.query(query, defaults, form));
        let same = match (&expected, &got) {
            (Ok(left), Ok(right)) => near(left, right),
            (left, right) => left == right,
        };
        if !same {
            different.push(format!("{query}\n  expected {expected:?}\n  got      {got:?}"));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}
