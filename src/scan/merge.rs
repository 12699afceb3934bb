//! Runs of one series from several parts to runs that do not overlap.
//!
//! Last write wins, field by field.

use std::rc::Rc;

use super::error::ScanError;
use super::source::{Rows, Run};
use crate::batch::column::Column;
use crate::batch::picker::Picker;
use crate::model::ids::ColumnId;
use crate::model::sorted;

/// Merges runs of one series, given by ascending write sequence, each ascending in time. The
/// answer ascends in time without overlap. Runs that overlap no other are handed on untouched.
///
/// # Errors
/// [`ScanError::ColumnType`] when two blocks disagree about a column.
pub(super) fn merge(mut runs: Vec<Run>) -> Result<Vec<Run>, ScanError> {
    // Stable, so that runs of one start stay in the order of their sequence.
    let mut order: Vec<usize> = (0..runs.len()).collect();
    let bounds: Vec<(i64, i64)> = runs.iter().map(bounds).collect();
    let bound = |run: usize| bounds.get(run).copied().unwrap_or_default();
    if (1..runs.len()).all(|run| bound(run - 1).1 < bound(run).0) {
        return Ok(runs);
    }
    sorted::sort_by_key(&mut order, |&run| bound(run).0);
    let mut merged = Vec::new();
    let mut clusters: Vec<Vec<usize>> = Vec::new();
    let mut end_ns = i64::MIN;
    for run in order {
        let (start_ns, last_ns) = bound(run);
        match clusters.last_mut() {
            Some(cluster) if start_ns <= end_ns => cluster.push(run),
            _ => clusters.push(vec![run]),
        }
        end_ns = end_ns.max(last_ns);
    }
    let mut runs: Vec<Option<Run>> = runs.drain(..).map(Some).collect();
    for mut cluster in clusters {
        sorted::sort(&mut cluster);
        let mut taken: Vec<Run> =
            cluster.iter().filter_map(|&run| runs.get_mut(run)?.take()).collect();
        merged.push(match (taken.pop(), taken.is_empty()) {
            (Some(only), true) => only,
            (Some(last), false) => {
                taken.push(last);
                overlay(&taken)?
            }
            (None, _) => continue,
        });
    }
    Ok(merged)
}

/// First and last time of a run, which is never empty.
fn bounds(run: &Run) -> (i64, i64) {
    let times = run.times();
    (times.first().copied().unwrap_or(i64::MIN), times.last().copied().unwrap_or(i64::MIN))
}

/// One row of one of the runs: which run, and the row's position in its block.
type Origin = (u32, u32);

/// Lays runs over each other, later ones on top.
fn overlay(runs: &[Run]) -> Result<Run, ScanError> {
    let mut rows: Vec<(i64, Origin)> = Vec::with_capacity(runs.iter().map(|r| r.rows.len()).sum());
    for (number, run) in runs.iter().enumerate() {
        let positions = run.rows.clone().map(|row| (number as u32, row as u32));
        rows.extend(run.times().iter().copied().zip(positions));
    }
    // Stable and fast on sorted runs; equal times stay in the order of their sequence.
    rows.sort_by_key(|&(time_ns, _)| time_ns);
    let mut times_ns: Vec<i64> = Vec::with_capacity(rows.len());
    // For each row of the answer the end of its origins.
    let mut ends: Vec<u32> = Vec::with_capacity(rows.len());
    for (position, &(time_ns, _)) in rows.iter().enumerate() {
        if times_ns.last() == Some(&time_ns) {
            ends.pop();
        } else {
            times_ns.push(time_ns);
        }
        ends.push(position as u32 + 1);
    }
    let mut ids: Vec<ColumnId> =
        runs.iter().flat_map(|run| run.block.columns.iter().map(|(id, _)| *id)).collect();
    sorted::sort(&mut ids);
    ids.dedup();
    let mut columns = Vec::with_capacity(ids.len());
    for id in ids {
        columns.push((id, overlay_column(runs, id, &rows, &ends)?));
    }
    let rows = 0..times_ns.len();
    Ok(Run { block: Rc::new(Rows { times_ns, columns }), rows })
}

fn overlay_column(
    runs: &[Run],
    id: ColumnId,
    rows: &[(i64, Origin)],
    ends: &[u32],
) -> Result<Column, ScanError> {
    let sources: Vec<Option<&Column>> = runs.iter().map(|run| run.column(id)).collect();
    let mut types = sources.iter().flatten().map(|column| column.values.field_type());
    let Some(expected) = types.next() else {
        return Ok(Column::new(crate::model::value::FieldType::Float));
    };
    if let Some(stored) = types.find(|&stored| stored != expected) {
        return Err(ScanError::ColumnType { column: id, stored, expected });
    }
    let mut merged = Picker::new(expected, sources.iter().flatten().copied());
    // Runs without the column are none of the picker's.
    let mut numbers = (0..).map(Some);
    let numbers: Vec<Option<usize>> =
        sources.iter().map(|source| source.and_then(|_| numbers.next().flatten())).collect();
    let mut start = 0;
    for &end in ends {
        let origins = rows.get(start..end as usize).unwrap_or_default();
        let newest = origins.iter().rev().find_map(|&(_, (run, row))| {
            let column = sources.get(run as usize).copied().flatten()?;
            let number = numbers.get(run as usize).copied().flatten()?;
            column.validity.is_valid(row as usize).then_some((number, row as usize))
        });
        match newest {
            Some((number, row)) => merged.push(number, row),
            None => merged.push_null(),
        }
        start = end as usize;
    }
    Ok(merged.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::column::Values;
    use crate::model::value::FieldType;

    fn run(times_ns: &[i64], columns: &[(u32, &[Option<i64>])]) -> Run {
        let columns = columns.iter().map(|(id, values)| {
            let mut column = Column::new(FieldType::Integer);
            for value in *values {
                match value {
                    Some(v) => column.push_from(&Column::full(Values::Integer(vec![*v])), 0),
                    None => {
                        column.push_null();
                        true
                    }
                };
            }
            (ColumnId(*id), column)
        });
        let block = Rows { times_ns: times_ns.to_vec(), columns: columns.collect() };
        Run { rows: 0..times_ns.len(), block: Rc::new(block) }
    }

    #[test]
    fn runs_apart_in_time_are_not_copied() {
        let (a, b) = (run(&[5, 6], &[]), run(&[1, 2], &[]));
        let merged = merge(vec![a.clone(), b.clone()]).unwrap();
        assert!(Rc::ptr_eq(&merged[0].block, &b.block) && Rc::ptr_eq(&merged[1].block, &a.block));
    }

    #[test]
    fn later_values_win_field_by_field() {
        let old = run(&[1, 2, 4], &[(1, &[Some(1), Some(2), Some(4)])]);
        let new = run(&[2, 3], &[(1, &[None, Some(30)]), (2, &[Some(20), None])]);
        let newest = run(&[4, 9], &[(1, &[Some(40), Some(90)])]);
        let merged = merge(vec![old, new, newest]).unwrap();
        let expected = run(
            &[1, 2, 3, 4, 9],
            &[
                (1, &[Some(1), Some(2), Some(30), Some(40), Some(90)]),
                (2, &[None, Some(20), None, None, None]),
            ],
        );
        assert_eq!(merged.len(), 1);
        assert_eq!(merged[0].block, expected.block);
    }
}
