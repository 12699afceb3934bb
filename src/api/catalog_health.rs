//! Remembers, for an isolate, whether the Catalog answers.
//!
//! What monitors ask every second must cost nothing: the Catalog is asked by one of them, and the
//! others are told the same for [`CATALOG_HEALTH_REMEMBERED_NS`].

use crate::model::limits::CATALOG_HEALTH_REMEMBERED_NS;

/// What an isolate knows of the Catalog.
#[derive(Debug, Default)]
pub struct CatalogHealth {
    /// Whether the Catalog answered when it was last asked, and when that was.
    known: Option<(bool, i64)>,
    /// Since when it is being asked.
    asked_ns: Option<i64>,
}

impl CatalogHealth {
    /// What is known of the Catalog; `None` when whoever wants to know has to ask it.
    pub fn known(&self, now_ns: i64) -> Option<bool> {
        let (answers, since_ns) = self.known?;
        let recent = |since_ns: i64| now_ns.saturating_sub(since_ns) < CATALOG_HEALTH_REMEMBERED_NS;
        (recent(since_ns) || self.asked_ns.is_some_and(recent)).then_some(answers)
    }

    /// Somebody asks the Catalog.
    pub fn asking(&mut self, now_ns: i64) {
        self.asked_ns = Some(now_ns);
    }

    /// Takes what came of it.
    pub fn learn(&mut self, answers: bool, now_ns: i64) {
        *self = Self { known: Some((answers, now_ns)), asked_ns: None };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::S_NS;

    #[test]
    fn one_asks_and_the_others_are_told_the_same_for_five_seconds() {
        let mut health = CatalogHealth::default();
        assert_eq!(health.known(0), None);
        health.asking(0);
        assert_eq!(health.known(0), None, "nothing can be said before the first answer");
        health.learn(true, S_NS);
        assert_eq!(health.known(6 * S_NS - 1), Some(true));
        assert_eq!(health.known(6 * S_NS), None);
        health.asking(6 * S_NS);
        assert_eq!(health.known(6 * S_NS), Some(true), "somebody is asking");
        // Who asked went away.
        assert_eq!(health.known(11 * S_NS), None);
        health.learn(false, 11 * S_NS);
        assert_eq!(health.known(12 * S_NS), Some(false));
    }
}
