//! Computes the time range of the next run of a continuous query with 1.x's rules
//! (`services/continuous_querier`, `ExecuteContinuousQuery`).

use super::dimensions;
use super::local_time::Zone;
use super::split_time;
use crate::error::{QueryError, Result};
use tidemark_influxql::ast::{BinaryOp, CreateContinuousQueryStatement, Expr, SelectStatement};
use tidemark_model::limits::WINDOWS_PER_RUN_MAX;

/// A run of a continuous query.
#[derive(Clone, Debug, PartialEq)]
pub struct ContinuousRun {
    /// The statement with the time range in WHERE; `None` if no window is due.
    pub select: Option<Box<SelectStatement>>,
    /// The watermark after the run, in nanoseconds.
    pub last_run_ns: i64,
    /// The due time of the following run, in nanoseconds.
    pub next_run_ns: i64,
    /// The number of windows in the run.
    pub windows: i64,
}

/// Returns the run of `create` that is due at `now_ns`; `None` if no run is due, for example after
/// a clock change. `last_run_ns` is the previous run's watermark. A run that catches up after
/// missed runs covers `windows_max` windows. If `windows_max` is less than [`WINDOWS_PER_RUN_MAX`],
/// every run covers `windows_max` windows.
///
/// # Errors
/// [`QueryError::Invalid`]
pub fn next_run(
    create: CreateContinuousQueryStatement,
    last_run_ns: Option<i64>,
    windows_max: i64,
    now_ns: i64,
) -> Result<Option<ContinuousRun>> {
    let mut select = create.source;
    let zone = select.timezone.as_deref().map(Zone::find).transpose()?;
    let interval = dimensions::check(&select, now_ns, zone.as_ref())?;
    let (interval_ns, offset_ns) = (interval.every_ns, interval.offset_ns);
    if interval_ns <= 0 {
        return Err(QueryError::Invalid("continuous queries must be aggregate queries".into()));
    }
    let or = |given_ns: i64, otherwise_ns| if given_ns == 0 { otherwise_ns } else { given_ns };
    let every_ns = or(create.resample_every_ns, interval_ns);
    let for_ns = or(create.resample_for_ns, interval_ns.max(every_ns));
    let zone = zone.as_ref();
    // The last window border up to `time_ns`, with the query's offset.
    let border = |time_ns: i64, width_ns| {
        truncate(time_ns.saturating_sub(offset_ns), width_ns, zone).saturating_add(offset_ns)
    };
    let after = |last_ns: i64| {
        let next_ns = last_ns.saturating_add(every_ns);
        let shift_ns = shift_ns(zone, last_ns - 1) - shift_ns(zone, next_ns - 1);
        if shift_ns.abs() < every_ns { next_ns + shift_ns } else { next_ns }
    };
    let next_ns = last_run_ns.map_or(now_ns, after);
    if next_ns > now_ns {
        return Ok(None);
    }
    let mut last_ns = border(now_ns, every_ns);
    let first_ns = next_ns.saturating_add(interval_ns).saturating_sub(for_ns).saturating_sub(1);
    let start_ns = border(first_ns, interval_ns);
    let step_ns = every_ns.min(interval_ns);
    let mut end_ns =
        border(now_ns.saturating_add(interval_ns).saturating_sub(step_ns), interval_ns);
    let step_end_ns = start_ns.saturating_add(interval_ns.saturating_mul(windows_max));
    // With this watermark, the next run starts at the end of this run. After a run that was too
    // large, consecutive runs of the reduced size must cover every window, so the watermark may
    // then exceed `now_ns`.
    let step_last_ns = step_end_ns.saturating_add(for_ns).saturating_sub(every_ns);
    let is_reduced = windows_max < WINDOWS_PER_RUN_MAX;
    let catches_up = last_run_ns.is_some() && step_last_ns < last_ns;
    if step_end_ns < end_ns && (is_reduced || catches_up) {
        (end_ns, last_ns) = (step_end_ns, step_last_ns);
    }
    let run = |select, windows| ContinuousRun {
        select,
        last_run_ns: last_ns,
        next_run_ns: after(last_ns),
        windows,
    };
    if end_ns <= start_ns {
        return Ok(Some(run(None, 0)));
    }
    let (rest, _) = split_time(select.condition.as_ref(), now_ns)?;
    let time = |op, ns| Expr::binary(op, Expr::var_ref("time"), Expr::IntegerLiteral(ns));
    let range =
        Expr::binary(BinaryOp::And, time(BinaryOp::Ge, start_ns), time(BinaryOp::Lt, end_ns));
    select.condition = Some(match rest {
        Some(rest) => Expr::binary(BinaryOp::And, Expr::Paren(Box::new(rest)), range),
        None => range,
    });
    let windows = end_ns.saturating_sub(start_ns) / interval_ns;
    Ok(Some(run(Some(select), windows)))
}

fn shift_ns(zone: Option<&Zone>, time_ns: i64) -> i64 {
    zone.map_or(0, |zone| zone.shift_ns(time_ns))
}

/// Returns the last window border up to `time_ns`, in the zone's local time.
fn truncate(time_ns: i64, width_ns: i64, zone: Option<&Zone>) -> i64 {
    let shift = shift_ns(zone, time_ns);
    let past_ns = time_ns.saturating_add(shift).checked_rem_euclid(width_ns).unwrap_or(0);
    let border_ns = time_ns.saturating_sub(past_ns);
    let change_ns = shift - shift_ns(zone, border_ns);
    if change_ns.abs() < width_ns { border_ns.saturating_add(change_ns) } else { border_ns }
}

#[cfg(test)]
mod tests;
