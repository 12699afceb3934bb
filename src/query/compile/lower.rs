//! Creates the plan of a SELECT with resolved names.

use std::borrow::Cow;
use std::collections::HashSet;
use std::rc::Rc;

use super::bind::{self, BindTarget};
use super::calls::{self, CallBuilder};
use super::plan_size::{PlanSize, condition_entries};
use super::prepare::{FromMeasurement, Measurements, Origin, Prepared};
use super::resolve::{self, KnownNames};
use super::result_names;
use super::statement::CheckedSelect;
use super::subquery;
use crate::influxql::ast::{Expr, Field, Fill};
use crate::model::limits::SOURCES_PER_MEASUREMENT_MAX;
use crate::model::schema::MeasurementSchema;
use crate::model::time::TimeRange;
use crate::query::data_type::DataType;
use crate::query::error::QueryError;
use crate::query::plan::{
    CallBase, Feed, FeedKind, Input, PlannedScan, SelectNode, Slot, Subquery,
};
use crate::scan::request::Window;

/// Lowers a statement and appends its scans. A subquery groups by its own keys and by `outer_keys`.
pub(crate) fn lower(
    prepared: Prepared<'_>,
    outer_keys: &[String],
    scans: &mut Vec<PlannedScan>,
) -> Result<SelectNode, QueryError> {
    let buckets_max = prepared.buckets_max;
    let Prepared {
        checked, mut measurements, known, shown, mut group_keys, subqueries, size, ..
    } = prepared;
    group_keys.extend_from_slice(outer_keys);
    group_keys.sort();
    group_keys.dedup();
    // As in 1.x, report errors in subqueries before errors in the outer statement.
    let inner_keys = subquery_keys(&group_keys, &shown);
    let inner_nodes = derive(subqueries, &inner_keys, size, &mut measurements, scans)?;
    let window = window(checked, buckets_max)?;
    let mut builder = CallBuilder::new(checked, &known, size, window.as_ref());
    let mut outputs = Vec::with_capacity(shown.len());
    for (field, _) in &shown {
        outputs.push(builder.output(&field.expr)?);
    }
    let column_types = shown
        .iter()
        .map(|(field, _)| resolve::type_of(&field.expr, &known))
        .collect::<Result<Rc<[DataType]>, QueryError>>()?;
    let mut built = builder.finish(outputs, &group_keys)?;
    if checked.reads_only_subqueries() {
        // The outer statement reads a subquery's tags as columns, unless another column has the
        // same name. The tag arguments of top() and bottom() remain tags to distinguish the rows.
        let gathered = built.calls.iter().filter_map(|call| match &call.base {
            CallBase::Gather(gather) => gather.tags.as_deref(),
            _ => None,
        });
        let tags: HashSet<usize> = gathered.flatten().copied().collect();
        let is_column = |slot: &Slot| {
            slot.data_type == DataType::Tag
                && known.fields.get(slot.name.as_str()).is_none_or(|of| *of == DataType::Tag)
        };
        for (index, slot) in built.slots.iter_mut().enumerate() {
            if is_column(slot) && !tags.contains(&index) {
                slot.data_type = DataType::String;
            }
        }
    }
    let feeds = feeds(&built);
    let zone = shifts(checked);
    let by_row = built.calls.iter().all(|call| call.base == CallBase::Values);
    let in_order_of_series =
        built.keeps_point_time || (by_row && forwards_rows(&inner_nodes, checked));
    let mut node = SelectNode {
        columns: columns(checked, &shown),
        column_types,
        row_work: built.outputs.iter().map(|output| 3 + output.nodes()).sum(),
        zone_name: checked.select.timezone.as_deref().map(Rc::from),
        outputs: built.outputs,
        group_keys: group_keys.into(),
        descending: checked.descending,
        limit: checked.select.limit,
        offset: checked.select.offset,
        slimit: checked.select.slimit,
        soffset: checked.select.soffset,
        range: checked.range,
        floor: checked.floor,
        fill_number: calls::fill_number(checked.fill),
        window,
        buckets_max,
        zone: zone.into(),
        slots: built.slots,
        calls: built.calls,
        in_order_of_series,
        keeps_point_time: built.keeps_point_time,
        carries: checked.fill == Fill::Previous,
        feeds,
        inputs: Vec::new(),
        subqueries: inner_nodes,
    };
    inputs(&mut node, checked.condition.clone(), &known, size, measurements, scans)?;
    Ok(node)
}

/// As in 1.x, subqueries also group by the tag arguments of top() and bottom().
fn subquery_keys(group_keys: &[String], shown: &[(Field, bool)]) -> Vec<String> {
    let arguments = shown.iter().filter(|(_, is_argument)| *is_argument);
    let names = arguments.filter_map(|(field, _)| match &field.expr {
        Expr::VarRef { name, .. } => Some(name.clone()),
        _ => None,
    });
    group_keys.iter().cloned().chain(names).collect()
}

/// Whether the only source is a subquery, and the statement returns the rows in the order of the
/// subquery's series.
fn forwards_rows(inner_nodes: &[Rc<Subquery>], checked: &CheckedSelect<'_>) -> bool {
    match inner_nodes {
        [only] => checked.select.sources.len() == 1 && only.node.in_order_of_series,
        _ => false,
    }
}

fn derive(
    subqueries: Vec<Prepared<'_>>,
    group_keys: &[String],
    size: &PlanSize,
    measurements: &mut Measurements<'_>,
    scans: &mut Vec<PlannedScan>,
) -> Result<Vec<Rc<Subquery>>, QueryError> {
    let mut inner_nodes = Vec::with_capacity(subqueries.len());
    for (index, inner) in subqueries.into_iter().enumerate() {
        let columns = inner.visible_columns()?;
        let own_keys = inner.group_keys().to_vec();
        let before = Some(inner.checked.before);
        let node = lower(inner, group_keys, scans)?;
        let (inner, schema) = subquery::derive(node, &columns, &own_keys);
        for input in &inner.node.inputs {
            let origin = Origin::Subquery(index);
            let schema = MeasurementSchema { name: input.name.to_string(), ..schema.clone() };
            let found = FromMeasurement { origin, before, schema: Cow::Owned(schema) };
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

fn inputs(
    node: &mut SelectNode,
    mut condition: Option<Expr>,
    known: &KnownNames,
    size: &PlanSize,
    measurements: Measurements<'_>,
    scans: &mut Vec<PlannedScan>,
) -> Result<(), QueryError> {
    if let Some(condition) = &mut condition {
        resolve::bind_fields(condition, known, node.subqueries.is_empty());
    }
    let of_condition = condition.as_ref().map_or(0, condition_entries);
    let each = node.slots.len() + node.group_keys.len() + of_condition;
    let sources: usize = measurements.values().map(Vec::len).sum();
    size.add_entries(sources.saturating_mul(each.saturating_mul(node.feeds.len())))?;
    for (name, sources) in measurements {
        let bound = BindTarget { node, condition: condition.as_ref() };
        let feeds = (node.feeds.iter())
            .map(|feed| bind::bind(&bound, feed, &sources, scans))
            .collect::<Result<Vec<_>, QueryError>>()?;
        if feeds.iter().any(|feed| !feed.is_empty()) {
            node.inputs.push(Input { name: Rc::from(name), feeds });
        }
    }
    if node.descending {
        node.inputs.reverse();
    }
    Ok(())
}

fn columns(checked: &CheckedSelect<'_>, shown: &[(Field, bool)]) -> Rc<[String]> {
    let shown: Vec<Field> = shown.iter().map(|(field, _)| field.clone()).collect();
    let time = checked.facts.time_alias.clone().unwrap_or_else(|| "time".into());
    std::iter::once(time).chain(result_names::column_names(&shown)).collect()
}

/// Returns the zone's shifts during the range. Includes one window before and after the range,
/// because a window may extend beyond the range.
fn shifts(checked: &CheckedSelect<'_>) -> Vec<(i64, i64)> {
    let Some(zone) = &checked.zone else { return Vec::new() };
    let around_ns = checked.facts.interval.every_ns.saturating_mul(3);
    let range = checked.range;
    zone.shifts(TimeRange::new(
        range.start_ns.saturating_sub(around_ns),
        range.end_ns.saturating_add(around_ns),
    ))
}

/// Rejects too many windows (1.x `max-select-buckets`).
fn window(checked: &CheckedSelect<'_>, limit: u64) -> Result<Option<Window>, QueryError> {
    let interval = checked.facts.interval;
    if interval.is_zero() {
        return Ok(None);
    }
    let window = Window {
        every_ns: interval.every_ns,
        offset_ns: interval.offset_ns,
        zone: shifts(checked),
    };
    if checked.has_lower_bound() && checked.facts.call_count > 0 && !checked.range.is_empty() {
        let first = window.start(checked.range.start_ns);
        let last = window.start(checked.range.end_ns.saturating_sub(1));
        let span = i128::from(last) - i128::from(first);
        let requested = (span / i128::from(interval.every_ns) + 1).unsigned_abs();
        if requested > u128::from(limit) {
            let requested = u64::try_from(requested).unwrap_or(u64::MAX);
            return Err(QueryError::Buckets { requested, limit });
        }
    }
    Ok(Some(window))
}

/// Returns the scans that the calls need. Partial states, rows and rows of the previous window need
/// separate scans.
fn feeds(built: &super::calls::BuiltCalls) -> Vec<Feed> {
    if built.calls.is_empty() {
        return vec![Feed { kind: FeedKind::Rows, calls: Vec::new(), extended: false }];
    }
    let mut feeds: Vec<Feed> = Vec::new();
    for (index, call) in built.calls.iter().enumerate() {
        let kind = call.base.feed_kind();
        match feeds.iter_mut().find(|f| f.kind == kind && f.extended == call.extended) {
            Some(feed) => feed.calls.push(index),
            None => feeds.push(Feed { kind, calls: vec![index], extended: call.extended }),
        }
    }
    feeds
}
