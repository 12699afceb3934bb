//! Creates the rows of the SQL table `system.queries`.

use crate::model::time::S_NS;
use crate::protocol::live_queries::LiveQuery;

/// Returns one row for each running query of the database, in the order of the columns in
/// `sql/src/tables/system.rs`.
pub(super) fn rows(all: &[LiveQuery], database: &str, now_ns: i64) -> Vec<Vec<Option<String>>> {
    let of_database = all.iter().filter(|query| query.database == database);
    let row = |query: &LiveQuery| {
        let phase = if query.killed { "killed" } else { "running" };
        let running_s = now_ns.saturating_sub(query.started_ns) / S_NS;
        vec![
            Some(query.id.to_string()),
            Some(phase.to_owned()),
            Some(query.started_ns.to_string()),
            None,
            Some(query.text.clone()),
            Some(format!("{running_s}s")),
        ]
    };
    of_database.map(row).collect()
}
