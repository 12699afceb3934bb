//! Merges a group's partial states from several shards, call by call.

use std::collections::BTreeMap;

use crate::data_type::DataType;
use crate::error::{QueryError, Result};
use crate::operators::join_limit::CallSeries;
use crate::operators::merge_rows::tag_column;
use crate::plan::{Binding, CallBase, CallPlan, SelectNode, Variable};
use crate::result::{Column, Values};
use crate::stream::{Front, Stream};
use crate::work::Work;
use tidemark_engine::batch::column::StringColumn;
use tidemark_engine::scan::error::ScanError;
use tidemark_engine::scan::page::{AuxValues, GroupData, PartialColumn};
use tidemark_engine::scan::partial::Merge;
use tidemark_engine::scan::request::{AggregateCall, AuxColumn, Input};
use tidemark_model::ids::ColumnId;

/// The work of merging a state of a call, in addition to one unit for each window of the state.
const MERGE_WORK: usize = 40;

/// The work of taking a call's states from a page.
const STATE_WORK: usize = 4;

/// The states of a call, and the positions of the `aux` columns.
pub(crate) type CallStates = Vec<(PartialColumn, Vec<Option<usize>>)>;

/// The partial states of the current group, collected from all streams.
#[derive(Debug, Default)]
pub(crate) struct PartialMerge {
    /// The states of the calls by position in the node, without calls that have no states.
    pub(crate) calls: BTreeMap<usize, CallStates>,
}

impl PartialMerge {
    /// Takes the states of group `key` from all streams. Returns the streams whose next page may
    /// contain more states of the group; `None` if the statement must first pause.
    pub(crate) fn collect(
        &mut self,
        key: &[String],
        streams: &mut [Stream],
        bindings: &[Binding],
        work: &Work,
    ) -> Result<Option<Vec<usize>>> {
        let mut missing = Vec::new();
        for (index, (stream, binding)) in streams.iter_mut().zip(bindings).enumerate() {
            loop {
                match stream.front() {
                    Front::Group(front) if front == key => {
                        if work.is_due() {
                            return Ok(None);
                        }
                        let Some(GroupData::Partials(partials)) = stream.pop() else {
                            return Err(QueryError::Page("the request was for partial states"));
                        };
                        work.add(partials.len() * STATE_WORK);
                        for (call, partial) in binding.calls.iter().zip(partials) {
                            let states = self.calls.entry(call.call).or_default();
                            states.push((partial, call.aux.clone()));
                        }
                    }
                    Front::Missing if stream.is_behind(key) => break,
                    Front::Missing => {
                        missing.push(index);
                        break;
                    }
                    Front::Group(_) | Front::End => break,
                }
            }
        }
        Ok(Some(missing))
    }
}

/// Returns a call's values in order of time; `None` if the call has no states. Awaits only
/// [`Work::spend`].
pub(crate) async fn merge(
    plan: &CallPlan,
    node: &SelectNode,
    states: CallStates,
    work: &Work,
) -> Result<Option<CallSeries>> {
    let partials: Vec<PartialColumn> =
        states.into_iter().map(|(partial, aux)| normal(partial, &aux, plan, node)).collect();
    let windows = partials.iter().map(|partial| partial.windows_ns.len());
    work.spend(windows.map(|windows| MERGE_WORK + windows).sum()).await;
    let call = partials.first().and_then(|first| merge_call(plan, node, first));
    call.map(|call| values(&call, &partials, node)).transpose()
}

/// Reorders the `aux` columns to match the plan's variables, with nulls for missing columns.
fn normal(
    mut partial: PartialColumn,
    positions: &[Option<usize>],
    plan: &CallPlan,
    node: &SelectNode,
) -> PartialColumn {
    let rows = partial.windows_ns.len();
    if node.window.is_none() {
        // A measurement and a subquery with the same name may have different start times.
        partial.windows_ns.fill(0);
    }
    let aux = plan.aux.iter().zip(positions);
    partial.aux = aux
        .map(|(&variable, position)| {
            let variable = node.variables.get(variable);
            let is_tag = variable.is_some_and(|variable| variable.data_type == DataType::Tag);
            match position.and_then(|position| partial.aux.get(position)).cloned() {
                // A subquery has the tag as a column.
                Some(AuxValues::Field(Column { values: Values::String(texts), .. })) if is_tag => {
                    AuxValues::Tag(texts)
                }
                known => known.unwrap_or_else(|| absent(variable, rows)),
            }
        })
        .collect();
    partial
}

fn absent(variable: Option<&Variable>, rows: usize) -> AuxValues {
    match variable.and_then(|variable| variable.data_type.field_type()) {
        Some(field_type) => {
            let mut column = Column::new(field_type);
            column.extend_nulls(rows);
            AuxValues::Field(column)
        }
        None => AuxValues::Tag((0..rows).map(|_| "").collect::<StringColumn>()),
    }
}

/// Returns the call whose states are merged. The merge needs only the types and identities of tags,
/// so each tag has the number of its variable. The fields next to the value have the types in the
/// `first` state.
fn merge_call(plan: &CallPlan, node: &SelectNode, first: &PartialColumn) -> Option<AggregateCall> {
    let CallBase::Merge(function) = plan.base else { return None };
    let input = |field_type| Input { column: ColumnId(0), field_type, cast: None };
    let aux = (plan.aux.iter().zip(&first.aux))
        .map(|(&variable, values)| match values {
            AuxValues::Field(column) => AuxColumn::Field(input(column.values.field_type())),
            AuxValues::Tag(_) => AuxColumn::Tag(ColumnId(variable as u32)),
        })
        .collect();
    let field_type = node.variables.get(plan.variable)?.data_type.field_type()?;
    Some(AggregateCall { function, input: input(field_type), aux })
}

fn values(
    call: &AggregateCall,
    partials: &[PartialColumn],
    node: &SelectNode,
) -> Result<CallSeries> {
    let shape = |_: ScanError| QueryError::Page("the partial states belong to another function");
    let mut merge = Merge::new(call).map_err(shape)?;
    for partial in partials {
        merge.add(partial).map_err(shape)?;
        if merge.windows() as u64 > node.query_windows_max {
            let requested = merge.windows() as u64;
            return Err(QueryError::Buckets { requested, limit: node.query_windows_max });
        }
    }
    let finished = merge.finish(node.direction);
    let times_ns = match (finished.times_ns, &node.window) {
        (Some(times_ns), _) if node.keeps_point_time => times_ns,
        (_, Some(_)) => finished.windows_ns,
        (_, None) => vec![node.whole_range_time_ns(); finished.windows_ns.len()],
    };
    let aux = finished.aux.into_iter().map(|column| {
        Some(match column {
            AuxValues::Field(column) => column,
            AuxValues::Tag(tags) => tag_column(&tags),
        })
    });
    Ok(CallSeries { times_ns, values: finished.values, aux: aux.collect() })
}

#[cfg(test)]
pub(super) mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::admission::QueryReservation;
    use crate::plan::CallSource;
    use crate::stream::tests::request;
    use tidemark_engine::scan::page::{Group, ScanPage};
    use tidemark_engine::scan::request::Output;
    use tidemark_model::limits::WORK_PER_TURN;

    /// Returns a stream with a group of these data.
    pub(in crate::operators) fn stream(output: Output, data: GroupData) -> Stream {
        let request = request(output);
        let key = Vec::new().into();
        let mut stream = Stream::new(0, 1, request, key, false, &QueryReservation::default());
        let groups = vec![Group { key: Vec::new(), data }];
        stream.supply(0, ScanPage { groups, ..ScanPage::default() }).unwrap();
        stream
    }

    #[test]
    fn states_of_many_streams_are_taken_in_turns() {
        let state = PartialColumn { windows_ns: vec![0], states: Vec::new(), aux: Vec::new() };
        let states = GroupData::Partials(vec![state; 100]);
        let output = Output::Aggregates { calls: Vec::new(), window: None, limit: None };
        let new = |_| stream(output.clone(), states.clone());
        let mut streams: Vec<Stream> = (0..100).map(new).collect();
        let calls = (0..100).map(|call| CallSource { call, aux: Vec::new() }).collect();
        let key: Rc<[Option<usize>]> = Vec::new().into();
        let bindings = vec![Binding { scan: 0, key, variables: Vec::new().into(), calls }; 100];
        let (mut merge, work) = (PartialMerge::default(), Work::default());
        // The rest of the turn suffices for the states of 50 streams.
        work.add(WORK_PER_TURN as usize - 50 * 100 * STATE_WORK);
        let mut collect = || merge.collect(&[], &mut streams, &bindings, &work).unwrap();
        assert_eq!(collect(), None);
        assert!(work.pauses().unwrap());
        assert_eq!(collect(), Some(Vec::new()));
        assert!(merge.calls.values().all(|states| states.len() == 100));
        assert_eq!(merge.calls.len(), 100);
    }
}
