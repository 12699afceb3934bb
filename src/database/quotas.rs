//! Changes what callers may use of this database. The limits travel with every frame and question,
//! so who knows older ones must be stale: a change raises the generation (PROTOCOL.md rule 2).

use super::job::JobKind;
use super::rows::DatabaseRows;
use crate::model::limits::QUOTAS_PER_DATABASE_MAX;
use crate::model::quota::Quotas;
use crate::protocol::database::{DatabaseRefusal, PolicyRefusal, QuotaChange};

/// The job that makes a change; `None` where it is so already.
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

/// What there is once the change is made.
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
