//! Defines cached scan results for repeated requests over unchanged rows.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::page::{Group, SummaryPage};
use super::request::Position;
use crate::merge::cursor::ReadError;
use tidemark_model::ids::MeasurementId;
use tidemark_model::time::TimeRange;

/// A version of rows. Equal versions mean equal rows.
pub type Version = Vec<u64>;

/// A cache of results. The name of a result identifies its request.
pub trait ResultCache {
    /// Returns the version of the rows of these measurements inside `time`.
    ///
    /// # Errors
    /// Returns [`ReadError`] if these rows are known to be damaged.
    fn version(
        &self,
        measurements: &[MeasurementId],
        time: TimeRange,
    ) -> Result<Version, ReadError>;

    /// Returns the result with this name and version.
    fn get(&self, name: &[u8], version: &Version) -> Option<Cached>;

    /// Whether this name was looked up recently. The caller does not cache the result of a first
    /// request, because most requests do not repeat.
    fn was_requested(&self, name: &[u8]) -> bool;

    /// Caches a result, replacing an older version.
    fn put(&self, name: Vec<u8>, version: Version, result: Cached);
}

/// A cached result.
#[derive(Clone, Debug)]
pub enum Cached {
    /// The states or rows in a time range.
    Tile(Rc<Tile>),
    /// A page of a summary.
    Summary(Rc<SummaryPage>),
    /// The groups of runs.
    Groups(Rc<RunGroups>),
}

/// The keys of groups, ascending.
pub(super) type GroupKeys = Rc<[Vec<String>]>;

/// The groups in flushed runs, for skipping runs whose groups are complete.
#[derive(Clone, Debug, Default)]
pub struct RunGroups {
    /// The groups of each run, by the number of the run. Runs with equal groups share one list.
    pub(super) of_runs: BTreeMap<u64, GroupKeys>,
}

impl RunGroups {
    /// Returns the list that equals `keys`, if any, or else a new list.
    pub(super) fn shared(&self, keys: Vec<Vec<String>>) -> GroupKeys {
        match self.lists().into_iter().find(|list| list[..] == keys[..]) {
            Some(list) => Rc::clone(list),
            None => keys.into(),
        }
    }

    /// Returns each list once.
    fn lists(&self) -> Vec<&GroupKeys> {
        let mut lists: Vec<&GroupKeys> = self.of_runs.values().collect();
        lists.sort_unstable_by_key(|list| list.as_ptr());
        lists.dedup_by_key(|list| list.as_ptr());
        lists
    }

    pub(super) fn bytes(&self) -> usize {
        let text = |key: &Vec<String>| key.iter().map(|value| value.len() + 24).sum::<usize>();
        let lists = self.lists();
        let keys = lists.iter().flat_map(|list| list.iter()).map(|key| text(key) + 24);
        keys.sum::<usize>() + 32 * self.of_runs.len()
    }
}

impl Cached {
    /// Returns the approximate memory use, in bytes.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Tile(tile) => tile.bytes(),
            Self::Summary(page) => page.bytes(),
            Self::Groups(groups) => groups.bytes(),
        }
    }
}

/// The states or rows of a tile.
#[derive(Debug)]
pub struct Tile {
    pub(super) groups: Vec<Group>,
    /// The position at which the next page continues, if this page ended inside the tile.
    pub(super) end: Option<Position>,
    pub(super) rows: u64,
}

impl Tile {
    pub(super) fn bytes(&self) -> usize {
        self.groups.iter().map(Group::bytes).sum()
    }
}
