//! Caches, for each isolate, whether the Catalog responds.
//!
//! Monitoring systems may poll `/health` every second, so most polls must not call the Catalog.

use crate::model::limits::CATALOG_HEALTH_REMEMBERED_NS;

/// The cached health of the Catalog.
#[derive(Debug, Default)]
pub struct CatalogHealth {
    known: Option<(bool, i64)>,
    /// The start time of a running call.
    asked_ns: Option<i64>,
}

impl CatalogHealth {
    /// Returns the cached health, or `None` if the caller must call the Catalog.
    pub fn known(&self, now_ns: i64) -> Option<bool> {
        let (answers, since_ns) = self.known?;
        let recent = |since_ns: i64| now_ns.saturating_sub(since_ns) < CATALOG_HEALTH_REMEMBERED_NS;
        (recent(since_ns) || self.asked_ns.is_some_and(recent)).then_some(answers)
    }

    /// Records that a call to the Catalog starts.
    pub fn begin_call(&mut self, now_ns: i64) {
        self.asked_ns = Some(now_ns);
    }

    /// Stores the result of a call.
    pub fn on_reply(&mut self, answers: bool, now_ns: i64) {
        *self = Self { known: Some((answers, now_ns)), asked_ns: None };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::S_NS;

    #[test]
    fn catalog_health_is_cached_five_seconds() {
        let mut health = CatalogHealth::default();
        assert_eq!(health.known(0), None);
        health.begin_call(0);
        assert_eq!(health.known(0), None, "nothing can be said before the first answer");
        health.on_reply(true, S_NS);
        assert_eq!(health.known(6 * S_NS - 1), Some(true));
        assert_eq!(health.known(6 * S_NS), None);
        health.begin_call(6 * S_NS);
        assert_eq!(health.known(6 * S_NS), Some(true), "somebody is asking");
        assert_eq!(health.known(11 * S_NS), None);
        health.on_reply(false, 11 * S_NS);
        assert_eq!(health.known(12 * S_NS), Some(false));
    }
}
