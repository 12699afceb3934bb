//! Creates the plan of a SELECT with resolved names, and the scan requests for the columns of each
//! measurement.

use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;

use super::calls::{self, CallBuilder};
use super::dimensions::Interval;
use super::plan_size::{PlanSize, condition_entries};
use super::predicate::{self, Columns};
use super::prepare::{
    FromMeasurement, Measurements, Origin, Prepared, SourceSchema, derive_subquery,
};
use super::resolve::{self, KnownNames};
use super::statement::CheckedSelect;
use super::{nodes, result_names};
use crate::data_type::DataType;
use crate::error::{QueryError, Result};
use crate::plan::{
    self, Binding, CallBase, CallPlan, CallSource, Feed, FeedKind, PlannedScan, SelectNode,
    Subquery, Variable, VariableSource,
};
use crate::scalar::Scalar;
use crate::source::SourceName;
use crate::subquery_rows::{POSITION_COLUMN, TIME_COLUMN};
use tidemark_engine::scan::request::{
    AggregateCall, AggregateFunction, AuxColumn, Input, Output, Resume, ScanRequest, Window,
};
use tidemark_influxql::ast::{Expr, Field, Fill};
use tidemark_model::ids::ColumnId;
use tidemark_model::limits::{
    CLOCK_CHANGES_PER_ENTRY, PAGE_BYTES_MAX, SOURCES_PER_MEASUREMENT_MAX, WORK_PER_NAME,
};
use tidemark_model::schema::MeasurementSchema;
use tidemark_model::time::TimeRange;
use tidemark_model::value::FieldType;

/// The work, in units of [`Work`](crate::work::Work), of binding a call to a source.
const CALL_WORK: usize = 5;

/// Lowers a statement and appends its scans. A subquery groups by its own keys and by `outer_keys`.
pub(crate) async fn lower(
    prepared: Prepared<'_>,
    outer_keys: &[String],
    scans: &mut Vec<PlannedScan>,
) -> Result<SelectNode> {
    let Prepared { checked, mut measurements, known, shown, mut group_keys, .. } = prepared;
    let Prepared { subqueries, size, query_windows_max, .. } = prepared;
    group_keys.extend_from_slice(outer_keys);
    group_keys.sort();
    group_keys.dedup();
    // As in 1.x, report errors in subqueries before errors in the outer statement.
    let inner_keys = subquery_keys(&group_keys, &shown);
    let inner_nodes = derive(subqueries, &inner_keys, size, &mut measurements, scans).await?;
    let window = window(checked, query_windows_max)?;
    let mut builder = CallBuilder::new(checked, &known, size, window.as_ref());
    let mut outputs: Vec<Scalar> = Vec::with_capacity(shown.len());
    let mut column_types = Vec::with_capacity(shown.len());
    for (field, _) in &shown {
        outputs.push(builder.output(&field.expr)?);
        // `prepare` reports the type errors of the outermost statement.
        let found = resolve::type_of(&field.expr, &known);
        column_types.push(found.unwrap_or(DataType::Unknown));
        size.spend_columns(1).await;
    }
    let (mut variables, calls, keeps_point_time) = builder.finish(&mut outputs, &group_keys)?;
    if checked.reads_only_subqueries() {
        read_tags_as_columns(&mut variables, &calls, &known);
    }
    let feeds = feeds(&calls);
    let by_row = calls.iter().all(|call| call.base == CallBase::Values);
    // The only source is a subquery, and the statement returns the rows in the order of the
    // subquery's series.
    let forwards_rows = matches!(&inner_nodes[..], [only] if only.node.in_order_of_series)
        && checked.select.sources.len() == 1;
    let in_order_of_series = keeps_point_time || (by_row && forwards_rows);
    let mut node = SelectNode {
        columns: columns(checked, &shown, size).await,
        column_types: column_types.into(),
        row_work: outputs.iter().map(|output| 3 + output.nodes()).sum(),
        zone_name: checked.select.timezone.as_deref().map(Rc::from),
        outputs,
        group_keys: group_keys.into(),
        direction: checked.direction,
        limit: checked.select.limit,
        offset: checked.select.offset,
        slimit: checked.select.slimit,
        soffset: checked.select.soffset,
        range: checked.range,
        floor: checked.floor,
        fill_number: calls::fill_number(checked.fill),
        window,
        query_windows_max,
        zone: checked.zone.clone(),
        variables,
        calls: calls.into_iter().map(Rc::new).collect(),
        in_order_of_series,
        keeps_point_time,
        carries: checked.fill == Fill::Previous,
        feeds,
        scan_entries: 0,
        inputs: Vec::new(),
        subqueries: inner_nodes,
    };
    let mut condition = checked.condition.clone();
    if let Some(condition) = &mut condition {
        resolve::bind_fields(condition, &known, !checked.reads_only_subqueries());
    }
    inputs(&mut node, condition, size, measurements, scans).await?;
    Ok(node)
}

/// Changes the tags of subqueries to strings, unless another column has the same name. The tag
/// arguments of top() and bottom() remain tags to distinguish the rows.
fn read_tags_as_columns(variables: &mut [Variable], calls: &[CallPlan], known: &KnownNames) {
    let whole_window = calls.iter().filter_map(|call| match &call.base {
        CallBase::WholeWindow(plan) => plan.tags.as_deref(),
        _ => None,
    });
    let tags: HashSet<usize> = whole_window.flatten().copied().collect();
    for (index, variable) in variables.iter_mut().enumerate() {
        let column = known.fields.get(variable.name.as_str());
        let is_column = column.is_none_or(|column| column.field_type().is_none());
        if variable.data_type == DataType::Tag && is_column && !tags.contains(&index) {
            variable.data_type = DataType::String;
        }
    }
}

/// Returns the keys by which subqueries group. As in 1.x, these include the tag arguments of top()
/// and bottom().
fn subquery_keys(group_keys: &[String], shown: &[(Field, bool)]) -> Vec<String> {
    let arguments = shown.iter().filter(|(_, is_argument)| *is_argument);
    let names = arguments.filter_map(|(field, _)| match &field.expr {
        Expr::VarRef { name, .. } => Some(name.clone()),
        _ => None,
    });
    group_keys.iter().cloned().chain(names).collect()
}

async fn derive(
    subqueries: Vec<Prepared<'_>>,
    group_keys: &[String],
    size: &PlanSize,
    measurements: &mut Measurements<'_>,
    scans: &mut Vec<PlannedScan>,
) -> Result<Vec<Rc<Subquery>>> {
    let mut inner_nodes = Vec::with_capacity(subqueries.len());
    for (index, mut inner) in subqueries.into_iter().enumerate() {
        let columns = std::mem::take(&mut inner.columns);
        let own_keys = inner.group_keys.clone();
        let windows_before = inner.checked.windows_before;
        let node = Box::pin(lower(inner, group_keys, scans)).await?;
        let (inner, schema) = derive_subquery(node, &columns, &own_keys);
        let schema = Rc::new(schema);
        for input in &inner.node.inputs {
            let origin = Origin::Subquery(index, windows_before);
            let schema = SourceSchema::Derived(Rc::clone(&schema));
            let found = FromMeasurement { origin, schema };
            let sources = measurements.entry(input.name.to_string()).or_default();
            if sources.len() == SOURCES_PER_MEASUREMENT_MAX {
                return Err(QueryError::SourceRepeated { name: input.name.to_string() });
            }
            size.add_entries(found.schema.columns.len())?;
            sources.push(found);
        }
        inner_nodes.push(Rc::new(inner));
    }
    Ok(inner_nodes)
}

async fn inputs(
    node: &mut SelectNode,
    condition: Option<Expr>,
    size: &PlanSize,
    measurements: Measurements<'_>,
    scans: &mut Vec<PlannedScan>,
) -> Result<()> {
    let of_condition = condition.as_ref().map_or(0, condition_entries);
    let changes = node.window.as_ref().map_or(0, |window| window.zone.len());
    let each = node.variables.len()
        + node.group_keys.len()
        + of_condition
        + changes / CLOCK_CHANGES_PER_ENTRY;
    let sources: usize = measurements.values().map(Vec::len).sum();
    size.add_entries(sources.saturating_mul(each.saturating_mul(node.feeds.len())))?;
    let lookups =
        node.variables.len() + node.group_keys.len() + condition.as_ref().map_or(0, nodes);
    node.scan_entries = each + node.calls.len();
    let source_work = WORK_PER_NAME.saturating_add(each);
    let mut binder = Binder { node, condition: condition.as_ref(), scans, size, source_work };
    let (mut inputs, mut derived) = (Vec::new(), BTreeMap::new());
    for (name, sources) in &measurements {
        let (name, sources) = (Rc::from(&**name), with_columns(sources, lookups, &mut derived));
        let mut feeds: Vec<Vec<Binding>> = Vec::with_capacity(binder.node.feeds.len());
        for feed in &binder.node.feeds {
            feeds.push(binder.bind(feed, &name, &sources).await?);
        }
        if feeds.iter().any(|feed| !feed.is_empty()) {
            inputs.push(plan::Input { name, feeds });
        }
    }
    if node.direction.is_descending() {
        inputs.reverse();
    }
    node.inputs = inputs;
    Ok(())
}

/// A source of a measurement, and its columns.
type WithColumns<'a> = (Origin<'a>, &'a MeasurementSchema, Rc<Columns<'a>>);

/// The columns of schemas.
type KnownColumns<'a> = BTreeMap<*const MeasurementSchema, Rc<Columns<'a>>>;

/// Returns the sources of a measurement with their columns. A repeated source has the same columns,
/// and so have all measurements of a subquery (`derived`).
fn with_columns<'a>(
    sources: &'a [FromMeasurement<'_>],
    lookups: usize,
    derived: &mut KnownColumns<'a>,
) -> Vec<WithColumns<'a>> {
    let mut stored = KnownColumns::new();
    let source = |source: &'a FromMeasurement<'_>| {
        let schema: &MeasurementSchema = &source.schema;
        let known = match source.schema {
            SourceSchema::Stored(_) => &mut stored,
            SourceSchema::Derived(_) => &mut *derived,
        };
        let columns = known.entry(schema).or_insert_with(|| Rc::new(Columns::new(schema, lookups)));
        (source.origin, schema, Rc::clone(columns))
    };
    sources.iter().map(source).collect()
}

/// Returns the names of the result's columns. With INTO, the tag arguments of top() and bottom()
/// are the last columns, and keep their names (1.x `SelectStatement.ColumnNames`).
async fn columns(
    checked: &CheckedSelect<'_>,
    shown: &[(Field, bool)],
    size: &PlanSize,
) -> Rc<[String]> {
    let is_into = checked.select.into.is_some();
    let of_tags = |tags: bool| {
        let fields = shown.iter().filter(move |(_, tag)| (is_into && *tag) == tags);
        fields.map(|(field, _)| field)
    };
    let tags = of_tags(true).map(Field::name);
    let time = checked.facts.time_alias.clone().unwrap_or_else(|| "time".into());
    let named = result_names::column_names(of_tags(false), size).await;
    std::iter::once(time).chain(named).chain(tags).collect()
}

/// Returns the zone's shifts during all windows that the statement reads. The first and the last
/// window may extend beyond the range, and some calls read further windows before the range.
fn shifts(checked: &CheckedSelect<'_>) -> Vec<(i64, i64)> {
    let Some(zone) = &checked.zone else { return Vec::new() };
    let windows = 3 + checked.windows_before_range().last().map_or(0, |last| i64::from(*last));
    let around_ns = checked.facts.interval.every_ns.saturating_mul(windows);
    let range = checked.range;
    zone.shifts(TimeRange::new(
        range.start_ns.saturating_sub(around_ns),
        range.end_ns.saturating_add(around_ns),
    ))
}

/// Rejects too many windows (1.x `max-select-buckets`).
fn window(checked: &CheckedSelect<'_>, limit: u64) -> Result<Option<Window>> {
    let interval = checked.facts.interval;
    if interval.is_zero() {
        return Ok(None);
    }
    let Interval { every_ns, offset_ns } = interval;
    let window = Window { every_ns, offset_ns, zone: shifts(checked) };
    if checked.has_lower_bound() && checked.facts.call_count > 0 && !checked.range.is_empty() {
        let first = window.start(checked.range.start_ns);
        let last = window.start(checked.range.end_ns.saturating_sub(1));
        let span = i128::from(last) - i128::from(first);
        let requested = (span / i128::from(every_ns) + 1).unsigned_abs();
        if requested > u128::from(limit) {
            let requested = u64::try_from(requested).unwrap_or(u64::MAX);
            return Err(QueryError::Buckets { requested, limit });
        }
    }
    Ok(Some(window))
}

/// Returns the scans that the calls need. Partial states and rows need separate scans, and so do
/// calls that read different numbers of windows before the range.
fn feeds(calls: &[CallPlan]) -> Vec<Feed> {
    if calls.is_empty() {
        return vec![Feed { kind: FeedKind::Rows, calls: Vec::new(), windows_before: 0 }];
    }
    let mut feeds: Vec<Feed> = Vec::new();
    for (index, call) in calls.iter().enumerate() {
        let kind = match call.base {
            CallBase::Merge(_) => FeedKind::Partials,
            CallBase::WholeWindow(_) | CallBase::Values => FeedKind::Rows,
        };
        let windows_before = call.windows_before;
        match feeds.iter_mut().find(|f| f.kind == kind && f.windows_before == windows_before) {
            Some(feed) => feed.calls.push(index),
            None => feeds.push(Feed { kind, calls: vec![index], windows_before }),
        }
    }
    feeds
}

/// Creates the scans of a node.
struct Binder<'a> {
    node: &'a SelectNode,
    /// The condition in WHERE, without comparisons with `time`.
    condition: Option<&'a Expr>,
    scans: &'a mut Vec<PlannedScan>,
    size: &'a PlanSize,
    /// The work of a source in addition to its calls.
    source_work: usize,
}

impl Binder<'_> {
    /// Creates the scans of a feed, one for each policy in which the measurement has a field of the
    /// feed. A repeated source shares the request of its first scan.
    async fn bind(
        &mut self,
        feed: &Feed,
        name: &Rc<str>,
        sources: &[WithColumns<'_>],
    ) -> Result<Vec<Binding>> {
        let is_only = sources.len() == 1;
        let mut bindings: Vec<Binding> = Vec::with_capacity(sources.len());
        // Maps a policy and the columns of a source to the position of the first binding; `None` if
        // the source has no field of the feed.
        let mut known: BTreeMap<_, Option<usize>> = BTreeMap::new();
        for source in sources {
            let place = match source {
                (Origin::Policy(policy), _, columns) => {
                    Some((std::ptr::from_ref(*policy), Rc::as_ptr(columns)))
                }
                (Origin::Subquery(..), ..) => None,
            };
            let mut units = self.source_work;
            let bound = match place.and_then(|place| known.get(&place)) {
                Some(first) => first.and_then(|at| {
                    let binding = bindings.get(at)?;
                    Some((self.scans.get(binding.scan)?.clone(), binding.clone()))
                }),
                None => {
                    let bound = self.bind_source(feed, name, source, is_only);
                    let calls = bound.as_ref().map_or(&[][..], |(_, binding)| &binding.calls);
                    self.size.add_calls(calls)?;
                    let columns: usize = calls.iter().map(|call| call.aux.len()).sum();
                    units += CALL_WORK * feed.calls.len() + columns;
                    let position = bound.is_some().then_some(bindings.len());
                    if let Some(place) = place {
                        known.insert(place, position);
                    }
                    bound
                }
            };
            if let Some((scan, binding)) = bound {
                bindings.push(Binding { scan: self.scans.len(), ..binding });
                self.scans.push(scan);
            }
            self.size.spend(units).await;
        }
        Ok(bindings)
    }

    /// Returns a scan without its position; `None` if the scan would read nothing. `is_only` states
    /// whether the measurement has no other source.
    fn bind_source(
        &self,
        feed: &Feed,
        name: &Rc<str>,
        (origin, schema, columns): &WithColumns<'_>,
        is_only: bool,
    ) -> Option<(PlannedScan, Binding)> {
        let node = self.node;
        if matches!(*origin, Origin::Subquery(_, before) if before != feed.windows_before) {
            return None;
        }
        let derived = match origin {
            Origin::Subquery(index, _) => node.subqueries.get(*index).map(|of| &of.fields[..]),
            Origin::Policy(_) => None,
        };
        let is_subquery = derived.is_some();
        let (output, variables, calls) = match feed.kind {
            FeedKind::Rows => {
                let (output, variables) = rows(node, feed, columns, is_subquery);
                (output, variables, Vec::new())
            }
            FeedKind::Partials => {
                let (output, calls) = partials(node, feed, columns, is_subquery, is_only);
                (output, Vec::new(), calls)
            }
        };
        let (source, subquery, time) = match origin {
            Origin::Policy(policy) => {
                let kept = TimeRange::new(policy.oldest_kept_ns, i64::MAX);
                let time = node.range_with(feed.windows_before).intersect(&node.floor);
                (policy.name.clone(), None, time.intersect(&kept))
            }
            // The subquery's own range already limits its rows. The first window of a subquery may
            // start before the outer range.
            Origin::Subquery(index, _) => {
                let name = SourceName { database: String::new(), policy: None };
                (name, Some(*index), TimeRange::new(i64::MIN, i64::MAX))
            }
        };
        if reads_nothing(&output) || time.is_empty() {
            return None;
        }
        let mut group_by = Vec::new();
        let key = (node.group_keys.iter())
            .map(|key| {
                let column = columns.tag(key)?;
                group_by.push(column.id);
                Some(group_by.len() - 1)
            })
            .collect();
        let request = ScanRequest {
            measurement: schema.id,
            time,
            predicate: self.condition.map(|c| predicate::lower(c, columns, derived)),
            group_by,
            direction: node.direction,
            output,
            resume: Resume::default(),
            page_bytes: PAGE_BYTES_MAX,
            groups_max: groups_max(node),
        };
        let (measurement, request) = (Rc::clone(name), Rc::new(request));
        let scan = PlannedScan { source, measurement, request, subquery };
        Some((scan, Binding { scan: 0, key, variables: variables.into(), calls: calls.into() }))
    }
}

fn reads_nothing(output: &Output) -> bool {
    match output {
        Output::Rows { fields, .. } => fields.is_empty(),
        Output::Aggregates { calls, .. } => calls.is_empty(),
    }
}

fn groups_max(node: &SelectNode) -> Option<u64> {
    let is_limited = node.slimit > 0 || node.soffset > 0;
    is_limited.then(|| node.soffset.saturating_add(node.slimit).max(1))
}

fn field(variable: &Variable, schema: &Columns<'_>) -> Option<Input> {
    let wanted = variable.data_type.field_type()?;
    let (column, field_type) = schema.field(&variable.name)?;
    let input =
        Input { column: column.id, field_type, cast: (field_type != wanted).then_some(wanted) };
    // If no value can be converted, the measurement effectively lacks the field.
    input.output_type().is_some().then_some(input)
}

/// Returns the field of a variable whose value is displayed. With `keeps_type`, a value keeps its
/// type if it cannot be converted to the variable's type (1.x `castToType`).
fn shown_field(variable: &Variable, schema: &Columns<'_>, keeps_type: bool) -> Option<Input> {
    let own = || {
        let (column, field_type) = schema.field(&variable.name).filter(|_| keeps_type)?;
        Some(Input { column: column.id, field_type, cast: None })
    };
    field(variable, schema).or_else(own)
}

fn integers(column: ColumnId) -> Input {
    Input { column, field_type: FieldType::Integer, cast: None }
}

fn rows(
    node: &SelectNode,
    feed: &Feed,
    schema: &Columns<'_>,
    is_subquery: bool,
) -> (Output, Vec<VariableSource>) {
    let (mut fields, mut tags) = (Vec::new(), Vec::new());
    let mut sources = Vec::with_capacity(node.variables.len());
    // If at least one column exists in a source, 1.x returns every row of a subquery, including
    // rows in which all these columns are null.
    let known = node.variables.iter().any(|variable| variable.data_type != DataType::Unknown);
    let shows_all = feed.calls.is_empty() && known;
    for variable in &node.variables {
        // A name has an unknown type because of a type error in another source.
        let is_tag = variable.data_type == DataType::Tag;
        let keeps_type = match shows_all {
            true => is_subquery || variable.data_type == DataType::Unknown,
            false => is_subquery && is_tag,
        };
        let tag = if is_tag { schema.tag(&variable.name) } else { None };
        sources.push(match tag {
            Some(column) => {
                tags.push(column.id);
                VariableSource::Tag(tags.len() - 1)
            }
            // A subquery can have the tag as a column.
            None => match shown_field(variable, schema, keeps_type) {
                Some(input) => {
                    fields.push(input);
                    VariableSource::Field(fields.len() - 1)
                }
                None => VariableSource::Missing,
            },
        });
    }
    if is_subquery && (shows_all || !fields.is_empty()) {
        fields.push(integers(TIME_COLUMN));
    }
    let wanted = node.limit.saturating_add(node.offset);
    let limit = (node.limit > 0 && feed.calls.is_empty()).then_some(wanted);
    (Output::Rows { fields, tags, limit, every_row: false }, sources)
}

/// Returns the output of a scan that computes partial states, and the calls that receive the
/// states. `is_only` states whether the measurement has no other source. A value of the only
/// subquery may have a type that differs from the variable's type.
fn partials(
    node: &SelectNode,
    feed: &Feed,
    schema: &Columns<'_>,
    is_subquery: bool,
    is_only: bool,
) -> (Output, Vec<CallSource>) {
    let mut calls = Vec::with_capacity(feed.calls.len());
    let mut sources = Vec::with_capacity(feed.calls.len());
    for &index in &feed.calls {
        let Some(call) = node.calls.get(index) else { continue };
        let CallBase::Merge(function) = call.base else { continue };
        let Some(input) =
            node.variables.get(call.variable).and_then(|variable| field(variable, schema))
        else {
            continue;
        };
        let reads_position = is_subquery && !call.aux.is_empty();
        let mut aux = Vec::with_capacity(call.aux.len() + usize::from(reads_position));
        if reads_position {
            aux.push(AuxColumn::Field(integers(POSITION_COLUMN)));
        }
        let positions: Vec<Option<usize>> = (call.aux.iter())
            .map(|&variable| {
                let variable = node.variables.get(variable)?;
                let is_tag = variable.data_type == DataType::Tag;
                let tag = if is_tag { schema.tag(&variable.name) } else { None };
                let keeps_type = is_subquery && (is_tag || is_only);
                aux.push(match tag {
                    Some(column) => AuxColumn::Tag(column.id),
                    None => {
                        let field = shown_field(variable, schema, keeps_type)?;
                        // The states of several sources must have the same types.
                        let is_text = field.field_type == FieldType::String;
                        (!is_tag || is_only || is_text).then_some(AuxColumn::Field(field))?
                    }
                });
                Some(aux.len() - 1)
            })
            .collect();
        let function = match (function, positions.first()) {
            // The measurement lacks the text column that would order points of equal time.
            (AggregateFunction::TiedPoints { latest, .. }, Some(None)) => {
                AggregateFunction::TiedPoints { latest, by_text: false }
            }
            (function, _) => function,
        };
        sources.push(CallSource { call: index, aux: positions });
        calls.push(AggregateCall { function, input, aux });
    }
    let limit = windows_wanted(node, feed);
    (Output::Aggregates { calls, window: node.window.clone(), limit }, sources)
}

/// Returns the number of non-empty windows that LIMIT requires of each group, for every fill
/// method.
fn windows_wanted(node: &SelectNode, feed: &Feed) -> Option<u64> {
    let [index] = feed.calls.as_slice() else { return None };
    let only_reads = node.calls.get(*index)?.transforms.is_empty();
    (only_reads && node.limit > 0 && feed.windows_before == 0)
        .then(|| node.limit.saturating_add(node.offset))
}
