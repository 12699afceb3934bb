//! Runs the planner, the executor and the writer on points in memory, without messages or a store.
//! With several shards and very small pages, the tests show that the edge's part of a query does
//! not depend on the distribution of points or on the boundaries of pages.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use tidemark_engine::batch::column::Column;
use tidemark_engine::batch::from_lines::from_lines;
use tidemark_engine::batch::series_table::{SeriesTable, TagColumn};
use tidemark_engine::batch::{Block, FrameTable};
use tidemark_engine::memtable::Memtable;
use tidemark_engine::scan::page::CELLS_PER_PAGE_MAX;
use tidemark_engine::scan::{PageLimits, SummaryLimits, TileLimits, scan, summarise};
use tidemark_influxql::ast::Statement;
use tidemark_influxql::bound_params::Params;
use tidemark_line_protocol::{Options, TimestampUnit};
use tidemark_model::configurable_limits::Limits;
use tidemark_model::ids::{ColumnId, MeasurementId};
use tidemark_model::schema::{ColumnDefinition, ColumnKind, MeasurementSchema, PolicySchema};
use tidemark_model::series::series_hash;
use tidemark_model::time::Precision;
use tidemark_model::value::FieldValue;
use tidemark_query::admission::QueryReservation;
use tidemark_query::compile::{Context, PolicyView, compile};
use tidemark_query::executor::{ExecStep, Executor, SubquerySteps};
use tidemark_query::metadata::{self, MetaContext, MetaExecutor, MetaPolicy};
use tidemark_query::result::SeriesChunk;
use tidemark_query::source::{Defaults, sources};
use tidemark_query::work::Work;
use tidemark_response::{Ending, Options as Form, Writer, writer};

use crate::memory_rows::MemoryRows;

/// The number of rows in each part of a chunk.
const ROWS_AT_A_TIME: usize = 3;

type Tags = Vec<(ColumnId, String)>;
type Fields = BTreeMap<ColumnId, FieldValue>;

#[derive(Default)]
pub(crate) struct Policy {
    pub(crate) schema: PolicySchema,
    points: BTreeMap<MeasurementId, BTreeMap<Tags, BTreeMap<i64, Fields>>>,
    /// The memtables by the shard and the number of shards.
    memtables: RefCell<BTreeMap<(u64, u64), Rc<Memtable>>>,
}

/// The databases by name, with their retention policies. The default policy is `autogen`.
pub(crate) struct Memory {
    pub(crate) databases: BTreeMap<String, BTreeMap<String, Policy>>,
    pub(crate) shards: u64,
    pub(crate) page_bytes: usize,
    pub(crate) now_ns: i64,
}

impl Policy {
    pub(crate) fn write(&mut self, body: &str, precision: Precision) {
        self.memtables.take();
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

    fn memtable(&self, shard: u64, shards: u64) -> Rc<Memtable> {
        let mut known = self.memtables.borrow_mut();
        let make = || Rc::new(self.new_memtable(shard, shards));
        Rc::clone(known.entry((shard, shards)).or_insert_with(make))
    }

    fn new_memtable(&self, shard: u64, shards: u64) -> Memtable {
        let mut memtable = Memtable::new(7);
        for (&id, points) in &self.points {
            let schema = self.schema.measurements.values().find(|m| m.id == id).unwrap();
            let key = |id| schema.columns.iter().find(|c| c.id == id).unwrap().key.as_str();
            let hash = |tags: &Tags| {
                series_hash("", tags.iter().map(|(id, value)| (key(*id), value.as_str())))
            };
            for (tags, rows) in points.iter().filter(|(tags, _)| hash(tags) % shards == shard) {
                for (&time_ns, fields) in rows {
                    memtable.append(&row(id, tags, time_ns, fields));
                }
            }
        }
        memtable
    }
}

fn row(measurement: MeasurementId, tags: &Tags, time_ns: i64, fields: &Fields) -> FrameTable {
    let tag = |(_, value): &(ColumnId, String)| TagColumn {
        dictionary: [value.as_str()].into_iter().collect(),
        codes: vec![1],
    };
    let column = |value: &FieldValue| {
        let mut values = tidemark_engine::batch::column::Values::new(value.field_type());
        push(&mut values, value);
        Column::full(values)
    };
    FrameTable {
        measurement,
        tag_ids: tags.iter().map(|(id, _)| *id).collect(),
        field_ids: fields.keys().copied().collect(),
        block: Block {
            series: SeriesTable { tags: tags.iter().map(tag).collect(), len: 1 },
            row_series: vec![0],
            times_ns: vec![time_ns],
            fields: fields.values().map(column).collect(),
        },
    }
}

fn push(values: &mut tidemark_engine::batch::column::Values, value: &FieldValue) {
    use tidemark_engine::batch::column::Values;
    match (values, value) {
        (Values::Float(values), FieldValue::Float(value)) => values.push(*value),
        (Values::Integer(values), FieldValue::Integer(value)) => values.push(*value),
        (Values::Unsigned(values), FieldValue::Unsigned(value)) => values.push(*value),
        (Values::String(values), FieldValue::String(value)) => values.push(value),
        (Values::Boolean(values), FieldValue::Boolean(value)) => values.push(*value),
        _ => panic!("types differ"),
    }
}

fn write(writer: &mut dyn Writer, chunk: &SeriesChunk) {
    let mut from = 0;
    loop {
        let to = chunk.rows.min(from + ROWS_AT_A_TIME);
        from = writer.series(chunk, from..to).unwrap();
        if from == chunk.rows {
            return;
        }
    }
}

impl Memory {
    pub(crate) fn new(shards: u64, page_bytes: usize) -> Self {
        Self { databases: BTreeMap::new(), shards, page_bytes, now_ns: 0 }
    }

    fn limits(&self) -> PageLimits {
        PageLimits {
            bytes: self.page_bytes,
            decoded_bytes: self.page_bytes as u64,
            cells: CELLS_PER_PAGE_MAX,
            tile: TileLimits::LEAST,
        }
    }

    pub(crate) fn query(&mut self, query: &str, defaults: Defaults<'_>, form: Form) -> String {
        let params = Params::default();
        let statements = match tidemark_influxql::parse(query, &params) {
            Ok(statements) => statements,
            Err(error) => {
                let text = format!("error parsing query: {error}");
                let text = serde_json::to_string(&text).unwrap();
                let text = text.replace('<', "\\u003c").replace('>', "\\u003e");
                return format!("{{\"error\":{text}}}\n");
            }
        };
        let mut writer = writer(form);
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
                    chunks.iter().for_each(|chunk| write(&mut *writer, chunk));
                    None
                }
                Err(error) => Some(error),
            };
            failed |= error.is_some();
            writer.statement_end(error.as_deref().map_or(Ending::Done, Ending::Failed));
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
        select: &tidemark_influxql::ast::SelectStatement,
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
        let context =
            Context { defaults, now_ns: self.now_ns, limits: Limits::default(), policies: &views };
        let plan = compile(select, &context).map_err(|error| error.to_string())?;
        let scans = plan.scans.clone();
        let shards = vec![self.shards as u32; scans.len()];
        // The batches and pieces of a subquery are as small as the pages.
        let steps = SubquerySteps { batch_bytes: self.page_bytes, cells: self.page_bytes as u64 };
        let (room, work) = (QueryReservation::default(), Work::default());
        let mut executor = Executor::in_steps(plan, &shards, &room, &work, steps);
        let mut chunks = Vec::new();
        loop {
            match executor.next().map_err(|error| error.to_string())? {
                ExecStep::Done => return Ok(chunks),
                ExecStep::Chunk(chunk) => chunks.push(chunk),
                ExecStep::Pause => {}
                ExecStep::Need(needs) => {
                    assert!(!needs.is_empty(), "needs nothing and goes nowhere");
                    // The order is reversed, because no result may depend on the order.
                    for need in needs.into_iter().rev() {
                        let source = &scans[need.stream.scan as usize].source;
                        let policy = source.policy.as_deref().unwrap_or("autogen");
                        let policy = &self.databases[&source.database][policy];
                        let memtable = policy.memtable(need.stream.shard.into(), self.shards);
                        let rows = MemoryRows::new(&memtable);
                        let page = scan(&rows, &need.request, self.limits()).unwrap();
                        executor.supply(need.stream, page).map_err(|error| error.to_string())?;
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
        let shards = vec![self.shards as u32; scans.len()];
        let (room, work) = (QueryReservation::default(), Work::default());
        let mut executor = MetaExecutor::new(plan, &shards, &room, &work);
        let mut chunks = Vec::new();
        loop {
            match executor.next().map_err(|error| error.to_string())? {
                ExecStep::Done => return Ok(chunks),
                ExecStep::Pause => {}
                ExecStep::Chunk(chunk) => chunks.push(chunk),
                ExecStep::Need(needs) => {
                    assert!(!needs.is_empty(), "needs nothing and goes nowhere");
                    for need in needs {
                        let policy = &policies[&scans[need.stream.scan as usize].policy];
                        let memtable = policy.memtable(need.stream.shard.into(), self.shards);
                        let rows = MemoryRows::new(&memtable);
                        let PageLimits { bytes, decoded_bytes, .. } = self.limits();
                        let limits = SummaryLimits { bytes, decoded_bytes, keys: bytes as u64 };
                        let page = summarise(&rows, &need.request, limits).unwrap();
                        executor.supply(need.stream, page).map_err(|error| error.to_string())?;
                    }
                }
            }
        }
    }
}
