//! What rows came to, kept by a shard for whoever asks the same of the same rows.

use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::page::{Group, GroupData, PartialColumn, SummaryPage};
use super::request::Position;

/// What decides which rows there are: where it is equal, they are.
pub type Version = Vec<u64>;

/// What rows came to, kept for whoever asks the same of the same rows.
#[derive(Clone, Debug)]
pub enum Kept {
    /// States of a stretch of time.
    Tile(Rc<Tile>),
    /// A page of a summary.
    Summary(Rc<SummaryPage>),
    /// The groups of a run.
    Groups(Rc<GroupKeys>),
}

/// The groups that the series of a run are of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupKeys {
    /// Ascending.
    pub(super) keys: Vec<Vec<String>>,
    /// Where it is equal, they are.
    pub(super) set: u64,
}

impl GroupKeys {
    fn bytes(&self) -> usize {
        let text = |key: &Vec<String>| key.iter().map(|value| value.len() + 24).sum::<usize>();
        self.keys.iter().map(|key| text(key) + 24).sum()
    }
}

impl Kept {
    /// About how much memory it takes.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Tile(tile) => tile.bytes(),
            Self::Summary(page) => page.bytes(),
            Self::Groups(groups) => groups.bytes(),
        }
    }
}

/// What a tile came to.
#[derive(Debug)]
pub struct Tile {
    /// States of its groups.
    pub(super) groups: Vec<Group>,
    /// Where the rest of the tile begins, if the piece ended in it.
    pub(super) end: Option<Position>,
    /// Rows looked at.
    pub(super) rows: u64,
}

impl Tile {
    /// Of states that were kept elsewhere ([`Tile::content`]).
    pub fn new(groups: Vec<Group>, end: Option<Position>, rows: u64) -> Self {
        Self { groups, end, rows }
    }

    /// States of its groups, where the rest of it begins and the rows that were looked at.
    pub fn content(&self) -> (&[Group], Option<&Position>, u64) {
        (&self.groups, self.end.as_ref(), self.rows)
    }

    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        let group = |group: &Group| {
            let key: usize = group.key.iter().map(|value| value.len() + 24).sum();
            let states = match &group.data {
                GroupData::Partials(states) => states.iter().map(PartialColumn::bytes).sum(),
                GroupData::Rows { .. } => 0,
            };
            key + states + 48
        };
        self.groups.iter().map(group).sum()
    }
}
