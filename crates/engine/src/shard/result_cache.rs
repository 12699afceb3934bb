//! Caches aggregates of flushed rows in table `answer`, so that a restarted object can serve a
//! repeated dashboard query without rescanning its parts.
//!
//! Storing a result costs one row, so the cache stores only results that took long to compute. A
//! result remains valid until a merge or a delete changes its rows. A cached result is ignored if
//! it is damaged, if another release wrote it, or if its version differs from the version of the
//! requested rows.

use std::cell::{RefCell, RefMut};
use std::collections::BTreeMap;
use std::rc::Rc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::codec::crc::crc32c;
use crate::codec::{metadata, varint};
use crate::protocol::scan_page;
use crate::scan::cached::{Cached, RunGroups, Tile, Version};
use crate::scan::page::SummaryPage;
use crate::scan::request::Position;
use crate::store::row;
use crate::store::{KEY_MAX, Store, StoreResult, Table};

/// A query that reads fewer cells is fast without a stored result: a small machine reads this many
/// cells in about 100 ms.
pub(super) const ANSWER_CELLS_MIN: u64 = 500_000;
/// The number of storage rows that a query must read before table `answer` stores its result. Each
/// row may have up to 1.9 MB.
pub(super) const ANSWER_ROWS_MIN: u64 = 32;
/// In a full table, a further result replaces an existing result.
const ANSWERS_MAX: u64 = 256;
const ANSWER_BYTES_MAX: usize = 128_000;
const PER_QUESTION_MAX: usize = 64;

#[derive(Serialize, Deserialize)]
struct Head {
    name: u64,
    crc: u32,
}

#[derive(Serialize, Deserialize)]
struct Content {
    /// The version of the code that computed the result.
    release: String,
    name: Vec<u8>,
    version: Version,
    answer: StoredResult,
}

#[derive(Serialize, Deserialize)]
enum StoredResult {
    Tile { end: Option<Position>, rows: u64 },
    Summary(SummaryPage),
    Groups(RunGroups),
}

#[derive(Default)]
pub(super) struct ResultCache {
    /// `None` until the table has been listed.
    names: RefCell<Option<Names>>,
    due: RefCell<Vec<(Head, Vec<u8>)>>,
}

/// The hash of the name in each used slot.
type Names = BTreeMap<u64, u64>;

/// A new name uses the next free slot. In a full table, it replaces the result in its preferred
/// slot.
fn slot_for(names: &Names, name: u64) -> u64 {
    let first = name % ANSWERS_MAX;
    let mut slots = (first..ANSWERS_MAX).chain(0..first);
    slot_of(names, name).or_else(|| slots.find(|slot| !names.contains_key(slot))).unwrap_or(first)
}

fn slot_of(names: &Names, name: u64) -> Option<u64> {
    names.iter().find(|(_, of)| **of == name).map(|(slot, _)| *slot)
}

impl ResultCache {
    pub(super) fn get<S: Store>(&self, store: &S, name: &[u8], version: &[u64]) -> Option<Cached> {
        let hash = hash(name);
        let slot = slot_of(self.names(store).as_ref()?, hash)?;
        let (head, body) = store.head_and_body(Table::Answer, slot).ok()??;
        let Head { crc, .. } = row::decode(&head).ok()?;
        if crc != crc32c(&body) {
            return None;
        }
        let (content, states) = open(&body)?;
        let is_it = content.name == name && content.version == version;
        if !is_it || content.release != env!("CARGO_PKG_VERSION") {
            return None;
        }
        Some(match content.answer {
            StoredResult::Tile { end, rows } => {
                let groups = scan_page::decode(states).ok()?;
                Cached::Tile(Rc::new(Tile::new(groups, end, rows)))
            }
            StoredResult::Summary(page) => Cached::Summary(Rc::new(page)),
            StoredResult::Groups(groups) => Cached::Groups(Rc::new(groups)),
        })
    }

    /// Ignores results above `ANSWER_BYTES_MAX`. `write` stores the result after the page is
    /// complete.
    pub(super) fn put(&self, name: &[u8], version: &[u64], kept: &Cached) {
        let mut due = self.due.borrow_mut();
        if due.len() >= PER_QUESTION_MAX {
            return;
        }
        let (answer, states) = match kept {
            Cached::Tile(tile) => {
                let (groups, end, rows) = tile.content();
                (StoredResult::Tile { end: end.cloned(), rows }, scan_page::encode(&groups))
            }
            // The next query has a different time range and would not use the page.
            Cached::Page(_) => return,
            Cached::Summary(page) => (StoredResult::Summary(SummaryPage::clone(page)), Vec::new()),
            Cached::Groups(groups) => (StoredResult::Groups(RunGroups::clone(groups)), Vec::new()),
        };
        let release = env!("CARGO_PKG_VERSION").to_owned();
        let (name, version) = (name.to_vec(), version.to_vec());
        let hash = hash(&name);
        let content = Content { release, name, version, answer };
        let Some(body) = close(&content, &states) else { return };
        if body.len() <= ANSWER_BYTES_MAX {
            due.push((Head { name: hash, crc: crc32c(&body) }, body));
        }
    }

    /// The table is empty after [`forget`].
    pub(super) fn on_forgotten(&self) {
        *self.names.borrow_mut() = Some(BTreeMap::new());
    }

    /// Errors are ignored, because the query's page does not depend on the cache.
    pub(super) fn write<S: Store>(&self, store: &S) {
        for (head, body) in self.due.take() {
            let mut held = self.names(store);
            let Some(names) = held.as_mut() else { return };
            let slot = slot_for(names, head.name);
            let encoded = row::encode(&head);
            match encoded.and_then(|encoded| store.put(Table::Answer, slot, &encoded, &body)) {
                Ok(()) => drop(names.insert(slot, head.name)),
                // The write may have succeeded, so the next call lists the table again.
                Err(_) => *held = None,
            }
        }
    }

    /// The first call lists the rows.
    fn names<S: Store>(&self, store: &S) -> RefMut<'_, Option<Names>> {
        let mut names = self.names.borrow_mut();
        if names.is_none() {
            *names = list(store).ok();
        }
        names
    }
}

/// A delete calls this function, so that no aggregate of deleted rows remains.
pub(super) fn forget<S: Store>(store: &S) -> StoreResult<()> {
    store.delete(Table::Answer, 0..=KEY_MAX)
}

fn list<S: Store>(store: &S) -> StoreResult<Names> {
    let mut names = BTreeMap::new();
    row::each(store, Table::Answer, &mut |slot, head| {
        if let Ok(Head { name, .. }) = row::decode(head) {
            names.insert(slot, name);
        }
        Ok(())
    })?;
    Ok(names)
}

/// The hash is the same in every build and after every start.
fn hash(name: &[u8]) -> u64 {
    let digest = Sha256::digest(name);
    digest.first_chunk().map_or(0, |first| u64::from_le_bytes(*first))
}

fn close(content: &Content, states: &[u8]) -> Option<Vec<u8>> {
    let content = metadata::encode(content).ok()?;
    let mut body = Vec::with_capacity(content.len() + states.len() + 4);
    varint::write(content.len() as u64, &mut body);
    body.extend_from_slice(&content);
    body.extend_from_slice(states);
    Some(body)
}

fn open(mut body: &[u8]) -> Option<(Content, &[u8])> {
    let bytes = usize::try_from(varint::read(&mut body).ok()?).ok()?;
    let (content, states) = body.split_at_checked(bytes)?;
    Some((metadata::decode(content).ok()?, states))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_cache_fills_free_slots_first() {
        let mut names = Names::new();
        // All names in this loop prefer the same slot.
        for n in 0..ANSWERS_MAX {
            let name = 7 + n * ANSWERS_MAX;
            let slot = slot_for(&names, name);
            assert!(slot < ANSWERS_MAX && !names.contains_key(&slot), "{n}: {slot}");
            names.insert(slot, name);
            assert_eq!(slot_for(&names, name), slot);
        }
        assert_eq!(slot_for(&names, 9 + ANSWERS_MAX * ANSWERS_MAX), 9);
    }
}
