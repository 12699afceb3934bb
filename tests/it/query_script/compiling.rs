//! Tests only the planner with the scripts. With the schema that the previous writes have created,
//! the planner must accept a SELECT or reject it with InfluxDB's error.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tidemark::influxql;
use tidemark::influxql::ast::Statement;
use tidemark::influxql::bound_params::Params;
use tidemark::line_protocol::{self, Cause, FieldKey, Options, Sink, TimestampUnit};
use tidemark::model::configurable_limits::Limits;
use tidemark::model::ids::{ColumnId, MeasurementId};
use tidemark::model::schema::{ColumnDefinition, ColumnKind, MeasurementSchema, PolicySchema};
use tidemark::model::time::Precision;
use tidemark::model::value::FieldType;
use tidemark::query::compile::{Context, PolicyView, compile};
use tidemark::query::error::QueryError;
use tidemark::query::source::{Defaults, SourceName, sources};

use super::answer::Answer;
use super::script::{Query, Script, Step, Write};

/// These scripts change the default policy or write with SELECT, so the writes alone create another
/// schema.
const SKIPPED: &[&str] = &[
    "core/retention_policies.test",
    "core/show_across_policies.test",
    "full/drop_measurement.test",
    "full/drop_retention_policy.test",
    "full/into.test",
];

/// The first type of a field becomes the type of its column.
#[derive(Default)]
struct Columns {
    schema: PolicySchema,
    measurement: String,
    pending: Vec<(String, ColumnKind)>,
}

fn split_bare(text: &str, mark: char) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut before) = (0, ' ');
    for (at, char) in text.char_indices() {
        if char == mark && before != '\\' {
            parts.push(&text[start..at]);
            start = at + 1;
        }
        before = char;
    }
    parts.push(&text[start..]);
    parts
}

fn unescape(raw: &str) -> String {
    raw.replace("\\,", ",").replace("\\=", "=").replace("\\ ", " ")
}

impl Columns {
    fn field(&mut self, key: FieldKey<'_>, field_type: FieldType) -> Result<(), Cause> {
        let FieldKey::Raw(raw) = key else { panic!("no field was expected") };
        self.pending.push((unescape(raw), ColumnKind::Field(field_type)));
        Ok(())
    }
}

impl Sink for Columns {
    fn expected_series(&self) -> &[u8] {
        b""
    }

    fn begin_expected(&mut self) {
        panic!("no series was expected");
    }

    fn begin(&mut self, raw_key: &str) -> Result<(), (usize, Cause)> {
        let mut parts = split_bare(raw_key, ',').into_iter();
        self.measurement = unescape(parts.next().unwrap());
        let key = |tag| unescape(split_bare(tag, '=').first().unwrap());
        self.pending = parts.map(|tag| (key(tag), ColumnKind::Tag)).collect();
        Ok(())
    }

    fn expected_field(&self) -> &[u8] {
        b""
    }

    fn float(&mut self, key: FieldKey<'_>, _: f64) -> Result<(), Cause> {
        self.field(key, FieldType::Float)
    }

    fn integer(&mut self, key: FieldKey<'_>, _: i64) -> Result<(), Cause> {
        self.field(key, FieldType::Integer)
    }

    fn unsigned(&mut self, key: FieldKey<'_>, _: u64) -> Result<(), Cause> {
        self.field(key, FieldType::Unsigned)
    }

    fn boolean(&mut self, key: FieldKey<'_>, _: bool) -> Result<(), Cause> {
        self.field(key, FieldType::Boolean)
    }

    fn string(&mut self, key: FieldKey<'_>, _: &str, _: bool) -> Result<(), Cause> {
        self.field(key, FieldType::String)
    }

    fn commit(&mut self, _: i64, _: u32) -> Result<(), Cause> {
        let id = MeasurementId(u32::try_from(self.schema.measurements.len()).unwrap());
        let name = self.measurement.clone();
        let measurement = self.schema.measurements.entry(name.clone()).or_insert_with(|| {
            Arc::new(MeasurementSchema {
                id,
                name,
                version: 1,
                columns: Vec::new(),
                dropped: false,
            })
        });
        let measurement = Arc::make_mut(measurement);
        for (key, kind) in self.pending.drain(..) {
            let is_tag = kind == ColumnKind::Tag;
            let taken =
                |c: &ColumnDefinition| c.key == key && (c.kind == ColumnKind::Tag) == is_tag;
            if !measurement.columns.iter().any(taken) {
                let id = ColumnId(u32::try_from(measurement.columns.len()).unwrap());
                measurement.columns.push(ColumnDefinition { id, key, kind });
            }
        }
        Ok(())
    }

    fn rollback(&mut self) {
        self.pending.clear();
    }
}

type Schemas = BTreeMap<(String, String), Columns>;

fn policy_or_default(policy: &str) -> String {
    if policy.is_empty() { "autogen".to_owned() } else { policy.to_owned() }
}

fn register(write: &Write, schemas: &mut Schemas) {
    let place = (write.db.clone(), policy_or_default(&write.rp));
    let unit = TimestampUnit::Fixed(Precision::Second);
    let options = Options::new(unit, 0);
    let columns = schemas.entry(place).or_default();
    line_protocol::parse(write.body.as_bytes(), options, columns).unwrap();
}

/// Returns `None` for queries other than a single SELECT, and for unsupported features.
fn planner_error(query: &Query, schemas: &Schemas) -> Option<Option<String>> {
    let param = |name: &str| {
        let found = query.request.params.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    };
    let params = Params::from_json(param("params").unwrap_or_default()).ok()?;
    let statements = influxql::parse(param("q")?, &params).ok()?;
    let [Statement::Select(select)] = statements.as_slice() else { return None };
    let defaults = Defaults { database: param("db"), policy: param("rp") };
    let names: Vec<SourceName> = match sources(select, defaults) {
        Ok(names) => names,
        Err(error) => return Some(Some(error.to_string())),
    };
    let empty = PolicySchema::default();
    let views: Vec<PolicyView<'_>> = names
        .into_iter()
        .map(|name| {
            let policy = policy_or_default(name.policy.as_deref().unwrap_or_default());
            let schema = schemas.get(&(name.database.clone(), policy));
            let schema = schema.map_or(&empty, |columns| &columns.schema);
            PolicyView { name, schema, oldest_kept_ns: i64::MIN }
        })
        .collect();
    let context = Context {
        defaults,
        now_ns: 1_700_000_000_000_000_000,
        limits: Limits::default(),
        policies: &views,
    };
    match compile(select, &context) {
        Ok(_) => Some(None),
        Err(QueryError::Unsupported(_)) => None,
        Err(error) => Some(Some(error.to_string())),
    }
}

#[test]
fn script_selects_compile_as_recorded() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/query");
    let (mut checked, mut different) = (0, Vec::new());
    for path in super::script_files(&dir).unwrap() {
        let file = path.strip_prefix(&dir).unwrap().display().to_string();
        if SKIPPED.contains(&file.as_str()) {
            continue;
        }
        let script = Script::parse(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let mut schemas = Schemas::new();
        for (line, head, step) in script.steps {
            let query = match step {
                Step::Write(write) => {
                    register(&write, &mut schemas);
                    continue;
                }
                Step::Query(query) => query,
                Step::Drain => continue,
            };
            let Answer::Results(results) = &query.answer else { continue };
            let [result] = results.as_slice() else { continue };
            // The planner does not check whether databases and policies exist.
            if result.error.as_ref().is_some_and(|error| error.contains(" not found: ")) {
                continue;
            }
            let Some(error) = planner_error(&query, &schemas) else { continue };
            checked += 1;
            if error != result.error {
                different.push(format!("{file}:{line}: {head}\n  {:?}\n  {error:?}", result.error));
            }
        }
    }
    assert!(checked > 800, "only {checked} queries");
    assert!(different.is_empty(), "{} differ:\n{}", different.len(), different.join("\n"));
}
