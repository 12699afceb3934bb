//! Divides the rows of a block among shards.

use super::Block;
use super::selection::Selection;
use super::series_table::TagColumn;
use tidemark_model::bug::OrBug;
use tidemark_model::series::series_hash;
use tidemark_model::shard_map::ShardGroup;

/// The rows of a block that belong to one shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardRows {
    /// The position in the given groups.
    pub group: usize,
    /// The position in the group's shards.
    pub shard: usize,
    /// The rows, at least one.
    pub rows: Selection,
}

/// The rows of a block, divided among shards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardSplit {
    /// The shards with rows, ascending by group and then by shard. A row is in one shard or in
    /// `outside`.
    pub shards: Vec<ShardRows>,
    /// The rows whose time is in no group because the shard map is stale.
    pub outside: Vec<u32>,
}

/// The maximum number of series or rows in one step of a [`Splitter`].
const STEP: usize = 1 << 15;

/// Splits the given rows of a block among `groups`, which must ascend by range. `tag_keys` are the
/// keys of the block's tags.
pub fn split_by_shard(
    measurement: &str,
    tag_keys: &[impl AsRef<str>],
    block: &Block,
    rows: &Selection,
    groups: &[ShardGroup],
) -> ShardSplit {
    let mut splitter = Splitter::new(measurement, tag_keys, block, rows, groups);
    while splitter.split_next().is_some() {}
    splitter.finish()
}

/// A splitter that divides rows like [`split_by_shard`], but in short steps, so that the caller can
/// pause between the steps.
#[derive(Debug)]
pub struct Splitter<'a> {
    measurement: &'a str,
    /// The tags with their keys, ascending by key.
    tags: Vec<(&'a str, &'a TagColumn)>,
    block: &'a Block,
    rows: &'a Selection,
    groups: &'a [ShardGroup],
    /// Whether the only shard receives all rows.
    is_whole: bool,
    /// The hashes of the first series.
    hashes: Vec<u64>,
    /// The number of series whose hashes are necessary.
    series: usize,
    /// The number of rows that are split.
    done: usize,
    /// The position of the last row's group. Rows that are close in the body usually have close
    /// times.
    last: usize,
    /// The rows by group and shard.
    shards: Vec<Vec<Vec<u32>>>,
    outside: Vec<u32>,
}

impl<'a> Splitter<'a> {
    /// Begins a split. The parameters are those of [`split_by_shard`].
    pub fn new(
        measurement: &'a str,
        tag_keys: &'a [impl AsRef<str>],
        block: &'a Block,
        rows: &'a Selection,
        groups: &'a [ShardGroup],
    ) -> Self {
        let mut tags: Vec<_> = tag_keys.iter().map(AsRef::as_ref).zip(&block.series.tags).collect();
        tags.sort_by_key(|(key, _)| *key);
        let has_shards = groups.iter().any(|group| group.shards.len() > 1);
        let series = if has_shards { block.series.len as usize } else { 0 };
        let shards = groups.iter().map(|group| vec![Vec::new(); group.shards.len()]).collect();
        let is_whole = match groups {
            [group] => group.shards.len() == 1 && covers(group, block, rows),
            _ => false,
        };
        Self {
            measurement,
            tags,
            block,
            rows,
            groups,
            is_whole,
            hashes: Vec::with_capacity(series),
            series,
            done: 0,
            last: 0,
            shards,
            outside: Vec::new(),
        }
    }

    /// Processes the next series or rows. Returns their number, or `None` at the end.
    pub fn split_next(&mut self) -> Option<usize> {
        let hashed = self.hashes.len();
        if hashed < self.series {
            let next = hashed..self.series.min(hashed + STEP);
            let hashes = next.map(|series| {
                let present = self.tags.iter().map(|(key, tag)| (*key, tag.get(series)));
                series_hash(self.measurement, present.filter(|(_, value)| !value.is_empty()))
            });
            self.hashes.extend(hashes);
            return Some(self.hashes.len() - hashed);
        }
        if self.is_whole {
            return None;
        }
        let rows = self.rows.part(self.block.rows(), self.done, STEP);
        rows.iter().for_each(|&row| self.add(row));
        self.done += rows.len();
        Some(rows.len()).filter(|rows| *rows > 0)
    }

    fn add(&mut self, row: u32) {
        let time_ns = self.block.times_ns.get(row as usize).copied().or_bug();
        let holds = |group: &&ShardGroup| group.range.contains(time_ns);
        if !self.groups.get(self.last).as_ref().is_some_and(holds) {
            self.last = self.groups.partition_point(|group| group.range.end_ns <= time_ns);
        }
        let Some(group) = self.groups.get(self.last).filter(holds) else {
            return self.outside.push(row);
        };
        let shard = match group.shards.len() {
            1 => 0,
            _ => {
                let series = self.block.row_series.get(row as usize).copied().or_bug();
                group.shard_of(self.hashes.get(series as usize).copied().or_bug())
            }
        };
        match self.shards.get_mut(self.last).and_then(|shards| shards.get_mut(shard)) {
            Some(rows) => rows.push(row),
            None => self.outside.push(row),
        }
    }

    /// Returns the shards' rows after the last step.
    pub fn finish(self) -> ShardSplit {
        if self.is_whole {
            let rows = self.rows.clone();
            let none = rows.is_empty(self.block.rows());
            let only = ShardRows { group: 0, shard: 0, rows };
            return ShardSplit {
                shards: if none { Vec::new() } else { vec![only] },
                outside: Vec::new(),
            };
        }
        let shards = self.shards.into_iter().enumerate().flat_map(|(group, shards)| {
            let shards = shards.into_iter().enumerate().filter(|(_, rows)| !rows.is_empty());
            shards.map(move |(shard, rows)| ShardRows { group, shard, rows: Selection::Rows(rows) })
        });
        ShardSplit { shards: shards.collect(), outside: self.outside }
    }
}

fn covers(group: &ShardGroup, block: &Block, rows: &Selection) -> bool {
    let contains = |time: &i64| group.range.contains(*time);
    match rows {
        Selection::All => block.times_ns.iter().all(contains),
        Selection::Rows(rows) => {
            rows.iter().all(|&row| block.times_ns.get(row as usize).is_some_and(contains))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::series_table::{SeriesTable, TagColumn};
    use tidemark_model::ids::ObjectId;
    use tidemark_model::time::TimeRange;

    fn group(start_ns: i64, end_ns: i64, shards: usize) -> ShardGroup {
        let shards = (0..shards).map(|shard| ObjectId(shard.to_string())).collect();
        ShardGroup { id: 0, range: TimeRange::new(start_ns, end_ns), shards, split_bytes: 0 }
    }

    fn block() -> Block {
        let b = TagColumn {
            dictionary: ["0", "1", "2", "3"].into_iter().collect(),
            codes: (0..8).map(|series| series / 2 + 1).collect(),
        };
        let a = TagColumn {
            dictionary: ["x"].into_iter().collect(),
            codes: (0..8).map(|series| series % 2).collect(),
        };
        Block {
            series: SeriesTable { tags: vec![b, a], len: 8 },
            row_series: (0..40).map(|row| row % 8).collect(),
            times_ns: (0..40).collect(),
            fields: Vec::new(),
        }
    }

    const KEYS: [&str; 2] = ["b", "a"];

    #[test]
    fn one_shard_receives_all_rows() {
        let groups = [group(i64::MIN, i64::MAX, 1)];
        let all = split_by_shard("m", &KEYS, &block(), &Selection::All, &groups);
        let shard_rows = |rows| ShardRows { group: 0, shard: 0, rows };
        assert_eq!(all.shards, [shard_rows(Selection::All)]);
        let some = split_by_shard("m", &KEYS, &block(), &Selection::Rows(vec![3]), &groups);
        assert_eq!(some.shards, [shard_rows(Selection::Rows(vec![3]))]);
        let none = split_by_shard("m", &KEYS, &block(), &Selection::Rows(Vec::new()), &groups);
        assert_eq!(none, ShardSplit::default());
    }

    #[test]
    fn alternating_times_find_their_group() {
        let groups: Vec<ShardGroup> =
            (0..10).map(|at| group(at * 10, at * 10 + 10, 1 + at as usize % 2)).collect();
        let times_ns: Vec<i64> = (0..360).map(|row| row * 37 % 120 - 10).collect();
        let row_series = vec![0; times_ns.len()];
        let block = Block { row_series, times_ns: times_ns.clone(), ..block() };
        let found = split_by_shard("m", &KEYS, &block, &Selection::All, &groups);
        assert_eq!((found.shards.len(), found.outside.len()), (10, 60));
        for shard_rows in &found.shards {
            let rows = shard_rows.rows.to_rows(block.rows());
            assert!(rows.iter().all(|&row| times_ns[row as usize] / 10 == shard_rows.group as i64));
            assert_eq!(rows.len(), 30);
        }
    }

    #[test]
    fn long_split_has_short_steps() {
        let (rows, groups) = (3 * STEP, [group(i64::MIN, i64::MAX, 4)]);
        let block = Block {
            series: SeriesTable { tags: Vec::new(), len: rows as u32 },
            row_series: (0..rows as u32).collect(),
            times_ns: (0..rows as i64).collect(),
            fields: Vec::new(),
        };
        let keys: [&str; 0] = [];
        let mut splitter = Splitter::new("m", &keys, &block, &Selection::All, &groups);
        // The first steps compute the hashes of the series.
        let steps: Vec<usize> = std::iter::from_fn(|| splitter.split_next()).collect();
        assert_eq!(steps, [STEP; 6]);
        let shards = splitter.finish().shards;
        assert_eq!(shards.iter().map(|shard| shard.rows.len(rows)).sum::<usize>(), rows);
    }

    #[test]
    fn rows_route_by_time_and_hash() {
        let groups = [group(i64::MIN, 10, 1), group(10, 30, 4)];
        let block = block();
        let found = split_by_shard("m", &KEYS, &block, &Selection::All, &groups);
        assert_eq!(found.outside, (30..40).collect::<Vec<u32>>());
        let mut seen = found.outside.clone();
        for shard_rows in &found.shards {
            let Selection::Rows(rows) = &shard_rows.rows else { panic!("a list of rows") };
            assert!(rows.is_sorted() && !rows.is_empty());
            for &row in rows {
                let series = row % 8;
                let b = (series / 2).to_string();
                let tags = [("a", "x"), ("b", b.as_str())];
                let tags = if series % 2 == 1 { &tags[..] } else { &tags[1..] };
                let shard = series_hash("m", tags.iter().copied()) % 4;
                let expected = if row < 10 { (0, 0) } else { (1, shard as usize) };
                assert_eq!((shard_rows.group, shard_rows.shard), expected);
            }
            seen.extend(rows);
        }
        seen.sort();
        assert_eq!(seen, (0..40).collect::<Vec<u32>>());
        assert!(found.shards.len() > 2, "the series spread");
    }
}
