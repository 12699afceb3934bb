//! Stores the running queries in memory only; [`tidemark_engine::protocol::live_queries`] explains the
//! reason.

use tidemark_engine::protocol::catalog::{CatalogRefusal, FromCatalog};
use tidemark_engine::protocol::live_queries::LiveQuery;
use tidemark_model::ids::ObjectId;
use tidemark_model::limits::{
    QUERIES_LISTED_BYTES_MAX, QUERIES_LISTED_MAX, QUERY_LISTED_NS, QUERY_LISTED_TEXT_BYTES_MAX,
};

/// The queries, oldest first, each with the time of its last report in nanoseconds.
#[derive(Default)]
pub(super) struct Queries(Vec<(LiveQuery, i64)>);

impl Queries {
    fn expire(&mut self, now_ns: i64) {
        self.0.retain(|(_, seen_ns)| now_ns.saturating_sub(*seen_ns) < QUERY_LISTED_NS);
    }

    pub(super) fn report(&mut self, mut query: LiveQuery, now_ns: i64) -> FromCatalog {
        self.expire(now_ns);
        let known = self.0.iter_mut().find(|(known, _)| known.id == query.id);
        if let Some((known, seen_ns)) = known {
            *seen_ns = now_ns;
            return FromCatalog::Reported { killed: known.killed };
        }
        query.text.truncate(query.text.floor_char_boundary(QUERY_LISTED_TEXT_BYTES_MAX));
        query.text.shrink_to_fit();
        let known = self.0.iter().map(|(known, _)| bytes_of(known));
        let mut bytes = bytes_of(&query) + known.sum::<usize>();
        while let Some((oldest, _)) = self.0.first()
            && (self.0.len() >= QUERIES_LISTED_MAX || bytes > QUERIES_LISTED_BYTES_MAX)
        {
            bytes -= bytes_of(oldest);
            self.0.remove(0);
        }
        self.0.push((query, now_ns));
        FromCatalog::Reported { killed: false }
    }

    pub(super) fn end(&mut self, id: u64) -> FromCatalog {
        self.0.retain(|(known, _)| known.id != id);
        FromCatalog::Reported { killed: false }
    }

    pub(super) fn list(&mut self, now_ns: i64) -> FromCatalog {
        self.expire(now_ns);
        FromCatalog::Queries(self.0.iter().map(|(query, _)| query.clone()).collect())
    }

    /// Marks a query as killed. The reply lists the shards that the query reads, which the edge
    /// must notify.
    pub(super) fn kill(&mut self, id: u64, now_ns: i64) -> FromCatalog {
        self.expire(now_ns);
        match self.0.iter_mut().find(|(known, _)| known.id == id) {
            None => FromCatalog::Refused(CatalogRefusal::NoSuchQuery { id }),
            Some((query, _)) if query.killed => FromCatalog::Refused(CatalogRefusal::AlreadyKilled),
            Some((query, _)) => {
                query.killed = true;
                FromCatalog::Queries(vec![query.clone()])
            }
        }
    }
}

fn bytes_of(query: &LiveQuery) -> usize {
    let shards = query.shards.iter().map(|shard| size_of::<ObjectId>() + shard.0.len());
    query.text.len() + query.database.len() + query.user.len() + shards.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidemark_model::time::S_NS;

    #[test]
    fn live_query_expires_after_minute() {
        let query = |id| LiveQuery { id, ..LiveQuery::default() };
        let mut queries = Queries::default();
        let listed = |queries: &mut Queries, seconds| match queries.list(seconds * S_NS) {
            FromCatalog::Queries(all) => all.iter().map(|query| query.id).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        };
        queries.report(query(1), 0);
        queries.report(query(2), 0);
        queries.report(query(2), 30 * S_NS);
        assert_eq!(listed(&mut queries, 59), [1, 2]);
        assert_eq!(listed(&mut queries, 60), [2]);
        queries.end(2);
        assert_eq!(listed(&mut queries, 60), [0; 0]);
        let refused = |id| FromCatalog::Refused(CatalogRefusal::NoSuchQuery { id });
        assert_eq!(queries.kill(2, 60 * S_NS), refused(2));
    }

    #[test]
    fn listed_queries_use_bounded_memory() {
        let mut queries = Queries::default();
        let text = "é".repeat(QUERY_LISTED_TEXT_BYTES_MAX);
        let shards = vec![ObjectId("0".repeat(64)); 1_000];
        for id in 1..=200 {
            let (text, shards) = (text.clone(), shards.clone());
            queries.report(LiveQuery { id, text, shards, ..LiveQuery::default() }, 0);
        }
        let FromCatalog::Queries(all) = queries.list(0) else { panic!() };
        assert!(all.iter().map(bytes_of).sum::<usize>() <= QUERIES_LISTED_BYTES_MAX);
        assert!(all.iter().all(|query| query.text.len() <= QUERY_LISTED_TEXT_BYTES_MAX));
        let ids: Vec<u64> = all.iter().map(|query| query.id).collect();
        assert!(ids.len() > 50 && ids.last() == Some(&200), "{ids:?}");
    }

    #[test]
    fn killed_query_learns_at_next_report() {
        let query = LiveQuery { id: 7, ..LiveQuery::default() };
        let mut queries = Queries::default();
        assert_eq!(queries.report(query.clone(), 0), FromCatalog::Reported { killed: false });
        assert!(matches!(queries.kill(7, 1), FromCatalog::Queries(_)));
        assert_eq!(queries.report(query, 2), FromCatalog::Reported { killed: true });
        assert_eq!(queries.kill(7, 3), FromCatalog::Refused(CatalogRefusal::AlreadyKilled));
    }
}
