//! Creates the scan requests of a SELECT for the columns of a measurement.

use super::columns::Columns;
use super::plan_size::nodes;
use super::predicate;
use super::prepare::{FromMeasurement, Origin};
use crate::influxql::ast::Expr;
use crate::model::limits::PIECE_BYTES_MAX;
use crate::model::time::TimeRange;
use crate::model::value::FieldType;
use crate::query::data_type::DataType;
use crate::query::error::QueryError;
use crate::query::plan::{
    Binding, CallBase, CallSource, Feed, FeedKind, PlannedScan, SelectNode, Slot, SlotSource,
};
use crate::query::source::SourceName;
use crate::query::subquery_rows::{POSITION_COLUMN, TIME_COLUMN};
use crate::scan::request::{
    AggregateCall, AggregateFunction, AuxColumn, Input, Output, Resume, ScanRequest,
};

pub(crate) struct BindTarget<'a> {
    pub(crate) node: &'a SelectNode,
    /// The condition in WHERE, without comparisons with `time`.
    pub(crate) condition: Option<&'a Expr>,
}

/// Creates the scans of a feed, one for each policy in which the measurement has a field of the
/// feed.
pub(crate) fn bind(
    bound: &BindTarget<'_>,
    feed: &Feed,
    sources: &[FromMeasurement<'_>],
    scans: &mut Vec<PlannedScan>,
) -> Result<Vec<Binding>, QueryError> {
    let lookups =
        bound.node.slots.len() + bound.node.group_keys.len() + bound.condition.map_or(0, nodes);
    let mut bindings = Vec::with_capacity(sources.len());
    let is_only = sources.len() == 1;
    for FromMeasurement { origin, before, schema } in sources {
        if before.is_some_and(|before| before != feed.extended) {
            continue;
        }
        let scan = scans.len();
        let columns = Columns::new(schema, lookups);
        let derived = match origin {
            Origin::Subquery(index) => bound.node.subqueries.get(*index).map(|of| &of.fields[..]),
            Origin::Policy(_) => None,
        };
        let (output, slots, calls) = match feed.kind {
            FeedKind::Rows => {
                let (output, slots) = rows(bound.node, feed, &columns, derived.is_some());
                (output, slots, Vec::new())
            }
            FeedKind::Partials => {
                let keeps_types = derived.is_some() && is_only;
                let is_subquery = derived.is_some();
                let (output, calls) =
                    partials(bound.node, feed, &columns, is_subquery, keeps_types);
                (output, Vec::new(), calls)
            }
        };
        let (source, subquery, time) = match origin {
            Origin::Policy(policy) => {
                let kept = TimeRange::new(policy.oldest_kept_ns, i64::MAX);
                let time = bound.node.range_for(feed.extended).intersect(&bound.node.floor);
                (policy.name.clone(), None, time.intersect(&kept))
            }
            // The subquery's own range already limits its rows. The first window of a subquery may
            // start before the outer range.
            Origin::Subquery(index) => {
                let name = SourceName { database: String::new(), policy: None };
                (name, Some(*index), TimeRange::new(i64::MIN, i64::MAX))
            }
        };
        if reads_nothing(&output) || time.is_empty() {
            continue;
        }
        let mut group_by = Vec::new();
        let key = (bound.node.group_keys.iter())
            .map(|key| {
                let column = columns.tag(key)?;
                group_by.push(column.id);
                Some(group_by.len() - 1)
            })
            .collect();
        let predicate = bound.condition.map(|c| predicate::lower(c, &columns, derived));
        scans.push(PlannedScan {
            source,
            measurement: schema.name.clone(),
            request: ScanRequest {
                measurement: schema.id,
                time,
                predicate,
                group_by,
                descending: bound.node.descending,
                output,
                resume: Resume::default(),
                piece_bytes: PIECE_BYTES_MAX,
                groups_max: groups_max(bound.node),
            },
            subquery,
        });
        bindings.push(Binding { scan, key, slots, calls });
    }
    Ok(bindings)
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

fn field(slot: &Slot, schema: &Columns<'_>) -> Option<Input> {
    let wanted = slot.data_type.field_type()?;
    let (column, field_type) = schema.field(&slot.name)?;
    let input =
        Input { column: column.id, field_type, cast: (field_type != wanted).then_some(wanted) };
    // If no value can be converted, the measurement effectively lacks the field.
    input.output_type().is_some().then_some(input)
}

/// Returns the field of a slot whose value is displayed. A subquery's value keeps its type if it
/// cannot be converted to the slot's type (1.x `castToType`).
fn shown_field(slot: &Slot, schema: &Columns<'_>, keeps_type: bool) -> Option<Input> {
    let own = || {
        let (column, field_type) = schema.field(&slot.name).filter(|_| keeps_type)?;
        slot.data_type.field_type()?;
        Some(Input { column: column.id, field_type, cast: None })
    };
    field(slot, schema).or_else(own)
}

fn rows(
    node: &SelectNode,
    feed: &Feed,
    schema: &Columns<'_>,
    is_subquery: bool,
) -> (Output, Vec<SlotSource>) {
    let (mut fields, mut tags) = (Vec::new(), Vec::new());
    let mut sources = Vec::with_capacity(node.slots.len());
    for slot in &node.slots {
        sources.push(match slot.data_type {
            DataType::Tag => match schema.tag(&slot.name) {
                Some(column) => {
                    tags.push(column.id);
                    SlotSource::Tag(tags.len() - 1)
                }
                None => SlotSource::Missing,
            },
            _ => match shown_field(slot, schema, is_subquery && feed.calls.is_empty()) {
                Some(input) => {
                    fields.push(input);
                    SlotSource::Field(fields.len() - 1)
                }
                None => SlotSource::Missing,
            },
        });
    }
    // If at least one column exists in a source, 1.x returns every row of a subquery, including
    // rows in which all these columns are null.
    let known = node.slots.iter().any(|slot| slot.data_type != DataType::Unknown);
    let shows_all = feed.calls.is_empty() && known;
    if is_subquery && (shows_all || !fields.is_empty()) {
        let field_type = FieldType::Integer;
        fields.push(Input { column: TIME_COLUMN, field_type, cast: None });
    }
    let wanted = node.limit.saturating_add(node.offset);
    let limit = (node.limit > 0 && feed.calls.is_empty()).then_some(wanted);
    (Output::Rows { fields, tags, limit, every_row: false }, sources)
}

/// `keeps_types` is whether a point's value may have a type that differs from the slot's type.
fn partials(
    node: &SelectNode,
    feed: &Feed,
    schema: &Columns<'_>,
    is_subquery: bool,
    keeps_types: bool,
) -> (Output, Vec<CallSource>) {
    let mut calls = Vec::with_capacity(feed.calls.len());
    let mut sources = Vec::with_capacity(feed.calls.len());
    for &index in &feed.calls {
        let Some(call) = node.calls.get(index) else { continue };
        let CallBase::Merge(function) = call.base else { continue };
        let Some(input) = node.slots.get(call.slot).and_then(|slot| field(slot, schema)) else {
            continue;
        };
        let mut aux = Vec::with_capacity(call.aux.len() + 1);
        if is_subquery && !call.aux.is_empty() {
            let field_type = FieldType::Integer;
            aux.push(AuxColumn::Field(Input { column: POSITION_COLUMN, field_type, cast: None }));
        }
        let positions: Vec<Option<usize>> = (call.aux.iter())
            .map(|&slot| {
                let slot = node.slots.get(slot)?;
                aux.push(match slot.data_type {
                    DataType::Tag => AuxColumn::Tag(schema.tag(&slot.name)?.id),
                    _ => AuxColumn::Field(shown_field(slot, schema, keeps_types)?),
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
    (only_reads && node.limit > 0 && !feed.extended).then(|| node.limit.saturating_add(node.offset))
}
