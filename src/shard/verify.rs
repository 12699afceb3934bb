//! Every checksum, a bounded step at a time.

use super::Shard;
use super::blocks::StoredBlocks;
use super::request::{Refusal, VerifyPage};
use crate::segment::block;
use crate::segment::reader::Blocks;
use crate::store::Store;

/// Encoded bytes checked by one step, plus what is left of the last directory row.
const BYTES_PER_STEP: u64 = 8_000_000;

impl<S: Store> Shard<S> {
    /// Checks stored blocks from `resume` on (`None`: from the start): first the WAL, then run by
    /// run.
    ///
    /// # Errors
    /// [`Refusal::Stale`] when not open; [`Refusal::Store`].
    pub fn verify(&mut self, resume: Option<u64>) -> Result<VerifyPage, Refusal> {
        self.load()?;
        let mut page = VerifyPage::default();
        let from = match resume {
            Some(from) => from,
            None => {
                self.verify_wal(&mut page)?;
                0
            }
        };
        let loaded = self.loaded.as_ref().ok_or(Refusal::Stale)?;
        for (&key, directory) in loaded.directories.range(from..) {
            if page.bytes >= BYTES_PER_STEP {
                page.resume = Some(key);
                break;
            }
            let mut blocks = StoredBlocks::new(&self.store, &self.cache, loaded, key)?;
            for segment in &directory.segments {
                let checked = blocks.index(segment).and_then(|index| {
                    page.blocks += 1;
                    page.bytes += u64::from(segment.index_bytes);
                    for address in index.addresses() {
                        page.blocks += 1;
                        page.bytes += u64::from(address.bytes);
                        note(blocks.with(address, block::check), &mut page.damaged)?;
                    }
                    Ok(())
                });
                note(checked, &mut page.damaged)?;
            }
        }
        Ok(page)
    }

    fn verify_wal(&mut self, page: &mut VerifyPage) -> Result<(), Refusal> {
        let loaded = self.loaded.as_mut().ok_or(Refusal::Stale)?;
        let sequences: Vec<u64> = loaded.wal.frames().keys().copied().collect();
        for sequence in sequences {
            let bytes = loaded.wal.read(&self.store, sequence)?;
            page.blocks += 1;
            page.bytes += bytes.map_or(0, |bytes| bytes.len() as u64);
        }
        page.damaged = loaded.damaged_blocks();
        Ok(())
    }
}

/// Damage is what verification looks for; anything else ends it.
fn note(result: Result<(), Refusal>, damaged: &mut Vec<String>) -> Result<(), Refusal> {
    match result {
        Err(Refusal::Damaged { block }) => damaged.push(block),
        other => return other,
    }
    Ok(())
}
