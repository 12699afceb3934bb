use std::sync::Arc;

use super::*;
use crate::admission::QueryReservation;
use crate::executor::ExecStep;
use crate::work::Work;
use tidemark_engine::scan::page::{MeasurementSummary, SummaryPage};
use tidemark_engine::scan::read_stats::ReadStats;
use tidemark_engine::scan::request::Predicate;
use tidemark_influxql::bound_params::Params;
use tidemark_model::ids::{ColumnId, MeasurementId};
use tidemark_model::schema::{ColumnDefinition, ColumnKind, MeasurementSchema, PolicySchema};
use tidemark_model::value::FieldType;

/// Returns measurements with the tag `host`.
fn schema(measurements: u32) -> PolicySchema {
    let mut schema = PolicySchema::default();
    for n in 0..measurements {
        let host = ColumnDefinition { id: ColumnId(1), key: "host".into(), kind: ColumnKind::Tag };
        let measurement = MeasurementSchema {
            dropped: false,
            id: MeasurementId(n),
            name: format!("n{n:03}"),
            version: 1,
            columns: vec![host],
        };
        schema.measurements.insert(measurement.name.clone(), Arc::new(measurement));
    }
    schema
}

fn policy(schema: &PolicySchema) -> MetaPolicy<'_> {
    MetaPolicy { name: "autogen".into(), schema, group_duration_ns: 1 }
}

fn context<'a>(policies: &'a [MetaPolicy<'a>]) -> MetaContext<'a> {
    let defaults = Defaults::default();
    MetaContext { policies, default_policy: "autogen", defaults, now_ns: 0 }
}

fn parsed(text: &str) -> Statement {
    tidemark_influxql::parse_statement(text, &Params::default()).expect("valid")
}

#[test]
fn show_statement_reads_one_database() {
    let named = |query: &str| {
        let defaults = Defaults { database: Some("db"), ..Defaults::default() };
        database(&parsed(query), defaults)
            .expect("a SHOW statement")
            .map_err(|error| error.to_string())
    };
    assert_eq!(named("SHOW SERIES FROM a..m, a.p.n"), Ok("a".to_owned()));
    assert_eq!(named("SHOW SERIES ON a FROM m, a..n"), Ok("a".to_owned()));
    assert_eq!(named("SHOW FIELD KEYS FROM m, db..n"), Ok("db".to_owned()));
    for query in [
        "SHOW SERIES FROM a..m, b..m",
        "SHOW SERIES ON a FROM m, b..n",
        "SHOW FIELD KEYS FROM m, b..n",
        "SHOW SERIES CARDINALITY FROM a..m, b..m",
    ] {
        let refusal = named(query).expect_err(query);
        assert!(refusal.contains("one statement for each database"), "{refusal}");
    }
}

#[test]
fn long_conditions_are_divided_into_scans() {
    let schema = schema(200);
    let policies = [policy(&schema)];
    let context = context(&policies);
    // The condition has 399 operands and operators for each measurement.
    let text = format!("SHOW SERIES WHERE {}", vec!["host = 'x'"; 100].join(" OR "));
    for (text, scans, expected) in [("SHOW SERIES", vec![200], 0), (text.as_str(), vec![25; 8], 2)]
    {
        let (statement, work) = (parsed(text), Work::default());
        let compiling = compile_in_turns(&statement, &context, &work);
        let (plan, pauses) = crate::work::run_measured(&work, 2_000, compiling);
        let plan = plan.expect("a plan");
        let measurements = plan.scans.iter().map(|scan| scan.request.measurements.len());
        assert_eq!(measurements.collect::<Vec<_>>(), scans, "{text:.80}");
        assert_eq!(pauses, expected, "{text:.80}");
    }
}

#[test]
fn comparisons_with_missing_tags_are_evaluated_once() {
    let schema = schema(1);
    let policies = [policy(&schema)];
    let context = context(&policies);
    let predicate = |condition: &str| {
        let statement = parsed(&format!("SHOW SERIES WHERE {condition}"));
        let plan = compile(&statement, &context).expect("compiles");
        plan.scans[0].request.predicates[0].clone().expect("a condition")
    };
    let host = predicate("host = 'x'");
    for (condition, expected) in [
        ("nope = 'a' OR nope = 'b'", Predicate::Constant(false)),
        ("nope != 'a'", Predicate::Constant(true)),
        ("nope = 'a' OR host = 'x'", host.clone()),
        ("host = 'x' AND nope != 'a'", host.clone()),
        ("host = 'x' AND nope = 'a'", Predicate::Constant(false)),
        ("host = nope", Predicate::Constant(false)),
    ] {
        assert_eq!(predicate(condition), expected, "{condition}");
    }
}

/// Executes a SHOW CARDINALITY statement on series with one value of the tag `host` each. Returns
/// the number of pauses, the number of pauses after the first count, and the number of counts.
fn counted(text: &str, schema: &PolicySchema, series: usize) -> (usize, usize, usize) {
    let policies = [policy(schema)];
    let context = context(&policies);
    let plan = compile(&parsed(text), &context).expect("compiles");
    let (reservation, work) = (QueryReservation::default(), Work::default());
    let mut executor = MetaExecutor::new(plan, &[1], &reservation, &work);
    let (mut pauses, mut later_pauses, mut counts) = (0, 0, 0);
    loop {
        match executor.next().expect("a step") {
            ExecStep::Need(needs) => {
                let items = (0..series).map(|n| vec![format!("h{n:03}")]).collect();
                let summary = MeasurementSummary {
                    measurement: MeasurementId(0),
                    items,
                    ..MeasurementSummary::default()
                };
                let page = SummaryPage {
                    measurements: vec![summary],
                    resume: None,
                    stats: ReadStats::default(),
                };
                executor.supply(needs[0].stream, page).expect("memory");
            }
            ExecStep::Chunk(_) => counts += 1,
            ExecStep::Pause => {
                pauses += 1;
                later_pauses += usize::from(counts > 0);
            }
            ExecStep::Done => return (pauses, later_pauses, counts),
        }
    }
}

#[test]
fn series_of_many_groups_are_counted_in_turns() {
    let keys: Vec<String> = (0..999).map(|n| format!("t{n}")).collect();
    let text = format!("SHOW SERIES CARDINALITY GROUP BY host, {}", keys.join(", "));
    let (pauses, later_pauses, counts) = counted(&text, &schema(1), 600);
    assert_eq!(counts, 600);
    // The series and the groups each need three turns.
    assert!(pauses >= 5, "{pauses} pauses");
    // All counts together would need much memory.
    assert!(later_pauses >= 2, "{later_pauses} pauses after the first count");
}

#[test]
fn fields_of_many_groups_are_counted_in_turns() {
    let mut schema = schema(1);
    let measurement = schema.measurements.get_mut("n000").expect("a measurement");
    let field = |n: u32| ColumnDefinition {
        id: ColumnId(2 + n),
        key: format!("f{n:03}"),
        kind: ColumnKind::Field(FieldType::Float),
    };
    Arc::make_mut(measurement).columns.extend((0..1_000).map(field));
    let (pauses, _, counts) = counted("SHOW FIELD KEY CARDINALITY GROUP BY host", &schema, 400);
    assert_eq!(counts, 400);
    // Listing 400,000 names needs four turns. Sorting and counting these names needs seven turns.
    assert!(pauses >= 10, "{pauses} pauses");
}

#[test]
fn repeated_tag_values_take_little_memory() {
    let schema = schema(1);
    let policies = [policy(&schema)];
    let context = context(&policies);
    let plan = compile(&parsed("SHOW TAG VALUES WITH KEY = host"), &context).expect("compiles");
    let (reservation, work) = (QueryReservation::default(), Work::default());
    let mut executor = MetaExecutor::new(plan, &[1], &reservation, &work);
    let (mut pages, mut rows) = (0, 0);
    loop {
        match executor.next().expect("a step") {
            ExecStep::Need(needs) => {
                pages += 1;
                let value = |n: u32| vec!["00000".to_owned(), format!("{n:0100}")];
                let summary = MeasurementSummary {
                    measurement: MeasurementId(0),
                    items: (0..8_000).map(value).collect(),
                    ..MeasurementSummary::default()
                };
                let page = SummaryPage {
                    measurements: vec![summary],
                    resume: (pages < 60).then(|| (0, vec![pages.to_string()])),
                    stats: ReadStats::default(),
                };
                executor.supply(needs[0].stream, page).expect("memory");
            }
            ExecStep::Chunk(chunk) => rows += chunk.rows,
            ExecStep::Pause => {}
            ExecStep::Done => break,
        }
    }
    assert_eq!((pages, rows), (60, 8_000));
}
