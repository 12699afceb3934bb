//! Every checksum, a bounded step at a time.

use super::Shard;
use super::blocks::StoredBlocks;
use super::cache::Cache;
use super::load::Loaded;
use super::request::{Refusal, VerifyPage};
use super::state::ColumnTypes;
use super::table_rows::each_head;
use crate::segment::block;
use crate::segment::reader::Blocks;
use crate::store::{Store, Table};

/// Encoded bytes checked by one step, plus what is left of the last directory row.
const BYTES_PER_STEP: u64 = 8_000_000;

impl<S: Store> Shard<S> {
    /// Checks stored blocks from `resume` on (`None`: from the start): first the small rows and the
    /// WAL, then run by run. Everything is read anew: what memory holds may be older than a flaw.
    ///
    /// # Errors
    /// [`Refusal::Stale`] when not open; [`Refusal::Damaged`] for a state row that cannot be read;
    /// [`Refusal::Store`].
    pub fn verify(&mut self, resume: Option<u64>) -> Result<VerifyPage, Refusal> {
        self.load()?;
        let (store, cache) = (&self.store, Cache::default());
        let mut loaded = Loaded::read(store)?.ok_or(Refusal::Stale)?;
        let mut page = VerifyPage::default();
        if resume.is_none() {
            verify_rows(store, &mut loaded, &mut page)?;
        }
        for (&key, directory) in loaded.directories.range(resume.unwrap_or_default()..) {
            if page.bytes >= BYTES_PER_STEP {
                page.resume = Some(key);
                break;
            }
            let mut blocks = StoredBlocks::new(store, &cache, &loaded, key)?;
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
}

/// The WAL, the columns' types, and whatever was found damaged while heads were read.
fn verify_rows<S: Store>(
    store: &S,
    loaded: &mut Loaded,
    page: &mut VerifyPage,
) -> Result<(), Refusal> {
    let sequences: Vec<u64> = loaded.wal.frames().keys().copied().collect();
    for sequence in sequences {
        let bytes = loaded.wal.read(store, sequence)?;
        page.blocks += 1;
        page.bytes += bytes.map_or(0, |bytes| bytes.len() as u64);
    }
    page.damaged = loaded.damaged_blocks();
    each_head(store, Table::Schema, 0, |key, head| {
        page.blocks += 1;
        page.bytes += head.len() as u64;
        if let Err(why) = ColumnTypes::check_row(&head) {
            page.damaged.push(format!("columns of measurement {key}: {why}"));
        }
    })?;
    Ok(())
}

/// Damage is what verification looks for; anything else ends it.
fn note(result: Result<(), Refusal>, damaged: &mut Vec<String>) -> Result<(), Refusal> {
    match result {
        Err(Refusal::Damaged { block }) => damaged.push(block),
        other => return other,
    }
    Ok(())
}
