//! Collects the groups of a slice, and predicts the end of the next slice before its first page
//! arrives.
//!
//! Without a predicted end, a slice would collect all groups and times and then drop the excess.
//! The shards would read each row of a long result two to four times. At the predicted end, the
//! slice is nearly full if the following data is similar to the previous data.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use super::rows::{FetchedRows, GroupParts, SliceRows};
use crate::error::{QueryError, Result};
use crate::work::Work;
use tidemark_engine::merge::cursor::Direction;
use tidemark_engine::scan::page::{Group, GroupData, PartialColumn};
use tidemark_engine::scan::partial;
use tidemark_engine::scan::request::{Output, ResultPosition, ScanRequest};
use tidemark_model::time::TimeRange;

/// The approximate memory of a group without its key and columns, in bytes.
const GROUP_BYTES: usize = 200;
/// The maximum number of remembered groups after the slice.
const FOLLOWING_GROUPS_MAX: usize = 1_000;
/// The maximum size of the remembered groups' keys, in bytes.
const FOLLOWING_BYTES_MAX: usize = 100_000;
/// The maximum ratio of the next slice's size to the last slice's size.
const GROWTH_MAX: usize = 4;

/// A position in the merged result of all shards. Rows with equal groups and times are ordered by
/// shard, so a cut can separate such rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// The group that the cut divides. All earlier groups precede the cut.
    pub(super) group: Vec<String>,
    /// All rows of the group with earlier times precede the cut.
    pub(super) time_ns: i64,
    /// Rows with the time `time_ns` from shards with smaller numbers precede the cut.
    pub(super) shard: u32,
    /// The number of the shard's rows with this time that precede the cut.
    pub(super) rows: usize,
}

impl Cut {
    pub(super) fn new(group: Vec<String>, time_ns: i64) -> Self {
        Self { group, time_ns, shard: 0, rows: 0 }
    }

    fn after_group(group: Vec<String>, direction: Direction) -> Self {
        Self::new(group, direction.to_ascending(i64::MAX))
    }

    fn is_behind_group(&self, direction: Direction) -> bool {
        self.time_ns == direction.to_ascending(i64::MAX)
    }

    fn order(&self, other: &Self, direction: Direction) -> Ordering {
        direction
            .order(self.group.cmp(&other.group))
            .then(direction.order(self.time_ns.cmp(&other.time_ns)))
            .then(self.shard.cmp(&other.shard))
            .then(self.rows.cmp(&other.rows))
    }

    /// Returns a position for a shard: after the rows with the cut's time if `with_time` is true,
    /// otherwise before these rows.
    fn position(&self, with_time: bool, direction: Direction) -> ResultPosition {
        let time_ns = match (with_time, direction) {
            (false, _) => self.time_ns,
            (true, Direction::Ascending) => self.time_ns.saturating_add(1),
            (true, Direction::Descending) => self.time_ns.saturating_sub(1),
        };
        ResultPosition { group: self.group.clone(), time_ns }
    }

    fn begin_of(&self, shard: u32, direction: Direction) -> ResultPosition {
        self.position(shard < self.shard, direction)
    }

    fn end_of(&self, shard: u32, direction: Direction) -> ResultPosition {
        self.position(shard < self.shard || (shard == self.shard && self.rows > 0), direction)
    }
}

/// The data of a group so far.
#[derive(Debug)]
enum Gathered {
    Rows(SliceRows),
    States(Vec<PartialColumn>),
}

/// The slice of the result that the executor is reading from the shards: the groups that have
/// arrived so far. The slice contains the results between the positions `from` and `until`.
#[derive(Debug)]
pub(crate) struct Slice {
    direction: Direction,
    is_derived: bool,
    is_ungrouped: bool,
    /// The request's last time bound, in the direction of the result.
    end_ns: i64,
    /// The start; `None` for the first slice.
    pub(super) from: Option<Cut>,
    until: Option<Cut>,
    groups: BTreeMap<Vec<String>, Gathered>,
    following: NextGroups,
    bytes: usize,
    /// The limit of the last call of `make_room`, in bytes.
    bytes_max: usize,
    /// The estimated number of groups that fit.
    groups_max: usize,
    /// The number of the shard's rows that belong to the previous slice. These rows have the time
    /// and shard of `from`.
    passed: usize,
}

impl Slice {
    pub(crate) fn new(request: &ScanRequest, is_derived: bool) -> Self {
        let direction = request.direction;
        let TimeRange { start_ns, end_ns } = request.time;
        Self {
            direction,
            is_derived,
            is_ungrouped: request.group_by.is_empty(),
            end_ns: if direction.is_descending() { start_ns } else { end_ns },
            from: None,
            until: None,
            groups: BTreeMap::new(),
            following: NextGroups::default(),
            bytes: 0,
            bytes_max: usize::MAX,
            groups_max: usize::MAX,
            passed: 0,
        }
    }

    /// Returns the start and the end of the slice as positions for a shard.
    pub(super) fn positions(&self, shard: u32) -> (Option<ResultPosition>, Option<ResultPosition>) {
        let from = self.from.as_ref().map(|cut| cut.begin_of(shard, self.direction));
        let until = self.until.as_ref().map(|cut| cut.end_of(shard, self.direction));
        (from, until)
    }

    /// Returns the group after which the slice starts; `None` if the slice starts inside a group.
    /// Also returns `None` for subqueries, which determine the order of their groups themselves.
    pub(super) fn starts_after(&self) -> Option<&[String]> {
        let from = self.from.as_ref().filter(|_| !self.is_derived)?;
        from.is_behind_group(self.direction).then_some(&from.group)
    }

    /// Includes the temporary memory for sorting.
    pub(super) fn bytes(&self) -> usize {
        self.bytes + self.order_bytes()
    }

    /// The slice sorts one group at a time.
    fn order_bytes(&self) -> usize {
        let of = |group: &Gathered| match group {
            Gathered::Rows(rows) => rows.order_bytes(),
            Gathered::States(_) => 0,
        };
        self.groups.values().map(of).max().unwrap_or_default()
    }

    pub(super) fn is_last(&self) -> bool {
        let is_end = |until: &Cut| {
            self.is_ungrouped && !self.is_derived && until.is_behind_group(self.direction)
        };
        self.until.as_ref().is_none_or(is_end)
    }

    /// Adds the rows or states that precede the slice's end.
    pub(crate) fn add(&mut self, shard: u32, groups: Vec<Group>, output: &Output) -> Result<()> {
        for Group { key, data } in groups {
            if self.is_behind(&key) {
                self.following.add(&key, self.direction);
                continue;
            }
            match (data, output) {
                (GroupData::Rows { times_ns, fields, tags }, Output::Rows { .. }) => {
                    self.add_rows(key, FetchedRows::new(shard, times_ns, fields, tags));
                }
                (GroupData::Partials(states), Output::Aggregates { .. }) => {
                    self.add_states(key, states, output)?;
                }
                (GroupData::Rows { .. }, _) => {
                    return Err(QueryError::Page("the request was for partial states"));
                }
                (GroupData::Partials(_), _) => return Err(QueryError::Page("rows were asked for")),
            }
        }
        Ok(())
    }

    fn add_rows(&mut self, key: Vec<String>, rows: FetchedRows) {
        let cut = self.from.as_ref().filter(|cut| cut.group == key && cut.shard == rows.shard);
        let until = self.until.as_ref().filter(|cut| cut.group == key);
        let until_ns = until.map(|cut| cut.time_ns);
        let (direction, is_derived, mut passed) = (self.direction, self.is_derived, self.passed);
        let is_wanted = |time_ns: i64| {
            let is_behind = |until_ns| direction.order(time_ns.cmp(&until_ns)).is_gt();
            // The order of a subquery's rows is independent of their times.
            if is_derived {
                return true;
            }
            if until_ns.is_some_and(is_behind) {
                return false;
            }
            match cut {
                Some(cut) if cut.time_ns == time_ns && passed < cut.rows => {
                    passed += 1;
                    false
                }
                _ => true,
            }
        };
        let bytes = key_bytes(&key);
        let added = &mut self.bytes;
        let group = self.groups.entry(key).or_insert_with(|| {
            *added += bytes;
            Gathered::Rows(SliceRows::default())
        });
        if let Gathered::Rows(known) = group {
            let before = known.bytes;
            known.add(rows, is_wanted);
            self.bytes += known.bytes - before;
        }
        self.passed = passed;
    }

    fn add_states(
        &mut self,
        key: Vec<String>,
        mut states: Vec<PartialColumn>,
        output: &Output,
    ) -> Result<()> {
        if let Some(until) = self.until.as_ref().filter(|cut| cut.group == key) {
            states.iter_mut().for_each(|state| before(state, until.time_ns, self.direction));
        }
        match self.groups.get_mut(&key) {
            Some(Gathered::States(known)) => {
                self.bytes = self.bytes.saturating_sub(states_bytes(known));
                merge(output, known, &states)?;
                self.bytes += states_bytes(known);
            }
            _ => {
                self.bytes += key_bytes(&key) + states_bytes(&states);
                self.groups.insert(key, Gathered::States(states));
            }
        }
        Ok(())
    }

    fn is_behind(&self, key: &[String]) -> bool {
        let is_before = |until: &Cut| self.direction.order(until.group.as_slice().cmp(key)).is_lt();
        self.until.as_ref().is_some_and(is_before)
    }

    /// Moves the end back to `end` and drops the data after the new end. Does nothing if the slice
    /// already ends before `end`.
    pub(crate) fn lower(&mut self, end: ResultPosition) {
        let cut = Cut::new(end.group, end.time_ns);
        let is_before = |until: &Cut| cut.order(until, self.direction).is_lt();
        if !self.until.as_ref().is_none_or(is_before) {
            return;
        }
        self.until = Some(cut);
        while let Some(last) = self.last_key()
            && self.is_behind(&last)
        {
            self.drop_group(&last);
        }
        let Some(until) = &self.until else { return };
        match self.groups.get_mut(&until.group) {
            Some(Gathered::Rows(rows)) if !self.is_derived => {
                let before = rows.bytes;
                drop_behind(rows, self.from.as_ref(), until, self.direction);
                self.bytes = (self.bytes + rows.bytes).saturating_sub(before);
            }
            Some(Gathered::States(states)) => {
                let bytes_before = states_bytes(states);
                states.iter_mut().for_each(|s| before(s, until.time_ns, self.direction));
                self.bytes = (self.bytes + states_bytes(states)).saturating_sub(bytes_before);
            }
            _ => {}
        }
    }

    /// Moves the end back until the slice needs at most `bytes_max` and has at most the estimated
    /// number of groups. The new end is after a group, or after a row of the only group. The states
    /// of the last group are never dropped.
    pub(super) fn make_room(&mut self, bytes_max: usize) {
        self.bytes_max = bytes_max;
        let groups_max = self.groups_max.max(1);
        let held_max = bytes_max.saturating_sub(self.order_bytes());
        while self.groups.len() > groups_max || (self.bytes > held_max && self.groups.len() > 1) {
            let Some(last) = self.last_key() else { return };
            self.drop_group(&last);
            if let Some(kept) = self.last_key() {
                self.until = Some(Cut::after_group(kept, self.direction));
            }
        }
        while self.groups.len() == 1 && self.bytes() > bytes_max && !self.is_derived {
            let Some((key, Gathered::Rows(rows))) = self.groups.iter_mut().next() else { return };
            // The end is a time, a shard and a number of rows. More rows with this time may have
            // arrived since the end was last changed. Drop the rows beyond the end's position.
            if let Some(until) = self.until.as_ref().filter(|until| until.group == *key) {
                drop_behind(rows, self.from.as_ref(), until, self.direction);
                self.bytes = rows.bytes;
                if self.bytes + rows.order_bytes() <= bytes_max {
                    return;
                }
            }
            let Some((time_ns, shard, mut stay)) = rows.halve(self.direction) else { return };
            let from = self.from.as_ref().filter(|from| {
                from.group == *key && (from.time_ns, from.shard) == (time_ns, shard)
            });
            stay += from.map_or(0, |from| from.rows);
            self.bytes = rows.bytes;
            self.until = Some(Cut { group: key.clone(), time_ns, shard, rows: stay });
        }
    }

    fn last_key(&self) -> Option<Vec<String>> {
        let last = match self.direction {
            Direction::Descending => self.groups.keys().next(),
            Direction::Ascending => self.groups.keys().next_back(),
        };
        last.cloned()
    }

    fn drop_group(&mut self, key: &Vec<String>) {
        let bytes = match self.groups.remove(key) {
            Some(Gathered::Rows(rows)) => rows.bytes,
            Some(Gathered::States(states)) => states_bytes(&states),
            None => return,
        };
        self.bytes = self.bytes.saturating_sub(bytes + key_bytes(key));
        self.following.add(key, self.direction);
    }

    /// Takes the complete groups in order, and starts the next slice. Partial states of a divided
    /// group remain, because the result needs all states of a group together.
    pub(crate) fn take(&mut self) -> Vec<(Vec<String>, GroupParts)> {
        let next = self.next_end();
        let mut groups: Vec<_> = std::mem::take(&mut self.groups).into_iter().collect();
        if self.direction.is_descending() {
            groups.reverse();
        }
        let cut = self.until.as_ref().filter(|until| !until.is_behind_group(self.direction));
        let cut = cut.map(|until| until.group.clone());
        let mut complete = Vec::with_capacity(groups.len());
        self.bytes = 0;
        for (key, gathered) in groups {
            match gathered {
                Gathered::States(states) if cut.as_ref() == Some(&key) => {
                    self.bytes = states_bytes(&states);
                    self.groups.insert(key, Gathered::States(states));
                }
                Gathered::States(states) => complete.push((key, GroupParts::of_states(states))),
                Gathered::Rows(mut rows) => {
                    // More rows with the time of the end may have arrived since the end was last
                    // changed. Drop the rows beyond the end's position.
                    let until = self.until.as_ref().filter(|until| until.group == key);
                    if let Some(until) = until.filter(|_| !self.is_derived) {
                        drop_behind(&mut rows, self.from.as_ref(), until, self.direction);
                    }
                    complete.push((key, rows.finish(self.direction, self.is_derived)));
                }
            }
        }
        self.from = self.until.take();
        self.until = next;
        self.passed = 0;
        complete
    }

    /// Returns all groups in order. If the end divides a group, the result contains only the part
    /// before the end. Awaits only [`Work::spend`].
    pub(crate) async fn into_groups(self, work: &Work) -> Vec<(Vec<String>, GroupParts)> {
        let mut groups: Vec<_> = self.groups.into_iter().collect();
        if self.direction.is_descending() {
            groups.reverse();
        }
        let mut complete = Vec::with_capacity(groups.len());
        for (key, gathered) in groups {
            let parts = match gathered {
                Gathered::States(states) => GroupParts::of_states(states),
                Gathered::Rows(rows) => rows.finish_in_turns(self.direction, work).await,
            };
            complete.push((key, parts));
        }
        complete
    }

    /// Predicts the end of the next slice. A subquery determines the ends of its slices itself.
    fn next_end(&mut self) -> Option<Cut> {
        let until = self.until.as_ref().filter(|_| !self.is_derived)?;
        let from = self.from.as_ref().filter(|from| from.group == until.group);
        self.groups_max = usize::MAX;
        if until.is_behind_group(self.direction) {
            // If the slice contains only the rest of a large group, the number of groups that fit
            // cannot be predicted.
            let groups = match from {
                Some(_) => 1,
                None => {
                    usize::try_from(self.next_size(self.groups.len() as u64)?).unwrap_or(usize::MAX)
                }
            };
            // Unknown groups may also precede the end, so allow all groups that fit.
            self.groups_max = groups.saturating_add(groups / 3);
            return self.following.end(groups, until, self.direction);
        }
        let rows = match self.groups.get(&until.group) {
            Some(Gathered::States(_)) => return None,
            Some(Gathered::Rows(rows)) => Some(rows),
            None => None,
        };
        let first_ns = || rows.and_then(|rows| rows.first_ns(self.direction));
        let began_ns = from.map(|from| from.time_ns).or_else(first_ns);
        let end_ns = began_ns.and_then(|began_ns| self.next_time_ns(began_ns, until.time_ns));
        let is_inside = |ns: &i64| self.direction.order(ns.cmp(&self.end_ns)).is_lt();
        Some(match end_ns.filter(is_inside) {
            Some(time_ns) => Cut::new(until.group.clone(), time_ns),
            None => Cut::after_group(until.group.clone(), self.direction),
        })
    }

    /// Returns the size of the next slice if this slice had size `size`, for example in groups. The
    /// target is three quarters of the maximum memory, so that slightly denser data also fits.
    /// Returns `None` if this slice contained too little data for a prediction.
    fn next_size(&self, size: u64) -> Option<u64> {
        let (bytes, wanted) = (self.bytes(), self.bytes_max / 4 * 3);
        let is_telling = bytes > wanted / (2 * GROWTH_MAX);
        let scaled = u128::from(size) * wanted as u128 / bytes.max(1) as u128;
        let scaled = u64::try_from(scaled).unwrap_or(u64::MAX);
        is_telling.then(|| scaled.min(size.saturating_mul(GROWTH_MAX as u64)).max(1))
    }

    /// Predicts the end time of a slice within one group. The last slice started at `began_ns` and
    /// ended at `from_ns`.
    fn next_time_ns(&self, began_ns: i64, from_ns: i64) -> Option<i64> {
        let span_ns = began_ns.abs_diff(from_ns);
        let next_ns = self.next_size(span_ns).filter(|_| span_ns > 0)?;
        Some(match began_ns < from_ns {
            true => from_ns.saturating_add_unsigned(next_ns),
            false => from_ns.saturating_sub_unsigned(next_ns),
        })
    }
}

/// The end of the slice must be inside the group.
fn drop_behind(rows: &mut SliceRows, from: Option<&Cut>, until: &Cut, direction: Direction) {
    let is_same = |from: &&Cut| {
        from.group == until.group && (from.time_ns, from.shard) == (until.time_ns, until.shard)
    };
    // The rows that precede the slice are not stored and must not be counted.
    let kept = until.rows.saturating_sub(from.filter(is_same).map_or(0, |from| from.rows));
    rows.cut(until.time_ns, until.shard, kept, direction);
}

fn merge(output: &Output, into: &mut [PartialColumn], from: &[PartialColumn]) -> Result<()> {
    let Output::Aggregates { calls, .. } = output else { return Ok(()) };
    for ((call, into), from) in calls.iter().zip(into).zip(from) {
        // Pages end between windows, so most states can be appended.
        if into.append(from) {
            continue;
        }
        partial::merge(call, into, from)
            .map_err(|_| QueryError::Page("the partial states belong to another function"))?;
    }
    Ok(())
}

/// Drops the windows that do not precede `time_ns`.
fn before(state: &mut PartialColumn, time_ns: i64, direction: Direction) {
    let is_before = |start_ns: i64| direction.order(start_ns.cmp(&time_ns)).is_lt();
    let is_all = time_ns == direction.to_ascending(i64::MAX);
    if is_all || state.windows_ns.iter().all(|&start_ns| is_before(start_ns)) {
        return;
    }
    *state = state.windows(is_before);
}

fn states_bytes(states: &[PartialColumn]) -> usize {
    states.iter().map(PartialColumn::bytes).sum()
}

fn key_bytes(key: &[String]) -> usize {
    key.iter().map(String::len).sum::<usize>() + GROUP_BYTES
}

/// The first groups after the slice. The shards returned rows of these groups, and the slice
/// dropped the rows.
#[derive(Debug, Default)]
struct NextGroups {
    keys: BTreeSet<Vec<String>>,
    bytes: usize,
}

impl NextGroups {
    fn add(&mut self, key: &[String], direction: Direction) {
        if self.keys.contains(key) {
            return;
        }
        self.bytes += following_bytes(key);
        self.keys.insert(key.to_vec());
        while self.keys.len() > FOLLOWING_GROUPS_MAX || self.bytes > FOLLOWING_BYTES_MAX {
            let farthest = if direction.is_descending() {
                self.keys.pop_first()
            } else {
                self.keys.pop_last()
            };
            let Some(farthest) = farthest else { return };
            self.bytes = self.bytes.saturating_sub(following_bytes(&farthest));
        }
    }

    fn end(&mut self, groups: usize, from: &Cut, direction: Direction) -> Option<Cut> {
        self.keys.retain(|key| direction.order(key.cmp(&from.group)).is_gt());
        self.bytes = self.keys.iter().map(|key| following_bytes(key)).sum();
        let at = groups.min(self.keys.len()).checked_sub(1).filter(|at| *at >= groups / 2)?;
        let key = if direction.is_descending() {
            self.keys.iter().nth_back(at)
        } else {
            self.keys.iter().nth(at)
        };
        key.map(|key| Cut::after_group(key.clone(), direction))
    }
}

fn following_bytes(key: &[String]) -> usize {
    key.iter().map(|value| value.len() + size_of::<String>()).sum()
}
