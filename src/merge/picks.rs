//! Which rows of which pages come where: rows of a merge before any of their values is read.

use std::rc::Rc;

use smallvec::{SmallVec, smallvec};

use super::cursor::{Columns, Direction, PageKeys};
use crate::model::ids::ColumnId;
use crate::model::value::FieldType;

/// How far back a page is looked for that may be there already.
const LATE_PAGES: usize = 64;

/// Rows in the order of the merge, each time of a series once.
///
/// Several series' rows may be put behind one another ([`Picks::extend`]), so that a column is
/// decoded once for all series that share a page.
#[derive(Clone, Debug, Default)]
pub struct Picks {
    direction: Direction,
    /// Each with the source that it is of, and with all rows of it that are picked, or more; no
    /// page twice among the last [`LATE_PAGES`].
    pages: SmallVec<[(u16, PageKeys); 1]>,
    runs: SmallVec<[Run; 1]>,
    /// Ascending by `at`; of one row the newer ones first.
    older: Vec<Older>,
    /// Of each row; empty if all are those of the only page, ascending.
    times_ns: Vec<i64>,
    rows: u32,
}

/// Consecutive rows of a page, turned when descending.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    /// Position in [`Picks::pages`].
    pub(super) page: u32,
    /// The least of its rows, in the page.
    pub(super) first: u32,
    pub(super) rows: u32,
}

/// A row of the same series and time as row `at`, in an older source: it has the values that the
/// newer ones lack.
#[derive(Clone, Copy, Debug)]
pub(super) struct Older {
    pub(super) at: u32,
    pub(super) page: u32,
    pub(super) row: u32,
}

impl Run {
    /// The row of the page that row `at` of the run is.
    pub(super) fn row(&self, at: u32, direction: Direction) -> u32 {
        match direction {
            Direction::Ascending => self.first + at,
            Direction::Descending => self.first + self.rows.saturating_sub(at + 1),
        }
    }
}

impl Picks {
    /// No rows yet.
    pub(super) fn new(direction: Direction) -> Self {
        Self { direction, ..Self::default() }
    }

    /// All rows of `page`, of `source`.
    pub(super) fn whole(source: u16, page: PageKeys, direction: Direction) -> Self {
        let rows = page.rows();
        let run = Run { page: 0, first: rows.start, rows: rows.end - rows.start };
        let times_ns = match direction {
            Direction::Ascending => Vec::new(),
            Direction::Descending => page.times_ns().iter().rev().copied().collect(),
        };
        let (pages, runs) = (smallvec![(source, page)], smallvec![run]);
        Self { direction, pages, runs, times_ns, rows: run.rows, ..Self::default() }
    }

    /// The same rows, those of one series, with ascending times.
    #[must_use]
    pub fn ascending(mut self) -> Self {
        if self.direction == Direction::Ascending {
            return self;
        }
        self.direction = Direction::Ascending;
        self.times_ns.reverse();
        self.runs.reverse();
        self.older.reverse();
        let last = self.rows.saturating_sub(1);
        for older in &mut self.older {
            older.at = last.saturating_sub(older.at);
        }
        // Of one row the newer ones come first.
        let mut rest = self.older.as_mut_slice();
        while let Some(first) = rest.first() {
            let at = first.at;
            let same = rest.iter().take_while(|older| older.at == at).count();
            let (of_row, behind) = std::mem::take(&mut rest).split_at_mut(same);
            of_row.reverse();
            rest = behind;
        }
        self
    }

    /// The last of the rows alone; of none, none.
    #[must_use]
    pub fn last_row(&self) -> Self {
        match self.rows.checked_sub(1) {
            Some(last) => self.only(&[last]),
            None => self.clone(),
        }
    }

    /// The rows at these places, which ascend.
    #[must_use]
    pub fn only(&self, places: &[u32]) -> Self {
        let mut only = Self::new(self.direction);
        let (mut runs, mut start) = (self.runs.iter(), 0);
        let (mut run, mut older) = (runs.next(), self.older.as_slice());
        for &at in places {
            while let Some(passed) = run
                && start + passed.rows <= at
            {
                start += passed.rows;
                run = runs.next();
            }
            let (Some(run), Some(&time_ns)) = (run, self.times_ns().get(at as usize)) else {
                break;
            };
            let row = run.row(at - start, self.direction);
            let page = |number: u32| self.pages.get(number as usize);
            let Some((source, keys)) = page(run.page) else { break };
            let place = only.place_of(*source, keys);
            only.push(place, row, std::iter::once(time_ns));
            older = older.get(older.partition_point(|older| older.at < at)..).unwrap_or_default();
            for of_row in older.iter().take_while(|older| older.at == at) {
                if let Some((source, keys)) = page(of_row.page) {
                    let place = only.place_of(*source, keys);
                    only.push_older(place, of_row.row);
                }
            }
        }
        only
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows as usize
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// How many pages the rows are of.
    pub fn pages_read(&self) -> usize {
        self.pages.len()
    }

    /// Rows of these pages: so many values are decoded when a column is read.
    pub fn rows_read(&self) -> usize {
        self.pages.iter().map(|(_, page)| page.page_rows() as usize).sum()
    }

    /// The time of each row, nanoseconds: ascending or descending within a series.
    pub fn times_ns(&self) -> &[i64] {
        match &self.pages[..] {
            [(_, page)] if self.times_ns.is_empty() => page.times_ns(),
            _ => &self.times_ns,
        }
    }

    /// The columns that the rows may have.
    pub fn columns(&self) -> Columns {
        union(self.pages.iter().map(|(_, page)| Rc::clone(page.columns())))
    }

    /// Rows that more than one source has: each counts once for every source but the newest.
    pub fn overwritten(&self) -> usize {
        self.older.len()
    }

    /// Puts the rows of `other`, of the same merge, behind these.
    pub fn extend(&mut self, other: Self) {
        if self.is_empty() {
            *self = other;
            return;
        }
        self.spell_out_times();
        self.times_ns.extend_from_slice(other.times_ns());
        let places: SmallVec<[u32; 1]> =
            other.pages.iter().map(|(source, page)| self.place_of(*source, page)).collect();
        let place = |page: u32| places.get(page as usize).copied().unwrap_or_default();
        for run in other.runs {
            self.push_run(Run { page: place(run.page), ..run });
        }
        let before = self.rows;
        let moved = |row: Older| Older { at: row.at + before, page: place(row.page), ..row };
        self.older.extend(other.older.into_iter().map(moved));
        self.rows += other.rows;
    }

    /// Puts rows of the page at `page` behind these, of which `first` is the least; `times_ns` are
    /// theirs, in the order of the merge.
    #[inline]
    pub(super) fn push(
        &mut self,
        page: u32,
        first: u32,
        times_ns: impl ExactSizeIterator<Item = i64>,
    ) {
        // Rows of a page.
        let rows = times_ns.len() as u32;
        self.push_run(Run { page, first, rows });
        self.times_ns.extend(times_ns);
        self.rows += rows;
    }

    /// An older row of the time of the last one.
    pub(super) fn push_older(&mut self, page: u32, row: u32) {
        self.older.push(Older { at: self.rows.saturating_sub(1), page, row });
    }

    /// Where the page stands among the pages, added if it is not there. Rows of `page` only are
    /// picked of it.
    pub(super) fn place_of(&mut self, source: u16, page: &PageKeys) -> u32 {
        let behind = self.pages.len().saturating_sub(LATE_PAGES);
        let late = self.pages.iter_mut().enumerate().skip(behind).rev();
        let same = |(_, held): &(usize, &mut (u16, PageKeys))| {
            held.0 == source && held.1.page() == page.page()
        };
        // No more pages than rows.
        if let Some((at, (_, held))) = late.into_iter().find(same) {
            held.cover(page);
            return at as u32;
        }
        self.pages.push((source, page.clone()));
        (self.pages.len() - 1) as u32
    }

    pub(super) fn pages(&self) -> &[(u16, PageKeys)] {
        &self.pages
    }

    pub(super) fn runs(&self) -> &[Run] {
        &self.runs
    }

    pub(super) fn older(&self) -> &[Older] {
        &self.older
    }

    pub(super) fn direction(&self) -> Direction {
        self.direction
    }

    /// The only page, if the rows are all that it has, as it has them.
    pub(super) fn only_page(&self) -> Option<&(u16, PageKeys)> {
        match (&self.pages[..], &self.runs[..], &self.older[..]) {
            ([only], [run], []) => {
                let all = run.first == 0 && run.rows == only.1.page_rows();
                (all && (self.direction == Direction::Ascending || run.rows == 1)).then_some(only)
            }
            _ => None,
        }
    }

    fn spell_out_times(&mut self) {
        if self.times_ns.is_empty() {
            self.times_ns = self.times_ns().to_vec();
        }
    }

    fn push_run(&mut self, run: Run) {
        if let Some(last) = self.runs.last_mut()
            && last.page == run.page
        {
            match self.direction {
                Direction::Ascending if last.first + last.rows == run.first => {
                    last.rows += run.rows;
                    return;
                }
                Direction::Descending if run.first + run.rows == last.first => {
                    (last.first, last.rows) = (run.first, last.rows + run.rows);
                    return;
                }
                _ => {}
            }
        }
        self.runs.push(run);
    }
}

/// The columns of all of `lists`, each once. Of two types of one column the first stays.
fn union(lists: impl Iterator<Item = Columns>) -> Columns {
    let mut distinct: Vec<Columns> = Vec::new();
    for list in lists {
        if !distinct.iter().rev().any(|held| Rc::ptr_eq(held, &list)) {
            distinct.push(list);
        }
    }
    if let [only] = &distinct[..] {
        return Rc::clone(only);
    }
    let mut all: Vec<(ColumnId, FieldType)> =
        distinct.iter().flat_map(|l| l.iter()).copied().collect();
    all.sort_by_key(|&(id, _)| id);
    all.dedup_by_key(|&mut (id, _)| id);
    all.into()
}
