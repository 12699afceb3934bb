//! Finds the parts that retention may drop. Parts with overlapping times are dropped together, so
//! the manifest need not record dropped parts.

use super::{Manifest, PartId};

/// Parts whose times overlap directly or through other parts, so that their rows may overwrite each
/// other. Without the parts with the latest values, older values would become visible when the
/// policy's duration is increased. Retention therefore drops either the whole component or no part.
struct Component {
    parts: Vec<PartId>,
    max_ns: i64,
}

impl Manifest {
    /// Returns the parts that have expired if all times before `before_ns` have expired. The caller
    /// must drop all of these parts in one transaction.
    pub fn expired(&self, before_ns: i64) -> Vec<PartId> {
        let is_over = |component: &Component| component.max_ns < before_ns;
        self.droppable().into_iter().filter(is_over).flat_map(|component| component.parts).collect()
    }

    /// Returns the latest time of the component that expires first.
    pub(crate) fn next_expiry_ns(&self) -> Option<i64> {
        self.droppable().iter().map(|component| component.max_ns).min()
    }

    /// Omits components with an input of the running job. Sorted by time.
    fn droppable(&self) -> Vec<Component> {
        let mut by_time: Vec<_> = self.parts.values().collect();
        by_time.sort_by_key(|part| part.min_ns);
        let mut components: Vec<Component> = Vec::new();
        for part in by_time {
            match components.last_mut() {
                Some(last) if part.min_ns <= last.max_ns => {
                    last.parts.push(part.id);
                    last.max_ns = last.max_ns.max(part.max_ns);
                }
                _ => components.push(Component { parts: vec![part.id], max_ns: part.max_ns }),
            }
        }
        if let Some(job) = &self.job {
            components.retain(|component| !component.parts.iter().any(|&id| job.has(id)));
        }
        components
    }
}
