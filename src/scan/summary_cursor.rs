//! Which blocks of series one page of a list needs: those behind where the last page ended, as far
//! as the page has room. Without it each page of a million series would look at all of them.

use super::series_index::{Selection, selected};
use super::source::{Extent, Wanted};
use crate::batch::series_table::SeriesTable;
use crate::model::ids::ColumnId;

/// Chooses blocks for one page of combinations of tag values. Where a group's order is that of
/// the list, its blocks are taken from the first one that is not through, until they alone fill
/// the page; elsewhere all are.
pub(super) struct Cursor<'a> {
    selection: Selection<'a>,
    /// The tags that are listed.
    tags: &'a [ColumnId],
    /// The last item sent; empty for none.
    after: &'a [String],
    /// Bytes that fill the page.
    room: usize,
    /// The group whose blocks come, what its blocks have taken, and their last item.
    group: Option<usize>,
    taken: usize,
    last: Vec<String>,
    /// The next block has the order of the list.
    is_aligned: bool,
    /// The page answers for items up to this one: behind it there are blocks that were left out.
    pub(super) bound: Option<Vec<String>>,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(
        selection: Selection<'a>,
        tags: &'a [ColumnId],
        after: &'a [String],
        room: usize,
    ) -> Self {
        let (group, taken, last) = (None, 0, Vec::new());
        Self { selection, tags, after, room, group, taken, last, is_aligned: false, bound: None }
    }
}

impl Wanted for Cursor<'_> {
    fn may_have(&mut self, extent: &Extent<'_>) -> bool {
        self.is_aligned = false;
        if !self.selection.may_have(extent) {
            return false;
        }
        let listed = extent.last.get(..self.tags.len());
        let (Some(last), true) = (listed, extent.tag_ids.starts_with(self.tags)) else {
            return true;
        };
        if !self.after.is_empty() && last <= self.after {
            return false;
        }
        if self.group != Some(extent.group) {
            self.group = Some(extent.group);
            self.taken = 0;
        }
        if self.taken >= self.room {
            if self.bound.as_ref().is_none_or(|bound| self.last < *bound) {
                self.bound = Some(self.last.clone());
            }
            return false;
        }
        self.last = last.to_vec();
        self.is_aligned = true;
        true
    }

    fn has(&mut self, tag_ids: &[ColumnId], series: &SeriesTable) -> bool {
        let selected = selected(tag_ids, series, self.selection.filter);
        if std::mem::take(&mut self.is_aligned) {
            let columns = || series.tags.iter().take(self.tags.len());
            let item = |number: u32| columns().map(move |column| column.get(number as usize));
            let after = || self.after.iter().map(String::as_str);
            let mut before = None;
            for number in selected.iter().copied() {
                if item(number).gt(after()) && before.is_none_or(|last| item(number).ne(item(last)))
                {
                    self.taken += item(number).map(|value| value.len() + 4).sum::<usize>() + 4;
                }
                before = Some(number);
            }
        }
        !selected.is_empty()
    }
}
