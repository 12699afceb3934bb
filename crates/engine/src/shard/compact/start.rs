//! Adds a job to the manifest: the inputs, the ids of the outputs, and the keys of their values.

use crate::shard::Shard;
use crate::shard::limits::SERIES_CELLS;
use crate::shard::manifest::{Merge, Part, PartId};
use crate::shard::request::Refusal;
use crate::shard::slots::Slots;
use crate::store::Store;

const OUTPUTS_MAX: u64 = 4_096;
/// The number of reserved keys in addition to one per input value. An output needs another key if
/// its last value is not full.
const KEYS_BESIDE: u32 = 4;

impl<S: Store> Shard<S> {
    /// Returns `false` if no merge has parts.
    ///
    /// A job with few cells is kept only in memory, to save a row write. If the object restarts,
    /// the job is lost and chosen again. In the stored manifest, the keys of its values are free.
    pub(super) fn start(&mut self, merges: Vec<Vec<PartId>>) -> Result<bool, Refusal> {
        let step_cells = self.limits.step_cells;
        let loaded = self.load()?;
        let known = loaded.deletions.last_sequence();
        let mut draft = loaded.draft();
        let manifest = &mut draft.manifest;
        let slots = Slots::of(manifest.width_ns);
        let (mut started, mut cells, mut keys) = (Vec::new(), 0_u64, KEYS_BESIDE);
        for mut inputs in merges {
            inputs.sort();
            let parts = inputs.iter().filter_map(|id| loaded.manifest().parts().get(id));
            let parts: Vec<&Part> = parts.collect();
            let Some((first, last)) = slots.span(parts.iter().copied()) else { continue };
            let count = last.abs_diff(first);
            if count >= OUTPUTS_MAX {
                loaded.parts.exclude(inputs);
                continue;
            }
            let outputs = count as u32 + 1;
            let applied = parts.iter().map(|part| part.applied).max().unwrap_or_default();
            let cells_of =
                |part: &Part| part.cells.saturating_add(part.series.saturating_mul(SERIES_CELLS));
            cells = parts.iter().fold(cells, |sum, part| sum.saturating_add(cells_of(part)));
            keys =
                parts.iter().fold(keys, |sum, part| sum.saturating_add(part.values.len() as u32));
            let first_output = manifest.give_ids(loaded.parts.salt(), outputs);
            let applied = applied.max(known);
            started.push(Merge { inputs, first_output, outputs, applied });
        }
        if started.is_empty() {
            return Ok(false);
        }
        manifest.start(started, keys);
        if cells <= step_cells {
            loaded.parts.replace(draft.manifest, false);
            return Ok(true);
        }
        self.commit(draft, None, |_| Ok(()))?;
        Ok(true)
    }
}
