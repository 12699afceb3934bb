//! Defines cached scan results for repeated requests over unchanged rows.

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

/// The groups in flushed runs, for skipping runs whose groups are complete.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunGroups {
    /// The distinct sets of group keys. The keys of a set ascend.
    pub(super) sets: Vec<Vec<Vec<String>>>,
    /// The run numbers in ascending order, with the position of each run's set.
    runs: Vec<(u64, u32)>,
}

impl RunGroups {
    pub(super) fn set_of(&self, number: u64) -> Option<usize> {
        let at = self.runs.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        self.runs.get(at).map(|(_, set)| *set as usize)
    }

    pub(super) fn add(&mut self, number: u64, keys: Vec<Vec<String>>) {
        let known = self.sets.iter().position(|set| *set == keys);
        let set = known.unwrap_or_else(|| {
            self.sets.push(keys);
            self.sets.len() - 1
        });
        self.insert(number, set);
    }

    pub(super) fn add_alike(&mut self, number: u64, known: u64) {
        if let Some(set) = self.set_of(known) {
            self.insert(number, set);
        }
    }

    fn insert(&mut self, number: u64, set: usize) {
        let at = self.runs.partition_point(|(before, _)| *before < number);
        // The number of runs in a shard is below 2^32.
        self.runs.insert(at, (number, set as u32));
    }

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

    pub(super) fn bytes(&self) -> usize {
        let text = |key: &Vec<String>| key.iter().map(|value| value.len() + 24).sum::<usize>();
        let keys = self.sets.iter().flatten().map(|key| text(key) + 24).sum::<usize>();
        keys + 16 * self.runs.len()
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
