//! Changes the limits of this database. Every frame and query contains the limits, so a sender with
//! old limits must become stale. A change therefore raises the generation (PROTOCOL.md rule 2).

use super::job::JobKind;
use super::rows::DatabaseRows;
use crate::model::limits::QUOTAS_PER_DATABASE_MAX;
use crate::model::quota::Quotas;
use crate::protocol::database::{DatabaseRefusal, PolicyRefusal, QuotaChange};

/// Returns the job that changes the limits, or `None` if the limits stay the same.
///
/// # Errors
/// [`PolicyRefusal::TooManyQuotas`]
pub(super) fn plan(
    rows: &DatabaseRows,
    change: &QuotaChange,
) -> Result<Option<JobKind>, DatabaseRefusal> {
    let quotas = changed(&rows.quotas, change);
    if quotas == rows.quotas {
        return Ok(None);
    }
    if quotas.callers.len() > QUOTAS_PER_DATABASE_MAX {
        let limit = QUOTAS_PER_DATABASE_MAX as u64;
        return Err(DatabaseRefusal::Policy(PolicyRefusal::TooManyQuotas { limit }));
    }
    let generation = rows.state.generation + 1;
    Ok(Some(JobKind::SetQuota { change: change.clone(), generation }))
}

pub(super) fn changed(quotas: &Quotas, change: &QuotaChange) -> Quotas {
    let mut quotas = quotas.clone();
    match change {
        QuotaChange::Database { rates, stored_bytes, series } => {
            (quotas.rates, quotas.stored_bytes) = (*rates, *stored_bytes);
            quotas.series = *series;
        }
        QuotaChange::Caller(quota) => quotas.set_caller(quota.clone()),
    }
    quotas
}
