//! An in-memory database that responds to a query's requests. The database evaluates every
//! condition for every row. A seed determines how the rows are distributed over shards and pages.

use std::collections::BTreeMap;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use tidemark_engine::batch::column::{Column, StringColumn, Values};
use tidemark_engine::protocol::scan_page;
use tidemark_engine::scan::page::{Group, GroupData};
use tidemark_engine::scan::request::Comparison;
use tidemark_model::value::{FieldType, FieldValue};
use tidemark_sql::error::QueryError;
use tidemark_sql::messages::{
    Condition, Page, Parameter, QueryRequest, ScanRequest, SessionReply, SessionRequest,
    TableColumn, TableSchema, TimeOrder,
};
use tidemark_sql::output::{Format, Writer};
use tidemark_sql::{Engine, Step};

/// The number of steps after which a test treats a query as endless.
const STEPS_MAX: usize = 100_000;

#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    pub(crate) time_ns: i64,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) fields: BTreeMap<String, FieldValue>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Database {
    pub(crate) tables: BTreeMap<String, Vec<Row>>,
}

/// The distribution of a scan's rows over shards and pages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub(crate) shards: usize,
    pub(crate) page_rows: usize,
}

impl Layout {
    pub(crate) const PLAIN: Self = Self { shards: 1, page_rows: 1_000 };
}

/// The result of a query, and the query's scans.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) schema: SchemaRef,
    pub(crate) batches: Vec<RecordBatch>,
    pub(crate) scans: Vec<ScanRequest>,
}

impl Database {
    /// Adds points of the form `name,tag=a field=1.5,n=1i,u=1u,s="x",b=true 1000`, without escapes.
    pub(crate) fn write(&mut self, lines: &str) {
        for line in lines.lines().filter(|line| !line.trim().is_empty()) {
            let words: Vec<&str> = line.trim().split(' ').collect();
            let [series, fields, time] = words[..] else { panic!("{line}") };
            let mut series = series.split(',');
            let name = series.next().unwrap().to_owned();
            let pair = |text: &str| {
                let (key, value) = text.split_once('=').unwrap_or_else(|| panic!("{line}"));
                (key.to_owned(), value.to_owned())
            };
            let fields = fields.split(',').map(pair);
            let row = Row {
                time_ns: time.parse().unwrap(),
                tags: series.map(pair).collect(),
                fields: fields.map(|(key, text)| (key, field_value(&text))).collect(),
            };
            self.tables.entry(name).or_default().push(row);
        }
    }

    pub(crate) fn schema(&self, name: &str) -> Option<TableSchema> {
        let rows = self.tables.get(name)?;
        let mut columns = BTreeMap::new();
        for row in rows {
            columns.extend(row.tags.keys().map(|key| (key.clone(), None)));
            let typed = row.fields.iter().map(|(key, value)| (key.clone(), Some(type_of(value))));
            columns.extend(typed);
        }
        let column = |(name, field_type)| TableColumn { name, field_type };
        Some(TableSchema {
            name: name.to_owned(),
            columns: columns.into_iter().map(column).collect(),
        })
    }

    /// Returns the pages of a scan that a query requests.
    pub(crate) fn pages(&self, wanted: &SessionRequest, layout: Layout) -> Vec<Vec<u8>> {
        let SessionRequest::Scan(request) = wanted else { panic!("{wanted:?}") };
        pages(self, request, layout)
    }

    /// Runs `text`. Returns the result and the scans. Runs the text a second time, because the
    /// second execution may use the plan of the first. Both results must be equal.
    pub(crate) fn ask(&self, text: &str, layout: Layout) -> Result<Answered, QueryError> {
        self.ask_with(text, Vec::new(), layout)
    }

    pub(crate) fn ask_with(
        &self,
        text: &str,
        parameters: Vec<(String, Parameter)>,
        layout: Layout,
    ) -> Result<Answered, QueryError> {
        let engine = Engine::default();
        let answered = self.run(&engine, request(text, parameters.clone()), layout);
        assert_eq!(engine.reserved_bytes(), 0, "{text}");
        let again = self.run(&engine, request(text, parameters), layout);
        assert_eq!(engine.reserved_bytes(), 0, "{text}");
        // If the statement has no ORDER BY, the order of the rows may differ.
        let shown = |answered: &Result<Answered, QueryError>| match answered {
            Ok(answered) => {
                let rows = written(answered, Format::JsonLines).unwrap();
                let mut lines: Vec<&[u8]> = rows.split(|&byte| byte == b'\n').collect();
                lines.sort_unstable();
                format!("{:?} {lines:?} {:?}", answered.schema, answered.scans)
            }
            Err(error) => error.message.clone(),
        };
        // These statements return different values in every execution.
        let is_varying = ["ANALYZE", "random()", "uuid()"].iter().any(|word| text.contains(word));
        if !is_varying {
            assert_eq!(shown(&answered), shown(&again), "{text}");
        }
        answered
    }

    pub(crate) fn run(
        &self,
        engine: &Engine,
        request: QueryRequest,
        layout: Layout,
    ) -> Result<Answered, QueryError> {
        let mut query = engine.open(request)?;
        let mut asker = Asker { database: self, layout, scans: Vec::new(), left: BTreeMap::new() };
        let (mut schema, mut batches) = (None, Vec::new());
        let mut answers = Vec::new();
        for _ in 0..STEPS_MAX {
            let step: Step = query.step(std::mem::take(&mut answers))?;
            schema = schema.or(step.schema);
            batches.extend(step.batches);
            for scan in step.cancelled {
                asker.left.remove(&scan);
            }
            if step.is_done {
                assert_eq!(query.remaining(), (0, 0));
                assert!(asker.left.is_empty(), "scans that nobody ended");
                let schema = schema.expect("columns come before the end");
                return Ok(Answered { schema, batches, scans: asker.scans });
            }
            answers.extend(step.wanted.into_iter().map(|wanted| asker.answer(wanted)));
        }
        panic!("no end after {STEPS_MAX} steps");
    }
}

pub(crate) fn request(text: &str, parameters: Vec<(String, Parameter)>) -> QueryRequest {
    // 2022-01-02T00:00:00Z
    let now_ns = 1_641_081_600_000_000_000;
    QueryRequest {
        text: text.to_owned(),
        parameters,
        now_ns,
        format: "json".to_owned(),
        aggregates: false,
        first_of_groups: false,
        tables: None,
    }
}

pub(crate) fn written(answered: &Answered, format: Format) -> Result<Vec<u8>, QueryError> {
    let mut writer = Writer::new(format, &answered.schema)?;
    let mut bytes = Vec::new();
    for batch in &answered.batches {
        writer.write(batch)?;
        bytes.extend(writer.take());
    }
    bytes.extend(writer.finish()?);
    Ok(bytes)
}

/// Creates the replies to the requests of a query.
struct Asker<'a> {
    database: &'a Database,
    layout: Layout,
    scans: Vec<ScanRequest>,
    /// The remaining pages of each scan.
    left: BTreeMap<u64, Vec<Vec<u8>>>,
}

impl Asker<'_> {
    fn answer(&mut self, wanted: SessionRequest) -> SessionReply {
        match wanted {
            SessionRequest::Tables(names) => {
                let found = names.iter().filter_map(|name| self.database.schema(name));
                SessionReply::Tables(found.collect())
            }
            SessionRequest::EveryTable => {
                let names = self.database.tables.keys();
                SessionReply::Tables(names.filter_map(|name| self.database.schema(name)).collect())
            }
            SessionRequest::System(table) => {
                let row = ["1", "running", "1641081600000000000", "sql", "SELECT 1", "1ms"];
                SessionReply::System(table, vec![row.map(|text| Some(text.to_owned())).to_vec()])
            }
            SessionRequest::Scan(request) => {
                let scan = request.scan;
                let mut pages = pages(self.database, &request, self.layout);
                pages.reverse();
                assert!(self.left.insert(scan, pages).is_none(), "one number, two scans");
                self.scans.push(request);
                self.page(scan)
            }
            SessionRequest::Page(scan) => self.page(scan),
        }
    }

    fn page(&mut self, scan: u64) -> SessionReply {
        let pages = self.left.get_mut(&scan).expect("a scan that was begun and not ended");
        let bytes = pages.pop().unwrap_or_default();
        let is_last = pages.is_empty();
        if is_last {
            self.left.remove(&scan);
        }
        SessionReply::Page(Page { scan, bytes, is_last, ..Page::default() })
    }
}

fn pages(database: &Database, request: &ScanRequest, layout: Layout) -> Vec<Vec<u8>> {
    let schema = database.schema(&request.table).expect("a table that was told of");
    let rows = &database.tables[&request.table];
    let holds = |row: &&Row| {
        let condition = request.condition.as_ref();
        request.time.contains(row.time_ns) && condition.is_none_or(|c| is_true(c, row))
    };
    let mut made = Vec::new();
    for shard in 0..layout.shards {
        let of_shard = |row: &&Row| series_number(&row.tags) % layout.shards == shard;
        let mut rows: Vec<&Row> = rows.iter().filter(of_shard).filter(holds).collect();
        match request.first {
            Some(TimeOrder::Ascending) => rows.sort_by_key(|row| row.time_ns),
            Some(TimeOrder::Descending) => rows.sort_by_key(|row| std::cmp::Reverse(row.time_ns)),
            None => rows.sort_by_key(|row| (row.tags.clone(), row.time_ns)),
        }
        rows.truncate(request.rows_max.map_or(usize::MAX, |rows| rows as usize));
        made.extend(rows.chunks(layout.page_rows).map(|rows| page(request, &schema, rows)));
    }
    made
}

fn series_number(tags: &BTreeMap<String, String>) -> usize {
    tags.values().flat_map(|value| value.bytes()).map(usize::from).sum()
}

fn page(request: &ScanRequest, schema: &TableSchema, rows: &[&Row]) -> Vec<u8> {
    let field = |name: &String| {
        let column = schema.columns.iter().find(|c| c.name == *name && c.field_type.is_some());
        let mut column = Column::new(column.unwrap().field_type.unwrap());
        for row in rows {
            match row.fields.get(name) {
                Some(value) => assert!(column.extend_from(&Column::full(single(value)))),
                None => column.push_null(),
            }
        }
        column
    };
    let tag = |name: &String| -> StringColumn {
        rows.iter().map(|row| row.tags.get(name).map_or("", String::as_str)).collect()
    };
    let data = GroupData::Rows {
        times_ns: rows.iter().map(|row| row.time_ns).collect(),
        fields: request.fields.iter().map(field).collect(),
        tags: request.tags.iter().map(tag).collect(),
    };
    scan_page::encode(&[Group { key: Vec::new(), data }])
}

fn single(value: &FieldValue) -> Values {
    match value {
        FieldValue::Float(value) => Values::Float(vec![*value]),
        FieldValue::Integer(value) => Values::Integer(vec![*value]),
        FieldValue::Unsigned(value) => Values::Unsigned(vec![*value]),
        FieldValue::Boolean(value) => Values::Boolean(vec![*value]),
        FieldValue::String(value) => Values::String([&**value].into_iter().collect()),
    }
}

fn is_true(condition: &Condition, row: &Row) -> bool {
    match condition {
        Condition::All(parts) => parts.iter().all(|part| is_true(part, row)),
        Condition::Any(parts) => parts.iter().any(|part| is_true(part, row)),
        Condition::TagIn(tag, values) => row.tags.get(tag).is_some_and(|tag| values.contains(tag)),
        Condition::TagNotIn(tag, values) => {
            row.tags.get(tag).is_some_and(|tag| !values.contains(tag))
        }
        Condition::TagMissing(tag) => !row.tags.contains_key(tag),
        Condition::Field(field, _, compare, constant) => {
            row.fields.get(field).is_some_and(|value| compares(value, *compare, constant))
        }
    }
}

/// Compares values in the same way as a shard: -0.0 equals 0.0.
fn compares(a: &FieldValue, compare: Comparison, b: &FieldValue) -> bool {
    let order = match (a, b) {
        (FieldValue::Float(a), FieldValue::Float(b)) => a.partial_cmp(b),
        (FieldValue::Integer(a), FieldValue::Integer(b)) => Some(a.cmp(b)),
        (FieldValue::Unsigned(a), FieldValue::Unsigned(b)) => Some(a.cmp(b)),
        (FieldValue::String(a), FieldValue::String(b)) => Some(a.cmp(b)),
        (FieldValue::Boolean(a), FieldValue::Boolean(b)) => Some(a.cmp(b)),
        _ => panic!("{a:?} beside {b:?}"),
    };
    let Some(order) = order else { return false };
    match compare {
        Comparison::Equal => order.is_eq(),
        Comparison::NotEqual => order.is_ne(),
        Comparison::Less => order.is_lt(),
        Comparison::LessOrEqual => order.is_le(),
        Comparison::Greater => order.is_gt(),
        Comparison::GreaterOrEqual => order.is_ge(),
    }
}

fn type_of(value: &FieldValue) -> FieldType {
    single(value).field_type()
}

fn field_value(text: &str) -> FieldValue {
    if let Some(text) = text.strip_prefix('"') {
        return FieldValue::String(text.trim_end_matches('"').into());
    }
    match (text, text.strip_suffix('i'), text.strip_suffix('u')) {
        ("true", ..) => FieldValue::Boolean(true),
        ("false", ..) => FieldValue::Boolean(false),
        (_, Some(integer), _) => FieldValue::Integer(integer.parse().unwrap()),
        (_, _, Some(unsigned)) => FieldValue::Unsigned(unsigned.parse().unwrap()),
        _ => FieldValue::Float(text.parse().unwrap()),
    }
}
