//! What rows came to, kept by a shard for whoever asks the same of the same rows.

use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::page::{Group, ScanPage, SummaryPage};
use super::request::Position;
use crate::merge::key::SeriesKey;

/// What decides which rows there are: where it is equal, they are.
pub type Version = Vec<u64>;

/// What rows came to, kept for whoever asks the same of the same rows.
#[derive(Clone, Debug)]
pub enum Kept {
    /// States, or rows, of a stretch of time.
    Tile(Rc<Tile>),
    /// A page of states.
    Page(Rc<ScanPage>),
    /// A page of a summary.
    Summary(Rc<SummaryPage>),
    /// The groups of runs.
    Groups(Rc<RunGroups>),
}

/// The groups that the series of runs are of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunGroups {
    /// Each set once: keys, ascending.
    pub(super) sets: Vec<Vec<Vec<String>>>,
    /// Runs by their numbers, ascending, and which set each has.
    runs: Vec<(u64, u32)>,
}

impl RunGroups {
    /// The place of the set of a run among [`RunGroups::sets`]; `None` if it is not known.
    pub(super) fn set_of(&self, number: u64) -> Option<usize> {
        let at = self.runs.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        self.runs.get(at).map(|(_, set)| *set as usize)
    }

    /// Adds a run.
    pub(super) fn add(&mut self, number: u64, keys: Vec<Vec<String>>) {
        let known = self.sets.iter().position(|set| *set == keys);
        let set = known.unwrap_or_else(|| {
            self.sets.push(keys);
            self.sets.len() - 1
        });
        let at = self.runs.partition_point(|(known, _)| *known < number);
        // Runs of a shard are fewer than 2^32.
        self.runs.insert(at, (number, set as u32));
    }

    /// Leaves out runs that are no more, and sets that none has then.
    pub(super) fn retain(&mut self, is_there: impl Fn(u64) -> bool) {
        let held = std::mem::take(self);
        let mut sets: Vec<Option<_>> = held.sets.into_iter().map(Some).collect();
        let mut places = vec![0; sets.len()];
        for (number, set) in held.runs {
            if !is_there(number) {
                continue;
            }
            let (Some(keys), Some(place)) =
                (sets.get_mut(set as usize), places.get_mut(set as usize))
            else {
                continue;
            };
            if let Some(keys) = keys.take() {
                *place = self.sets.len() as u32;
                self.sets.push(keys);
            }
            self.runs.push((number, *place));
        }
    }

    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        let text = |key: &Vec<String>| key.iter().map(|value| value.len() + 24).sum::<usize>();
        let keys = self.sets.iter().flatten().map(|key| text(key) + 24).sum::<usize>();
        keys + 16 * self.runs.len()
    }
}

impl Kept {
    /// About how much memory it takes.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Tile(tile) => tile.bytes(),
            Self::Page(page) => page.bytes(),
            Self::Summary(page) => page.bytes(),
            Self::Groups(groups) => groups.bytes(),
        }
    }
}

/// What a tile came to.
#[derive(Debug)]
pub struct Tile {
    /// States or rows of its groups; none where hardly a group has states in two pieces.
    pub(super) groups: Vec<Group>,
    /// The same by ranges of its series, in their order: a delete among one of them costs a reading
    /// of that one. None if there is no more than one.
    pub(super) pieces: Vec<Rc<Piece>>,
    /// Where the rest of the tile begins, if the piece ended in it.
    pub(super) end: Option<Position>,
    /// Rows looked at.
    pub(super) rows: u64,
}

/// What some series of a tile came to.
#[derive(Debug)]
pub(super) struct Piece {
    /// The last one of them; `None`: all that are left.
    pub(super) last: Option<SeriesKey>,
    /// States of their groups.
    pub(super) groups: Vec<Group>,
    /// Rows looked at.
    pub(super) rows: u64,
}

impl Tile {
    /// Of states that were kept elsewhere ([`Tile::content`]).
    pub fn new(groups: Vec<Group>, end: Option<Position>, rows: u64) -> Self {
        Self { groups, pieces: Vec::new(), end, rows }
    }

    /// States of its groups, where the rest of it begins and the rows that were looked at.
    pub fn content(&self) -> (Vec<Group>, Option<&Position>, u64) {
        (self.groups().cloned().collect(), self.end.as_ref(), self.rows)
    }

    /// States or rows of its groups, of one in several places maybe.
    pub(super) fn groups(&self) -> impl Iterator<Item = &Group> {
        let of_pieces = self.groups.is_empty().then(|| self.of_pieces());
        self.groups.iter().chain(of_pieces.into_iter().flatten())
    }

    fn of_pieces(&self) -> impl Iterator<Item = &Group> {
        self.pieces.iter().flat_map(|piece| &piece.groups)
    }

    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        self.groups.iter().chain(self.of_pieces()).map(Group::bytes).sum()
    }
}
