//! The series of all parts as one: which parts hold each, in which group, in which order.
//!
//! Tag values are compared as ranks in one sorted dictionary per tag, so that sorting and matching
//! series never touches text. Conditions on tags alone are settled here, before any row is read.

use std::cmp::Ordering;
use std::ops::Range;

use super::predicate::{self, Filter};
use super::request::Predicate;
use super::source::{Extent, Part, Wanted};
use crate::batch::series_table::{SeriesTable, TagColumn};
use crate::model::ids::ColumnId;
use crate::model::sorted;

/// The series that a scan looks at, sorted by group key, then by their own key (tags ascending by
/// id, each compared as bytes, a missing tag as '').
pub(super) struct SeriesIndex {
    parts: Vec<Part>,
    /// Every tag of any part, ascending.
    tag_ids: Vec<ColumnId>,
    group_by: Vec<ColumnId>,
    /// Part and position in the part's table, series after series, parts ascending.
    places: Vec<Place>,
    /// For each series the end of its places.
    place_ends: Vec<u32>,
    /// For each group the end of its series.
    group_ends: Vec<u32>,
}

/// Where a series is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// Position of the part.
    pub(super) part: u32,
    /// Position in the part's series table.
    pub(super) series: u32,
}

/// The series that a predicate does not exclude by their tags alone.
pub(super) struct Selection<'a> {
    pub(super) filter: &'a mut Filter,
    pub(super) predicate: Option<&'a Predicate>,
}

impl Wanted for Selection<'_> {
    fn may_have(&mut self, extent: &Extent<'_>) -> bool {
        for ((&tag, first), last) in extent.tag_ids.iter().zip(extent.first).zip(extent.last) {
            if let Some(values) = predicate::only_values(self.predicate, tag)
                && !values.iter().any(|&value| first.as_str() <= value && value <= last.as_str())
            {
                return false;
            }
            if first != last {
                break;
            }
        }
        true
    }

    fn has(&mut self, tag_ids: &[ColumnId], series: &SeriesTable) -> bool {
        !selected(tag_ids, series, self.filter).is_empty()
    }
}

impl SeriesIndex {
    /// Resolves the series of `parts` that `filter` does not exclude by their tags alone.
    pub(super) fn build(parts: Vec<Part>, group_by: &[ColumnId], filter: &mut Filter) -> Self {
        let mut tag_ids: Vec<_> = parts.iter().flat_map(|p| p.tag_ids.iter().copied()).collect();
        sorted::sort(&mut tag_ids);
        tag_ids.dedup();
        let order = sort_order(&tag_ids, group_by);
        Self::of(parts, (group_by, &order), tag_ids.clone(), filter)
    }

    /// With series told apart and sorted by the tags `order`, of which the first are `group_by`.
    fn of(
        parts: Vec<Part>,
        (group_by, order): (&[ColumnId], &[ColumnId]),
        tag_ids: Vec<ColumnId>,
        filter: &mut Filter,
    ) -> Self {
        let kept = |part: &Part| selected(&part.tag_ids, &part.series, filter);
        let kept: Vec<Vec<u32>> = parts.iter().map(kept).collect();
        let ranks: Vec<TagRanks> =
            order.iter().map(|&tag| TagRanks::build(&parts, &kept, tag)).collect();
        let group_tags = order.iter().take_while(|tag| group_by.contains(tag)).count();
        let mut widths: Vec<u32> = ranks.iter().map(|ranks| bits(ranks.values)).collect();
        let longest = parts.iter().map(|part| part.series.len).max().unwrap_or_default();
        // What orders a series is followed by where it is.
        let place_bits = [bits(parts.len() as u32), bits(longest)];
        widths.extend(place_bits);
        let mut index = Self {
            parts,
            tag_ids,
            group_by: group_by.to_vec(),
            places: Vec::new(),
            place_ends: Vec::new(),
            group_ends: Vec::new(),
        };
        if widths.iter().sum::<u32>() <= u128::BITS {
            let place: u32 = place_bits.iter().sum();
            let rest = widths.iter().skip(group_tags).sum();
            let pack = |codes: &[u32]| {
                codes.iter().zip(&widths).fold(0_u128, |key, (&code, &width)| {
                    key.checked_shl(width).unwrap_or(0) | u128::from(code)
                })
            };
            let cut = |key: &u128, bits: u32| key.checked_shr(bits).unwrap_or(0);
            let same = |a: &u128, b: &u128, bits| cut(a, bits) == cut(b, bits);
            let [_, series_bits] = place_bits;
            let place_of = |key: &u128| Place {
                part: cut(&(key & !(u128::MAX << place)), series_bits) as u32,
                series: (key & !(u128::MAX << series_bits)) as u32,
            };
            let same = |a: &u128, b: &u128| (same(a, b, place), same(a, b, rest));
            // The one sort of a query over a million series: numbers, and so in place.
            let sort = |found: &mut [u128]| found.sort_unstable();
            index.assemble(order, (&ranks, &kept), pack, sort, place_of, same);
        } else {
            let same = |a: &Vec<u32>, b: &Vec<u32>, tags| a.get(..tags) == b.get(..tags);
            let place_of = |key: &Vec<u32>| match key.last_chunk() {
                Some(&[part, series]) => Place { part, series },
                None => Place { part: 0, series: 0 },
            };
            let same =
                |a: &Vec<u32>, b: &Vec<u32>| (same(a, b, order.len()), same(a, b, group_tags));
            let parts = (&ranks[..], &kept[..]);
            index.assemble(order, parts, <[u32]>::to_vec, sorted::sort, place_of, same);
        }
        index
    }

    /// Sorts the series by `key` of their ranks and place, and records places, series and groups;
    /// `same` says whether two keys are of one series, and of one group.
    fn assemble<K: Ord>(
        &mut self,
        order: &[ColumnId],
        (ranks, kept): (&[TagRanks], &[Vec<u32>]),
        key: impl Fn(&[u32]) -> K,
        sort: impl FnOnce(&mut [K]),
        place: impl Fn(&K) -> Place,
        same: impl Fn(&K, &K) -> (bool, bool),
    ) {
        let count = kept.iter().map(Vec::len).sum();
        let mut found: Vec<K> = Vec::with_capacity(count);
        let mut codes = vec![0; order.len() + 2];
        for (number, (part, kept)) in self.parts.iter().zip(kept).enumerate() {
            let columns: Vec<_> = order.iter().map(|&tag| column(part, tag)).collect();
            for &series in kept {
                for ((code, column), ranks) in codes.iter_mut().zip(&columns).zip(ranks) {
                    *code = ranks.rank(number, *column, series);
                }
                if let Some(place) = codes.last_chunk_mut() {
                    *place = [number as u32, series];
                }
                found.push(key(&codes));
            }
        }
        sort(&mut found);
        self.places.reserve_exact(count);
        let mut last: Option<&K> = None;
        for key in &found {
            let (same_series, same_group) = last.map_or((true, true), |last| same(last, key));
            if !same_series {
                self.place_ends.push(self.places.len() as u32);
            }
            if !same_group {
                self.group_ends.push(self.place_ends.len() as u32);
            }
            self.places.push(place(key));
            last = Some(key);
        }
        if last.is_some() {
            self.place_ends.push(self.places.len() as u32);
            self.group_ends.push(self.place_ends.len() as u32);
        }
    }

    /// The parts, by ascending write sequence.
    pub(super) fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Every tag of any part, ascending.
    pub(super) fn tag_ids(&self) -> &[ColumnId] {
        &self.tag_ids
    }

    /// Number of groups, ascending by key.
    pub(super) fn groups(&self) -> usize {
        self.group_ends.len()
    }

    /// Number of series.
    pub(super) fn series(&self) -> usize {
        self.place_ends.len()
    }

    /// The series of a group, ascending by key.
    pub(super) fn group(&self, group: usize) -> Range<usize> {
        piece(&self.group_ends, group)
    }

    /// Where a series is, parts ascending.
    pub(super) fn places(&self, series: usize) -> &[Place] {
        self.places.get(piece(&self.place_ends, series)).unwrap_or_default()
    }

    /// The value of a tag, '' when the series lacks it.
    pub(super) fn tag(&self, series: usize, tag: ColumnId) -> &str {
        let Some(place) = self.places(series).first() else { return "" };
        let part = self.parts.get(place.part as usize);
        part.and_then(|part| column(part, tag)).map_or("", |c| c.get(place.series as usize))
    }

    /// Values of the group tags.
    pub(super) fn group_key(&self, group: usize) -> Vec<String> {
        let series = self.group(group).start;
        self.group_by.iter().map(|&tag| self.tag(series, tag).to_owned()).collect()
    }

    /// How a group's key compares with `key`.
    pub(super) fn compare_group(&self, group: usize, key: &[String]) -> Ordering {
        let series = self.group(group).start;
        self.group_by.iter().map(|&tag| self.tag(series, tag)).cmp(key.iter().map(String::as_str))
    }

    /// A series' tags, ascending by id, none empty.
    pub(super) fn series_key(&self, series: usize) -> Vec<(ColumnId, String)> {
        let tags = self.tag_ids.iter().map(|&tag| (tag, self.tag(series, tag)));
        tags.filter(|(_, v)| !v.is_empty()).map(|(tag, v)| (tag, v.to_owned())).collect()
    }

    /// How a series' key compares with `key`, as the series of a group are sorted.
    pub(super) fn compare_series(&self, series: usize, key: &[(ColumnId, String)]) -> Ordering {
        let mut tags: Vec<_> = self.tag_ids.iter().chain(key.iter().map(|(tag, _)| tag)).collect();
        sorted::sort(&mut tags);
        tags.dedup();
        let wanted = |tag| key.iter().find(|(t, _)| *t == tag).map_or("", |(_, v)| v.as_str());
        let sides = tags.iter().map(|&&tag| self.tag(series, tag).cmp(wanted(tag)));
        sides.fold(Ordering::Equal, Ordering::then)
    }
}

/// The tags in the order in which series are sorted: those of the group first.
fn sort_order(tag_ids: &[ColumnId], group_by: &[ColumnId]) -> Vec<ColumnId> {
    let mut order: Vec<ColumnId> = Vec::with_capacity(tag_ids.len());
    let grouped = group_by.iter().filter(|tag| tag_ids.contains(tag));
    for &tag in grouped.chain(tag_ids) {
        if !order.contains(&tag) {
            order.push(tag);
        }
    }
    order
}

/// Series that `filter` does not exclude by their tags, each value looked at once.
pub(super) fn selected(
    tag_ids: &[ColumnId],
    series: &SeriesTable,
    filter: &mut Filter,
) -> Vec<u32> {
    if filter.takes_all() {
        return (0..series.len).collect();
    }
    for (&tag, column) in tag_ids.iter().zip(&series.tags) {
        filter.tabulate(tag, &mut std::iter::once("").chain(column.dictionary.iter()));
    }
    let mut codes = vec![0; tag_ids.len()];
    let is_kept = |number: &u32| {
        let number = *number as usize;
        for (code, column) in codes.iter_mut().zip(&series.tags) {
            *code = column.codes.get(number).copied().unwrap_or(0);
        }
        let tag = |id| {
            let column =
                tag_ids.iter().position(|&tag| tag == id).and_then(|at| series.tags.get(at));
            column.map_or("", |column| column.get(number))
        };
        !filter.excludes(tag_ids, &codes, &tag)
    };
    (0..series.len).filter(is_kept).collect()
}

/// A part's column of a tag.
fn column(part: &Part, tag: ColumnId) -> Option<&TagColumn> {
    let position = part.tag_ids.iter().position(|&id| id == tag)?;
    part.series.tags.get(position)
}

/// Piece number `index` of what `ends` cuts.
fn piece(ends: &[u32], index: usize) -> Range<usize> {
    let end = ends.get(index).map_or(0, |&end| end as usize);
    let start = index.checked_sub(1).and_then(|i| ends.get(i)).map_or(0, |&end| end as usize);
    start..end
}

/// One tag's values over all parts, sorted, as far as the series that are kept have them.
struct TagRanks {
    /// For each part and code minus 1 the rank; 0 is a missing tag.
    ranks: Vec<Vec<u32>>,
    /// Number of values.
    values: u32,
}

impl TagRanks {
    fn build(parts: &[Part], kept: &[Vec<u32>], tag: ColumnId) -> Self {
        let columns: Vec<_> = parts.iter().map(|part| column(part, tag)).collect();
        let text = |&(part, code): &(u32, u32)| {
            let column = columns.get(part as usize).copied().flatten();
            column.map_or("", |column| column.dictionary.get(code as usize))
        };
        let mut all: Vec<(u32, u32)> = Vec::new();
        for (part, (column, kept)) in (0_u32..).zip(columns.iter().zip(kept)) {
            let Some(column) = column else { continue };
            if kept.len() >= column.dictionary.len() {
                all.extend((0..column.dictionary.len() as u32).map(|code| (part, code)));
                continue;
            }
            let code = |&series: &u32| column.codes.get(series as usize)?.checked_sub(1);
            let mut codes: Vec<u32> = kept.iter().filter_map(code).collect();
            sorted::sort_positions(&mut codes, &|a, b| a.cmp(&b));
            codes.dedup();
            all.extend(codes.into_iter().map(|code| (part, code)));
        }
        // Stable: it finds the sorted runs that dictionaries at rest are.
        sorted::sort_by(&mut all, |a, b| text(a).cmp(text(b)));
        let mut ranks: Vec<Vec<u32>> =
            columns.iter().map(|c| vec![0; c.map_or(0, |c| c.dictionary.len())]).collect();
        let (mut values, mut last) = (0, None);
        for place in all {
            if last.is_none_or(|last| text(&last) != text(&place)) {
                values += 1;
            }
            last = Some(place);
            let (part, code) = place;
            let slot = ranks.get_mut(part as usize).and_then(|part| part.get_mut(code as usize));
            if let Some(slot) = slot {
                *slot = values;
            }
        }
        Self { ranks, values }
    }

    fn rank(&self, part: usize, column: Option<&TagColumn>, series: u32) -> u32 {
        let code = column.and_then(|column| column.codes.get(series as usize)).copied();
        let code = code.unwrap_or(0).checked_sub(1);
        let ranks = self.ranks.get(part);
        code.and_then(|code| ranks?.get(code as usize).copied()).unwrap_or(0)
    }
}

/// Bits that hold every number up to `largest`.
fn bits(largest: u32) -> u32 {
    u32::BITS - largest.leading_zeros()
}
