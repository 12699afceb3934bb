//! Caches the health of the Catalog.

use tidemark_model::limits::CATALOG_HEALTH_REMEMBERED_NS;

/// The cached health of the Catalog.
#[derive(Debug, Default)]
pub struct CatalogHealth {
    /// The last result of a call, and its time.
    cached: Option<(bool, i64)>,
    /// The start time of a running call.
    call_began_ns: Option<i64>,
}

impl CatalogHealth {
    /// Returns the cached health, or `None` if the caller must call the Catalog. While a call is
    /// running, other callers receive the earlier result.
    pub fn cached(&self, now_ns: i64) -> Option<bool> {
        let (is_available, since_ns) = self.cached?;
        let recent = |since_ns: i64| now_ns.saturating_sub(since_ns) < CATALOG_HEALTH_REMEMBERED_NS;
        (recent(since_ns) || self.call_began_ns.is_some_and(recent)).then_some(is_available)
    }

    /// Records that a call to the Catalog starts.
    pub fn begin_call(&mut self, now_ns: i64) {
        self.call_began_ns = Some(now_ns);
    }

    /// Stores the result of a call.
    pub fn on_reply(&mut self, is_available: bool, now_ns: i64) {
        *self = Self { cached: Some((is_available, now_ns)), call_began_ns: None };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidemark_model::time::S_NS;

    #[test]
    fn catalog_health_is_cached_five_seconds() {
        let mut health = CatalogHealth::default();
        assert_eq!(health.cached(0), None);
        health.begin_call(0);
        assert_eq!(health.cached(0), None, "nothing can be said before the first reply");
        health.on_reply(true, S_NS);
        assert_eq!(health.cached(6 * S_NS - 1), Some(true));
        assert_eq!(health.cached(6 * S_NS), None);
        health.begin_call(6 * S_NS);
        assert_eq!(health.cached(6 * S_NS), Some(true), "a call is running");
        assert_eq!(health.cached(11 * S_NS), None);
        health.on_reply(false, 11 * S_NS);
        assert_eq!(health.cached(12 * S_NS), Some(false));
    }
}
