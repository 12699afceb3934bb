//! Continuous queries: one row each, rewritten by every run that moves its watermark.

use super::rows::Rows;
use super::{Database, Halt};
use crate::model::limits::{
    CONTINUOUS_QUERIES_MAX, CONTINUOUS_QUERY_BYTES_MAX, JOB_FAILURES_MAX, JOB_RETRY_NS,
};
use crate::protocol::call::Platform;
use crate::protocol::continuous::{ContinuousQuery, DueRun, Scheduled};
use crate::protocol::database::{DatabaseRefusal, FromDatabase, PolicyRefusal};
use crate::store::row;
use crate::store::{Store, StoreError, Table};

/// Keys of these rows; policies lie below.
pub(super) const FIRST_KEY: u64 = 1 << 40;
/// After failures a query is tried again at most this much later.
const RETRY_NS_MAX: i64 = 60 * JOB_RETRY_NS;

/// A continuous query in memory.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Key of its row.
    key: u64,
    query: ContinuousQuery,
    /// After a run was started: not before this, nanoseconds.
    not_before_ns: i64,
    failures: u32,
}

impl Kept {
    fn due_ns(&self, now_ns: i64) -> Option<i64> {
        self.query.next_run_ns(now_ns).map(|next_ns| next_ns.max(self.not_before_ns))
    }
}

/// Reads a row that lies at or above [`FIRST_KEY`].
pub(super) fn load(rows: &mut Rows, key: u64, head: &[u8]) -> Result<(), StoreError> {
    let query = row::read::<ContinuousQuery>(Table::Entry, key, head)?;
    rows.continuous.push(Kept { key, query, not_before_ns: 0, failures: 0 });
    Ok(())
}

/// When the next run is due, nanoseconds. One that never ran is due at once.
pub(super) fn next_due_ns(rows: &Rows) -> Option<i64> {
    let next_ns = rows.continuous.iter().filter_map(|kept| kept.due_ns(i64::MIN)).min();
    next_ns.map(|next_ns| rows.busy_until_ns.unwrap_or(next_ns))
}

/// What keeps failing, in words for SHOW DIAGNOSTICS.
pub(super) fn troubles(rows: &Rows) -> impl Iterator<Item = String> {
    let failing = rows.continuous.iter().filter(|kept| kept.failures > JOB_FAILURES_MAX);
    failing.map(|kept| format!("continuous query {} cannot run", kept.query.name))
}

impl<S: Store> Database<S> {
    pub(super) fn create_continuous(
        &mut self,
        query: &ContinuousQuery,
    ) -> Result<FromDatabase, Halt> {
        let rows = self.open_rows()?;
        if let Some(kept) = rows.continuous.iter().find(|kept| kept.query.name == query.name) {
            if kept.query.text == query.text {
                return Ok(FromDatabase::Done);
            }
            return Err(DatabaseRefusal::Policy(PolicyRefusal::ContinuousQueryExists).into());
        }
        let is_large = query.text.len() > CONTINUOUS_QUERY_BYTES_MAX;
        if is_large || rows.continuous.len() >= CONTINUOUS_QUERIES_MAX {
            let refusal = PolicyRefusal::TooManyContinuousQueries {
                limit: CONTINUOUS_QUERIES_MAX as u64,
                bytes: CONTINUOUS_QUERY_BYTES_MAX as u64,
            };
            return Err(DatabaseRefusal::Policy(refusal).into());
        }
        let key = rows.continuous.last().map_or(FIRST_KEY, |last| last.key + 1);
        let kept = Kept { key, query: query.clone(), not_before_ns: 0, failures: 0 };
        self.store.put(Table::Entry, key, &row::encode(query)?, &[])?;
        self.open_rows()?.continuous.push(kept);
        Ok(FromDatabase::Done)
    }

    pub(super) fn drop_continuous(&mut self, name: &str) -> Result<FromDatabase, Halt> {
        let rows = self.open_rows()?;
        if let Some(at) = rows.continuous.iter().position(|kept| kept.query.name == name) {
            let key = rows.continuous.remove(at).key;
            self.store.delete(Table::Entry, key..=key)?;
        }
        Ok(FromDatabase::Done)
    }

    pub(super) fn list_continuous(&mut self) -> Result<FromDatabase, Halt> {
        let all = self.open_rows()?.continuous.iter();
        let all = all.map(|kept| (kept.query.name.clone(), kept.query.text.clone()));
        Ok(FromDatabase::ContinuousQueries(all.collect()))
    }
}

impl<S: Store> Scheduled for Database<S> {
    fn due_run(&mut self, platform: &dyn Platform, busy: bool) -> Option<DueRun> {
        let now_ns = platform.now_ns();
        let rows = self.open_rows().ok()?;
        rows.busy_until_ns = busy.then(|| now_ns.saturating_add(JOB_RETRY_NS));
        if busy {
            return None;
        }
        let due = |kept: &&mut Kept| kept.due_ns(now_ns).is_some_and(|due_ns| due_ns <= now_ns);
        let oldest = |kept: &&mut Kept| kept.due_ns(i64::MIN);
        let kept = rows.continuous.iter_mut().filter(due).min_by_key(oldest)?;
        kept.failures = kept.failures.saturating_add(1);
        let wait_ns = JOB_RETRY_NS.saturating_mul(1 << kept.failures.min(10)).min(RETRY_NS_MAX);
        kept.not_before_ns = now_ns.saturating_add(wait_ns);
        rows.busy_until_ns = Some(now_ns.saturating_add(JOB_RETRY_NS));
        let query = kept.query.clone();
        Some(DueRun { database: rows.state.create.name.clone(), query })
    }

    fn ended(&mut self, platform: &dyn Platform, query: &ContinuousQuery, ran_ns: Option<i64>) {
        let Ok(rows) = self.open_rows() else { return };
        rows.busy_until_ns = None;
        let kept = rows.continuous.iter_mut().find(|kept| kept.query == *query);
        let (Some(kept), Some(_)) = (kept, ran_ns) else { return };
        kept.query.last_run_ns = ran_ns;
        kept.not_before_ns = 0;
        kept.failures = 0;
        let (key, head) = (kept.key, row::encode(&kept.query));
        let stored = head.and_then(|head| self.store.put(Table::Entry, key, &head, &[]));
        if let Err(error) = stored {
            self.distrust(platform, &error);
        }
    }
}
