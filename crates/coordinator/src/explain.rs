//! Executes EXPLAIN and EXPLAIN ANALYZE: shows the scans of a SELECT and the costs of their pages,
//! in 1.x's format with this engine's counters.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use tidemark_engine::scan::read_stats::ReadStats;
use tidemark_engine::scan::request::{
    AggregateCall, AggregateFunction, AuxColumn, Input, Output, ScanRequest,
};
use tidemark_influxql::{duration, quote};
use tidemark_model::ids::ColumnId;
use tidemark_model::limits::REPLY_PIECE_ROWS;
use tidemark_model::schema::{MeasurementSchema, PolicySchema};
use tidemark_query::executor::StreamId;
use tidemark_query::plan::{Plan, PlannedScan};
use tidemark_query::result::{SeriesChunk, Values};
use tidemark_query::work::Work;

/// The work of describing a call, in the units of [`Work`]: several texts are created.
const CALL_WORK: usize = 20;
/// The work of printing a line, in the units of [`Work`].
pub(super) const LINE_WORK: usize = 4;
/// The maximum number of lines of an expression in a plan.
const PLAN_LINES: usize = 9;
/// The number of lines of a shard in a tree.
const TREE_LINES: usize = 11;

pub(super) struct Explain {
    analyze: bool,
    text: String,
    scans: Vec<Scan>,
    planned_ns: i64,
}

struct Scan {
    measurement: Rc<str>,
    /// The aggregate calls, or one empty text for raw rows. Equal texts are shared, because scans
    /// of many measurements have the same calls.
    calls: Vec<Rc<str>>,
    /// The columns that are read in addition to the calls' inputs.
    fields: String,
    costs: Vec<ReadStats>,
}

struct Node(String, Vec<Node>);

type SchemaOf<'a> = dyn Fn(&PlannedScan) -> Option<&'a PolicySchema> + 'a;

impl Explain {
    /// `shards[i]` is the number of shards that the plan's scan `i` reads. Awaits only
    /// [`Work::spend`].
    pub(super) async fn new(
        analyze: bool,
        text: String,
        plan: &Plan,
        schema_of: &SchemaOf<'_>,
        shards: &[u32],
        now_ns: i64,
        work: &Work,
    ) -> Self {
        let mut scans = Vec::with_capacity(plan.scans.len());
        let mut texts = HashSet::new();
        for (scan, shards) in plan.scans.iter().zip(shards) {
            let schema =
                schema_of(scan).and_then(|policy| policy.measurements.get(&*scan.measurement));
            let (calls, fields) = describe(&scan.request, schema.map(AsRef::as_ref));
            let calls: Vec<Rc<str>> =
                calls.into_iter().map(|call| shared(&mut texts, call)).collect();
            let costs = vec![ReadStats::default(); *shards as usize];
            work.spend(CALL_WORK * calls.len() + fields.len() + costs.len()).await;
            scans.push(Scan { measurement: Rc::clone(&scan.measurement), calls, fields, costs });
        }
        Self { analyze, text, scans, planned_ns: now_ns }
    }

    pub(super) fn add(&mut self, stream: StreamId, page: &ReadStats) {
        let scan = self.scans.get_mut(stream.scan as usize);
        if let Some(cost) = scan.and_then(|scan| scan.costs.get_mut(stream.shard as usize)) {
            if self.analyze { cost.add_page(page) } else { cost.add_plan(page) }
        }
    }

    /// Returns the lines of the result. Awaits only [`Work::spend`].
    pub(super) async fn lines(&self, began_ns: i64, now_ns: i64, work: &Work) -> Vec<String> {
        match self.analyze {
            false => self.plan(work).await,
            true => self.tree(began_ns, now_ns, work).await,
        }
    }

    /// Returns the lines as parts of one series.
    pub(super) fn chunks(&self, lines: &[String]) -> impl Iterator<Item = SeriesChunk> {
        let column = if self.analyze { "EXPLAIN ANALYZE" } else { "QUERY PLAN" };
        let mut left = lines.len();
        lines.chunks(REPLY_PIECE_ROWS).map(move |part| {
            left -= part.len();
            let lines = Values::String(part.iter().map(String::as_str).collect());
            SeriesChunk { partial: left > 0, ..SeriesChunk::of_columns(None, &[column], [lines]) }
        })
    }

    /// Omits scans of a subquery's result, because the coordinator scans that result.
    fn shard_scans(&self) -> impl Iterator<Item = &Scan> {
        self.scans.iter().filter(|scan| !scan.costs.is_empty())
    }

    async fn plan(&self, work: &Work) -> Vec<String> {
        // Each expression has one entry, with the sum over all measurements.
        let mut entries: Vec<(&str, &str, usize, ReadStats)> = Vec::new();
        let mut positions: HashMap<(&str, &str), usize> = HashMap::new();
        for scan in self.shard_scans() {
            for call in &scan.calls {
                work.spend(CALL_WORK + scan.costs.len()).await;
                let (call, fields) = (&**call, scan.fields.as_str());
                let position = *positions.entry((call, fields)).or_insert(entries.len());
                if position == entries.len() {
                    entries.push((call, fields, 0, ReadStats::default()));
                }
                let Some((_, _, shards, sum)) = entries.get_mut(position) else { continue };
                *shards = scan.costs.len().max(*shards);
                scan.costs.iter().for_each(|cost| sum.add_plan(cost));
            }
        }
        let mut lines = Vec::new();
        for (call, fields, shards, sum) in entries {
            work.spend(LINE_WORK * PLAN_LINES).await;
            if !lines.is_empty() {
                lines.push(String::new());
            }
            let expression = if call.is_empty() { "<nil>" } else { call };
            lines.push(format!("EXPRESSION: {expression}"));
            if !fields.is_empty() {
                lines.push(format!("AUXILIARY FIELDS: {fields}"));
            }
            for (name, count) in [
                ("NUMBER OF SHARDS", shards as u64),
                ("NUMBER OF SERIES", sum.series),
                ("CACHED VALUES", sum.cached_rows),
                ("NUMBER OF FILES", sum.files),
                ("NUMBER OF BLOCKS", sum.blocks),
                ("SIZE OF BLOCKS", sum.block_bytes),
            ] {
                lines.push(format!("{name}: {count}"));
            }
        }
        if lines.is_empty() {
            lines.push(String::new());
        }
        lines
    }

    async fn tree(&self, began_ns: i64, now_ns: i64, work: &Work) -> Vec<String> {
        let leaf = |text: String| Node(text, Vec::new());
        let labels =
            |texts: Vec<String>| Node("labels".into(), texts.into_iter().map(leaf).collect());
        let mut cursor = vec![labels(vec![format!("statement: {}", self.text)])];
        for scan in self.shard_scans() {
            let called = scan.calls.iter().filter(|call| !call.is_empty());
            let mut texts: Vec<String> = called.map(|call| format!("expr: {call}")).collect();
            if !scan.fields.is_empty() {
                texts.push(format!("auxiliary_fields: {}", scan.fields));
            }
            let mut below = vec![labels(texts)];
            for (number, cost) in (1..).zip(&scan.costs) {
                let names = vec![
                    format!("measurement: {}", scan.measurement),
                    format!("shard_id: {number}"),
                ];
                let mut counters = vec![labels(names)];
                for (name, count) in [
                    ("series", cost.series),
                    ("cached_values", cost.cached_rows),
                    ("blocks_pruned", cost.blocks_pruned),
                    ("blocks_read", cost.blocks_read),
                    ("bytes_decoded", cost.bytes_decoded),
                    ("rows_read", cost.rows_scanned),
                    ("storage_rows_read", cost.rows_read),
                ] {
                    counters.push(leaf(format!("{name}: {count}")));
                }
                below.push(Node("create_iterator".into(), counters));
            }
            work.spend(CALL_WORK * scan.calls.len() + LINE_WORK * TREE_LINES * below.len()).await;
            cursor.push(Node("iterator_scanner".into(), below));
        }
        let took = |name: &str, from_ns: i64, to_ns: i64| {
            leaf(format!("{name}: {}", duration::format_go(to_ns.saturating_sub(from_ns))))
        };
        let select = vec![
            took("execution_time", self.planned_ns, now_ns),
            took("planning_time", began_ns, self.planned_ns),
            took("total_time", began_ns, now_ns),
            Node("build_cursor".into(), cursor),
        ];
        draw(Node("select".into(), select), work).await
    }
}

/// Returns the same text for equal calls.
fn shared(texts: &mut HashSet<Rc<str>>, call: String) -> Rc<str> {
    if let Some(known) = texts.get(call.as_str()) {
        return Rc::clone(known);
    }
    let call = Rc::from(call);
    texts.insert(Rc::clone(&call));
    call
}

async fn draw(root: Node, work: &Work) -> Vec<String> {
    let mut lines = vec![".".to_owned()];
    // The stack of levels from the root to the current node: each level's indentation and its
    // remaining nodes.
    let mut open = vec![(String::new(), vec![root].into_iter())];
    while let Some((indent, nodes)) = open.last_mut() {
        let Some(Node(text, below)) = nodes.next() else {
            open.pop();
            continue;
        };
        let is_last = nodes.as_slice().is_empty();
        let (branch, next) =
            if is_last { ("└── ", "    ") } else { ("├── ", "│   ") };
        lines.push([indent.as_str(), branch, &text].concat());
        let indent = [indent.as_str(), next].concat();
        open.push((indent, below.into_iter()));
        work.spend(LINE_WORK).await;
    }
    lines.push(String::new());
    lines
}

/// Returns the aggregate calls of a scan as 1.x prints them, and the columns that the scan reads as
/// rows or in addition to a call.
fn describe(request: &ScanRequest, schema: Option<&MeasurementSchema>) -> (Vec<String>, String) {
    let columns = schema.map_or(&[][..], |schema| &schema.columns);
    // The columns are sorted by id.
    let key = |id: ColumnId| {
        let found = columns.binary_search_by_key(&id, |column| column.id).ok();
        found.and_then(|at| columns.get(at)).map_or("?".into(), |column| quote::ident(&column.key))
    };
    let field = |input: &Input| {
        let read_as = input.output_type().unwrap_or(input.field_type);
        format!("{}::{}", key(input.column), read_as.name())
    };
    let tag = |id: &ColumnId| format!("{}::tag", key(*id));
    let (calls, mut aux) = match &request.output {
        Output::Rows { fields, tags, .. } => {
            let all = fields.iter().map(field).chain(tags.iter().map(tag));
            (vec![String::new()], all.collect::<Vec<String>>())
        }
        Output::Aggregates { calls, .. } => {
            let call = |call: &AggregateCall| {
                let function = match call.function {
                    AggregateFunction::TiedPoints { latest: false, .. } => AggregateFunction::First,
                    AggregateFunction::TiedPoints { latest: true, .. } => AggregateFunction::Last,
                    other => other,
                };
                let mut text = format!("{function:?}(");
                text.make_ascii_lowercase();
                text + &field(&call.input) + ")"
            };
            let series = schema.into_iter().flat_map(MeasurementSchema::tags).count();
            // The list omits columns that only identify a point's series.
            let shown = |call: &AggregateCall| {
                let skipped = match call.function {
                    AggregateFunction::TiedPoints { by_text, .. } => series + usize::from(by_text),
                    _ => 0,
                };
                let shown = call.aux.iter().skip(skipped).map(|aux| match aux {
                    AuxColumn::Field(input) => field(input),
                    AuxColumn::Tag(id) => tag(id),
                });
                shown.collect::<Vec<String>>()
            };
            (calls.iter().map(call).collect(), calls.iter().flat_map(shown).collect())
        }
    };
    aux.sort();
    (calls, aux.join(", "))
}
