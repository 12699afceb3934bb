//! What rows at rest came to, kept beside them: an object that wakes up answers the dashboard of
//! before without reading a month again.
//!
//! Only what took long is kept, and only of rows that no write can change without a flush: it costs
//! a row once, and answers until a merge or a delete concerns its rows. A row whose version is not
//! that of the rows asked for, which another release wrote or which is damaged, is none.

use std::cell::{RefCell, RefMut};
use std::collections::BTreeMap;
use std::rc::Rc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::codec::crc::crc32c;
use crate::codec::{metadata, varint};
use crate::protocol::scan_page;
use crate::scan::kept::{Kept, RunGroups, Tile, Version};
use crate::scan::page::SummaryPage;
use crate::scan::request::Position;
use crate::store::row;
use crate::store::{KEY_MAX, Store, StoreError, Table};

/// Answers of one shard; one more takes the place of one of them.
const ANSWERS_MAX: u64 = 256;
/// Bytes of one.
const ANSWER_BYTES_MAX: usize = 128_000;
/// Written by one question.
const PER_QUESTION_MAX: usize = 64;

/// The head of a row.
#[derive(Serialize, Deserialize)]
struct Head {
    /// Of the name, by which it is found.
    name: u64,
    /// Of the body.
    crc: u32,
}

/// How a body begins; the states of a tile follow.
#[derive(Serialize, Deserialize)]
struct Content {
    /// Of the code that computed it.
    release: String,
    name: Vec<u8>,
    version: Version,
    answer: Answer,
}

#[derive(Serialize, Deserialize)]
enum Answer {
    Tile { end: Option<Position>, rows: u64 },
    Summary(SummaryPage),
    Groups(RunGroups),
}

/// What is known of the rows of table `answer`.
#[derive(Default)]
pub(super) struct Answers {
    /// The name's hash of each row that there is; nothing is known before the first look.
    names: RefCell<Option<Names>>,
    due: RefCell<Vec<(Head, Vec<u8>)>>,
}

/// The slots that are taken, and by the name of which hash.
type Names = BTreeMap<u64, u64>;

/// The slot of a name; of a new one the next free slot, else the place of another.
fn slot_for(names: &Names, name: u64) -> u64 {
    let first = name % ANSWERS_MAX;
    let mut slots = (first..ANSWERS_MAX).chain(0..first);
    slot_of(names, name).or_else(|| slots.find(|slot| !names.contains_key(slot))).unwrap_or(first)
}

fn slot_of(names: &Names, name: u64) -> Option<u64> {
    names.iter().find(|(_, of)| **of == name).map(|(slot, _)| *slot)
}

impl Answers {
    /// What the rows of that version came to.
    pub(super) fn get<S: Store>(&self, store: &S, name: &[u8], version: &[u64]) -> Option<Kept> {
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
            Answer::Tile { end, rows } => {
                let groups = scan_page::decode(states).ok()?;
                Kept::Tile(Rc::new(Tile::new(groups, end, rows)))
            }
            Answer::Summary(page) => Kept::Summary(Rc::new(page)),
            Answer::Groups(groups) => Kept::Groups(Rc::new(groups)),
        })
    }

    /// Has it written once the question is answered, unless it is too large.
    pub(super) fn put(&self, name: &[u8], version: &[u64], kept: &Kept) {
        let mut due = self.due.borrow_mut();
        if due.len() >= PER_QUESTION_MAX {
            return;
        }
        let (answer, states) = match kept {
            Kept::Tile(tile) => {
                let (groups, end, rows) = tile.content();
                (Answer::Tile { end: end.cloned(), rows }, scan_page::encode(&groups))
            }
            // Another range will be asked for next.
            Kept::Page(_) => return,
            Kept::Summary(page) => (Answer::Summary(SummaryPage::clone(page)), Vec::new()),
            Kept::Groups(groups) => (Answer::Groups(RunGroups::clone(groups)), Vec::new()),
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

    /// There are none any more: [`forget`] has deleted them.
    pub(super) fn forgotten(&self) {
        *self.names.borrow_mut() = Some(BTreeMap::new());
    }

    /// Writes what is due. A store that takes nothing more is no reason not to answer.
    pub(super) fn write<S: Store>(&self, store: &S) {
        for (head, body) in self.due.take() {
            let mut held = self.names(store);
            let Some(names) = held.as_mut() else { return };
            let slot = slot_for(names, head.name);
            let encoded = row::encode(&head);
            match encoded.and_then(|encoded| store.put(Table::Answer, slot, &encoded, &body)) {
                Ok(()) => drop(names.insert(slot, head.name)),
                // Whether it was written is not known.
                Err(_) => *held = None,
            }
        }
    }

    /// What is known of the rows, which are listed once.
    fn names<S: Store>(&self, store: &S) -> RefMut<'_, Option<Names>> {
        let mut names = self.names.borrow_mut();
        if names.is_none() {
            *names = list(store).ok();
        }
        names
    }
}

/// Deletes all answers: nothing of rows that somebody wants gone stays in them.
pub(super) fn forget<S: Store>(store: &S) -> Result<(), StoreError> {
    store.delete(Table::Answer, 0..=KEY_MAX)
}

fn list<S: Store>(store: &S) -> Result<Names, StoreError> {
    let mut names = BTreeMap::new();
    row::each(store, Table::Answer, &mut |slot, head| {
        if let Ok(Head { name, .. }) = row::decode(head) {
            names.insert(slot, name);
        }
        Ok(())
    })?;
    Ok(names)
}

/// The same in every build and at every start.
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
    fn no_name_takes_the_place_of_another_while_there_is_room() {
        let mut names = Names::new();
        // All of them would have the same slot.
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
