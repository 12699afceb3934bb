//! The planner, the executor and the writer over points in memory: no wire, no store.
//!
//! What a whole server answers is tested elsewhere; here several shards and tiny pages show that
//! the edge's half of a query does not depend on how the points are spread or cut.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use tidemark::batch::column::{Column, StringColumn};
use tidemark::batch::from_lines::from_lines;
use tidemark::batch::series_table::{SeriesTable, TagColumn};
use tidemark::batch::{Block, FrameTable};
use tidemark::influxql::ast::Statement;
use tidemark::influxql::bound_params::Params;
use tidemark::line_protocol::{Options, TimestampUnit};
use tidemark::memtable::Memtable;
use tidemark::model::ids::{ColumnId, MeasurementId};
use tidemark::model::limits::BUCKETS_PER_QUERY_MAX;
use tidemark::model::schema::{ColumnDefinition, ColumnKind, MeasurementSchema, PolicySchema};
use tidemark::model::series::series_hash;
use tidemark::model::time::{Precision, TimeRange};
use tidemark::model::value::FieldValue;
use tidemark::query::compile::{Context, PolicyView, compile};
use tidemark::query::executor::{ExecStep, Executor};
use tidemark::query::metadata::{self, MetaContext, MetaExecutor, MetaPolicy, MetaStep};
use tidemark::query::result::SeriesChunk;
use tidemark::query::source::{Defaults, sources};
use tidemark::response::{Options as Form, Writer};
use tidemark::scan::source::{Part, ReadStats, Rows, Run, Source, SourceError};
use tidemark::scan::{PageLimits, SummaryLimits, scan, summarise};

use crate::memory_rows::MemoryRows;

type Tags = Vec<(ColumnId, String)>;
type Fields = BTreeMap<ColumnId, FieldValue>;

/// The points of one policy.
#[derive(Default)]
pub(crate) struct Policy {
    pub(crate) schema: PolicySchema,
    points: BTreeMap<MeasurementId, BTreeMap<Tags, BTreeMap<i64, Fields>>>,
}

/// Databases by name, each with its policies; the default one is `autogen`.
pub(crate) struct Memory {
    pub(crate) databases: BTreeMap<String, BTreeMap<String, Policy>>,
    pub(crate) shards: u64,
    pub(crate) page_bytes: usize,
    pub(crate) now_ns: i64,
}

impl Policy {
    pub(crate) fn write(&mut self, body: &str, precision: Precision) {
        let options = Options::new(TimestampUnit::Fixed(precision), 0);
        let (batch, _) = from_lines(body.as_bytes(), options, 1).unwrap();
        for measurement in batch.measurements {
            let block = &measurement.block;
            for row in 0..block.rows() {
                let series = block.row_series[row] as usize;
                let mut tags = Tags::new();
                for (key, column) in measurement.tag_keys.iter().zip(&block.series.tags) {
                    if !column.get(series).is_empty() {
                        let (_, id) = self.column(&measurement.name, key, ColumnKind::Tag);
                        tags.push((id, column.get(series).to_owned()));
                    }
                }
                tags.sort();
                for (key, column) in measurement.field_keys.iter().zip(&block.fields) {
                    let Some(value) = column.get(row) else { continue };
                    let kind = ColumnKind::Field(value.field_type());
                    let (of, id) = self.column(&measurement.name, key, kind);
                    let rows = self.points.entry(of).or_default().entry(tags.clone()).or_default();
                    rows.entry(block.times_ns[row]).or_default().insert(id, value);
                }
            }
        }
    }

    fn column(&mut self, name: &str, key: &str, kind: ColumnKind) -> (MeasurementId, ColumnId) {
        let next = MeasurementId(self.schema.measurements.len() as u32);
        let measurement = self.schema.measurements.entry(name.to_owned()).or_insert_with(|| {
            let columns = Vec::new();
            Arc::new(MeasurementSchema {
                id: next,
                name: name.to_owned(),
                version: 1,
                columns,
                dropped: false,
            })
        });
        let measurement = Arc::make_mut(measurement);
        let id = match measurement.columns.iter().find(|c| c.key == key && c.kind == kind) {
            Some(column) => column.id,
            None => {
                let id = ColumnId(measurement.columns.len() as u32 + 1);
                measurement.columns.push(ColumnDefinition { id, key: key.to_owned(), kind });
                id
            }
        };
        (measurement.id, id)
    }

    /// The points of one shard of `shards` as a memtable.
    fn memtable(&self, shard: u64, shards: u64) -> Memtable {
        let mut memtable = Memtable::new(7);
        for &id in self.points.keys() {
            let mut of = self.shard(shard, shards);
            let parts = of.parts(id, TimeRange::ALL).unwrap();
            let Some(Part { tag_ids, field_ids, series, .. }) = parts.first() else { continue };
            let rows: Vec<(usize, i64, &Fields)> = (of.current.iter().enumerate())
                .flat_map(|(series, (_, rows))| {
                    rows.iter().map(move |(&time, f)| (series, time, f))
                })
                .collect();
            for &field_id in &**field_ids {
                let rows = rows.iter().filter(|(.., fields)| fields.contains_key(&field_id));
                let rows: Vec<_> = rows.collect();
                let Some((.., fields)) = rows.first() else { continue };
                let mut column = Column::new(fields[&field_id].field_type());
                for (.., fields) in &rows {
                    let value = &fields[&field_id];
                    let mut one = tidemark::batch::column::Values::new(value.field_type());
                    push(&mut one, value);
                    column.push_from(&Column::full(one), 0);
                }
                let block = Block {
                    series: (**series).clone(),
                    row_series: rows.iter().map(|(series, ..)| *series as u32).collect(),
                    times_ns: rows.iter().map(|(_, time_ns, _)| *time_ns).collect(),
                    fields: vec![column],
                };
                memtable.append(&FrameTable {
                    measurement: id,
                    tag_ids: tag_ids.to_vec(),
                    field_ids: vec![field_id],
                    block,
                });
            }
        }
        memtable
    }

    /// The points of one shard of `shards`.
    fn shard(&self, shard: u64, shards: u64) -> Shard<'_> {
        Shard { policy: self, shard, shards, current: Vec::new(), stats: ReadStats::default() }
    }
}

struct Shard<'a> {
    policy: &'a Policy,
    shard: u64,
    shards: u64,
    current: Vec<(&'a Tags, &'a BTreeMap<i64, Fields>)>,
    stats: ReadStats,
}

impl Source for Shard<'_> {
    fn parts(&mut self, id: MeasurementId, _: TimeRange) -> Result<Vec<Part>, SourceError> {
        let Some(schema) = self.policy.schema.measurements.values().find(|m| m.id == id) else {
            return Ok(Vec::new());
        };
        let hash = |tags: &Tags| {
            let key = |id| schema.columns.iter().find(|c| c.id == id).unwrap().key.as_str();
            series_hash("", tags.iter().map(|(id, value)| (key(*id), value.as_str())))
        };
        let all = self.policy.points.get(&id).into_iter().flatten();
        self.current = all.filter(|(tags, _)| hash(tags) % self.shards == self.shard).collect();
        if self.current.is_empty() {
            return Ok(Vec::new());
        }
        let tag_ids: Vec<ColumnId> = schema.tags().map(|column| column.id).collect();
        let column = |id: &ColumnId| {
            let (mut dictionary, mut codes) = (StringColumn::default(), Vec::new());
            for (tags, _) in &self.current {
                let value = tags.iter().find(|(tag, _)| tag == id).map(|(_, value)| value);
                codes.push(value.map_or(0, |value| {
                    let known = dictionary.iter().position(|known| known == value);
                    known.unwrap_or_else(|| {
                        dictionary.push(value);
                        dictionary.len() - 1
                    }) as u32
                        + 1
                }));
            }
            TagColumn { dictionary, codes }
        };
        let tags = tag_ids.iter().map(column).collect();
        let len = self.current.len() as u32;
        Ok(vec![Part {
            time: TimeRange::ALL,
            tag_ids: tag_ids.into(),
            series: Rc::new(SeriesTable { tags, len }),
            field_ids: schema.fields().map(|(column, _)| column.id).collect(),
            rows: self.current.iter().map(|(_, rows)| rows.len() as u64).sum(),
            tombstones: false,
        }])
    }

    fn runs(
        &mut self,
        _: usize,
        series: u32,
        time: TimeRange,
        columns: &[ColumnId],
    ) -> Result<Vec<Run>, SourceError> {
        let (_, all) = self.current[series as usize];
        let rows: Vec<(&i64, &Fields)> = all.iter().filter(|(t, _)| time.contains(**t)).collect();
        let mut block = Rows { times_ns: rows.iter().map(|(t, _)| **t).collect(), columns: vec![] };
        for id in columns {
            let mut column: Option<Column> = None;
            for (index, (_, fields)) in rows.iter().enumerate() {
                let Some(value) = fields.get(id) else {
                    if let Some(column) = &mut column {
                        column.push_null();
                    }
                    continue;
                };
                let column = column.get_or_insert_with(|| {
                    let mut column = Column::new(value.field_type());
                    column.extend_nulls(index);
                    column
                });
                let mut one = tidemark::batch::column::Values::new(value.field_type());
                push(&mut one, value);
                column.push_from(&Column::full(one), 0);
            }
            block.columns.extend(column.map(|column| (*id, column)));
        }
        let count = rows.len();
        self.stats.bytes_decoded += count as u64;
        Ok(if count == 0 { vec![] } else { vec![Run { block: Rc::new(block), rows: 0..count }] })
    }

    fn stats(&self) -> ReadStats {
        self.stats
    }
}

fn push(values: &mut tidemark::batch::column::Values, value: &FieldValue) {
    use tidemark::batch::column::Values;
    match (values, value) {
        (Values::Float(values), FieldValue::Float(value)) => values.push(*value),
        (Values::Integer(values), FieldValue::Integer(value)) => values.push(*value),
        (Values::Unsigned(values), FieldValue::Unsigned(value)) => values.push(*value),
        (Values::String(values), FieldValue::String(value)) => values.push(value),
        (Values::Boolean(values), FieldValue::Boolean(value)) => values.push(*value),
        _ => panic!("types differ"),
    }
}

impl Memory {
    pub(crate) fn new(shards: u64, page_bytes: usize) -> Self {
        Self { databases: BTreeMap::new(), shards, page_bytes, now_ns: 0 }
    }

    fn limits(&self) -> PageLimits {
        PageLimits { bytes: self.page_bytes, decoded_bytes: self.page_bytes as u64 }
    }

    /// The body of an answer to `query`.
    pub(crate) fn query(&mut self, query: &str, defaults: Defaults<'_>, form: Form) -> String {
        let params = Params::default();
        let statements = match tidemark::influxql::parse(query, &params) {
            Ok(statements) => statements,
            Err(error) => {
                let text = format!("error parsing query: {error}");
                let text = serde_json::to_string(&text).unwrap();
                let text = text.replace('<', "\\u003c").replace('>', "\\u003e");
                return format!("{{\"error\":{text}}}\n");
            }
        };
        let mut writer = Writer::new(form);
        let mut failed = false;
        for (id, statement) in statements.iter().enumerate() {
            writer.statement_begin(id as u32);
            let result = if failed {
                Err("not executed".to_owned())
            } else {
                self.statement(statement, defaults)
            };
            let error = match result {
                Ok(chunks) => {
                    chunks.iter().for_each(|chunk| assert!(writer.series(chunk)));
                    None
                }
                Err(error) => Some(error),
            };
            failed |= error.is_some();
            writer.statement_end(error.as_deref());
        }
        writer.finish();
        String::from_utf8(writer.take_bytes()).unwrap()
    }

    fn statement(
        &mut self,
        statement: &Statement,
        defaults: Defaults<'_>,
    ) -> Result<Vec<SeriesChunk>, String> {
        match statement {
            Statement::CreateDatabase(create) => {
                let policies = self.databases.entry(create.name.clone()).or_default();
                policies.entry("autogen".into()).or_default();
                Ok(Vec::new())
            }
            Statement::CreateRetentionPolicy(create) => {
                let policies = self.databases.entry(create.database.clone()).or_default();
                policies.entry(create.name.clone()).or_default();
                Ok(Vec::new())
            }
            Statement::Select(select) => self.select(select, defaults),
            other => match metadata::database(other, defaults) {
                Some(Ok(database)) => self.show(other, &database, defaults),
                Some(Err(error)) => Err(error.to_string()),
                None => Err(format!("this server cannot: {other}")),
            },
        }
    }

    pub(crate) fn select(
        &self,
        select: &tidemark::influxql::ast::SelectStatement,
        defaults: Defaults<'_>,
    ) -> Result<Vec<SeriesChunk>, String> {
        let mut views = Vec::new();
        for name in sources(select, defaults).map_err(|error| error.to_string())? {
            let policies = self.databases.get(&name.database);
            let policies = policies.ok_or(format!("database not found: {}", name.database))?;
            let policy = name.policy.as_deref().unwrap_or("autogen");
            let missing = format!("retention policy not found: {policy}");
            let schema = &policies.get(policy).ok_or(missing)?.schema;
            views.push(PolicyView { name, schema, oldest_kept_ns: i64::MIN });
        }
        let context = Context {
            defaults,
            now_ns: self.now_ns,
            buckets_max: BUCKETS_PER_QUERY_MAX,
            policies: &views,
        };
        let plan = compile(select, &context).map_err(|error| error.to_string())?;
        let scans = plan.scans.clone();
        let shards = vec![self.shards as u32; scans.len()];
        // Batches of a subquery's rows are as small as pages.
        let mut executor = Executor::in_batches(plan, &shards, self.page_bytes);
        let mut chunks = Vec::new();
        loop {
            match executor.next().map_err(|error| error.to_string())? {
                ExecStep::Done => return Ok(chunks),
                ExecStep::Chunk(chunk) => chunks.push(chunk),
                ExecStep::Need(needs) => {
                    assert!(!needs.is_empty(), "needs nothing and goes nowhere");
                    // In the opposite order: nothing may depend on it.
                    for need in needs.into_iter().rev() {
                        let source = &scans[need.stream.scan as usize].source;
                        let policy = source.policy.as_deref().unwrap_or("autogen");
                        let policy = &self.databases[&source.database][policy];
                        let mut shard = policy.shard(need.stream.shard.into(), self.shards);
                        let page = scan(&mut shard, &need.request, self.limits()).unwrap();
                        executor.supply(need.stream, page);
                    }
                }
            }
        }
    }

    fn show(
        &self,
        statement: &Statement,
        database: &str,
        defaults: Defaults<'_>,
    ) -> Result<Vec<SeriesChunk>, String> {
        let Some(policies) = self.databases.get(database) else {
            let otherwise = metadata::of_missing_database(statement);
            let error = || format!("database not found: {database}");
            return Ok(otherwise.ok_or_else(error)?.into_iter().collect());
        };
        let schemas: Vec<MetaPolicy<'_>> = (policies.iter())
            .map(|(name, policy)| MetaPolicy {
                name: name.clone(),
                schema: &policy.schema,
                group_duration_ns: 7 * 86_400_000_000_000,
            })
            .collect();
        let context = MetaContext {
            policies: &schemas,
            default_policy: "autogen",
            defaults,
            now_ns: self.now_ns,
        };
        let plan = metadata::compile(statement, &context).map_err(|error| error.to_string())?;
        let scans = plan.scans.clone();
        let mut executor = MetaExecutor::new(plan, &vec![self.shards as u32; scans.len()]);
        let mut chunks = Vec::new();
        loop {
            match executor.next().map_err(|error| error.to_string())? {
                MetaStep::Done => return Ok(chunks),
                MetaStep::Chunk(chunk) => chunks.push(chunk),
                MetaStep::Need(needs) => {
                    assert!(!needs.is_empty(), "needs nothing and goes nowhere");
                    for need in needs {
                        let policy = &policies[&scans[need.stream.scan as usize].policy];
                        let memtable = policy.memtable(need.stream.shard.into(), self.shards);
                        let rows = MemoryRows::new(&memtable);
                        let PageLimits { bytes, decoded_bytes } = self.limits();
                        let limits = SummaryLimits { bytes, decoded_bytes, keys: bytes as u64 };
                        let page = summarise(&rows, &need.request, limits).unwrap();
                        executor.supply(need.stream, page);
                    }
                }
            }
        }
    }
}
