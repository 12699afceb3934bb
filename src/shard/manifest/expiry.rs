//! What retention may drop: whole components of overlapping times, so that nothing has to remember
//! what was dropped.

use super::{Manifest, PartId};

/// Parts, of whatever measurements, whose times overlap, directly or through others. Their rows may
/// overwrite each other: without the later ones older values would return, which a longer duration
/// would show. So all of them go at once, or none.
struct Component {
    parts: Vec<PartId>,
    /// The latest time of all of them.
    max_ns: i64,
}

impl Manifest {
    /// Parts that have expired when times before `before_ns` have. Whoever drops one drops all of
    /// them in one transaction.
    pub fn expired(&self, before_ns: i64) -> Vec<PartId> {
        let is_over = |component: &Component| component.max_ns < before_ns;
        self.droppable().into_iter().filter(is_over).flat_map(|component| component.parts).collect()
    }

    /// The least time behind which something has expired: the latest of the component that goes
    /// first. `None` without parts that may be dropped.
    pub fn next_expiry_ns(&self) -> Option<i64> {
        self.droppable().iter().map(|component| component.max_ns).min()
    }

    /// The components without an input of the running job, in order of time. While one of its parts
    /// stays, all do.
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
