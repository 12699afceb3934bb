//! Merges several cursors into one: the series in key order, and the overlaid rows of each series,
//! so that the last write wins.

use std::cmp::Ordering;
use std::rc::Rc;

use super::cursor::{
    CURSORS_MAX, Direction, PageColumn, PageKeys, ReadError, RowCounts, RunLimits, SeriesCursor,
};
use super::key::SeriesKey;
use super::picks::{Picks, join};
use crate::batch::column::Column;
use tidemark_model::bug::OrBug;
use tidemark_model::ids::ColumnId;
use tidemark_model::time::TimeRange;
use tidemark_model::value::FieldType;

/// The approximate maximum number of rows in an overlay. The text of all rows of 64 pages would
/// take too much memory.
pub(super) const ROWS_MAX: usize = 16_384;
/// The time of a page without remaining rows, after every other time in both directions.
const EXHAUSTED: i64 = i64::MAX;

/// A merge of cursors with the same direction. A new merge is before its first series.
///
/// Every method may return the errors of the cursors. The documentation of a method lists its other
/// errors. After an error, the caller must drop the merge.
pub struct Merge<C> {
    direction: Direction,
    /// The newest source is first.
    sources: Vec<Source<C>>,
    /// The sources whose next series is after the current series, in descending order of their next
    /// series. If sources have the same next series, the newest source is last. Items take two
    /// bytes, so that an insertion is cheap.
    waiting: Vec<u16>,
    /// The sources of the current series, with the newest first.
    current: Vec<u16>,
}

/// A page of a source.
#[derive(Clone, Debug)]
pub struct SourcePage {
    source: u16,
    page: PageKeys,
}

struct Source<C> {
    cursor: C,
    /// The rows that are not yet returned.
    page: Option<PageKeys>,
}

impl<C: SeriesCursor> Merge<C> {
    /// Merges cursors. A pair contains the highest write sequence of a cursor's rows, and the
    /// cursor. For the same series, time and field, the source with the higher sequence wins.
    /// Sources that overlap in time have disjoint sequences, and the rows in memory have the
    /// highest sequences.
    ///
    /// # Errors
    /// Returns [`ReadError::TooManySources`] for more than [`CURSORS_MAX`] cursors.
    pub fn new(mut sources: Vec<(u64, C)>, direction: Direction) -> Result<Self, ReadError> {
        if sources.len() > CURSORS_MAX {
            return Err(ReadError::TooManySources(sources.len()));
        }
        sources.sort_by(|(a, _), (b, _)| b.cmp(a));
        let sources: Vec<Source<C>> =
            sources.into_iter().map(|(_, cursor)| Source { cursor, page: None }).collect();
        let mut merge = Self { direction, sources, waiting: Vec::new(), current: Vec::new() };
        (0..merge.sources.len()).for_each(|at| merge.push_waiting(at as u16));
        Ok(merge)
    }

    /// Moves to the next series and returns its key, or `None` after the last series. The series
    /// may have no rows.
    pub fn next_series(&mut self) -> Result<Option<&SeriesKey>, ReadError> {
        self.step_current()?;
        Ok(self.gather_current())
    }

    /// Collects the sources of the next series, and returns its key. The sources must have moved
    /// past the previous series.
    fn gather_current(&mut self) -> Option<&SeriesKey> {
        if self.current_sources_stay() {
            return self.key();
        }
        for source in std::mem::take(&mut self.current) {
            self.push_waiting(source);
        }
        self.current.extend(self.waiting.pop());
        while let Some(&next) = self.waiting.last()
            && self.current.first().is_some_and(|&first| self.key_of(first) == self.key_of(next))
        {
            self.waiting.pop();
            self.current.push(next);
        }
        self.key()
    }

    /// Moves past several short series in one call, as [`SeriesCursor::short_series`] does. Only
    /// one source may have these series, and the current series must be unread.
    pub fn short_series(
        &mut self,
        limits: &RunLimits<'_>,
    ) -> Result<Option<(RowCounts, Picks)>, ReadError> {
        let [only] = self.current[..] else { return Ok(None) };
        let (at, next) = (usize::from(only), self.waiting.last().copied().map(usize::from));
        let passed = match next {
            None => self.sources.get_mut(at).map(|source| source.cursor.short_series(limits)),
            Some(next) => self.sources.get_disjoint_mut([at, next]).ok().map(|[source, next]| {
                let end = limits.end.into_iter().chain(next.cursor.key()).min();
                source.cursor.short_series(&RunLimits { end, ..*limits })
            }),
        };
        let Some(passed) = passed.transpose()?.flatten() else { return Ok(None) };
        self.gather_current();
        Ok(Some((passed.series, Picks::all_rows(only, passed.rows, self.direction))))
    }

    /// Moves the sources to `to`. [`Merge::next_series`] then returns the first series that is not
    /// before `to` and comes after the current series.
    pub fn seek(&mut self, to: &SeriesKey) -> Result<(), ReadError> {
        self.step_current()?;
        let passed: Vec<u16> = self.current.drain(..).chain(self.waiting.drain(..)).collect();
        for at in passed {
            if let Some(source) = self.sources.get_mut(usize::from(at)) {
                source.cursor.seek(to)?;
            }
            self.push_waiting(at);
        }
        Ok(())
    }

    /// Returns the current series.
    pub fn key(&self) -> Option<&SeriesKey> {
        self.current.first().and_then(|&source| self.key_of(source))
    }

    /// Returns the next rows of the current series inside `time`, or `None` after the last row.
    /// `time` must not change within a series. The result is never empty. If sources do not
    /// overlap, each result is an unchanged page.
    ///
    /// # Errors
    /// Returns [`ReadError::Damaged`] if the merge cannot continue because the times of a cursor do
    /// not ascend.
    pub fn next_rows(&mut self, time: TimeRange) -> Result<Option<Picks>, ReadError> {
        if let [only] = self.current[..] {
            let page = self.take_page(only, time)?;
            return Ok(page.map(|page| Picks::all_rows(only, page, self.direction)));
        }
        let mut pages = self.take_pages(time)?;
        let picks = match first_disjoint_page(&pages, self.direction) {
            Some(at) => {
                let (source, page) = pages.swap_remove(at);
                Picks::all_rows(source, page, self.direction)
            }
            None if pages.is_empty() => return Ok(None),
            None => overlay(&mut pages, self.direction),
        };
        for (at, page) in pages {
            if let Some(source) = self.sources.get_mut(usize::from(at)) {
                source.page = Some(page).filter(|page| !page.rows().is_empty());
            }
        }
        if picks.is_empty() {
            return Err(ReadError::Damaged { what: "times of a page do not ascend".into() });
        }
        Ok(Some(picks))
    }

    /// Whether the current series has a row inside `time`. The caller must not have read rows of
    /// the series.
    pub fn has_rows(&mut self, time: TimeRange) -> Result<bool, ReadError> {
        for &at in &self.current {
            if let Some(source) = self.sources.get_mut(usize::from(at))
                && source.cursor.has_rows(time)?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns a column for rows that this merge has picked, even if the merge has moved past their
    /// series. The values are in the order of the picks. Returns `None` if all values are null.
    ///
    /// To read several columns of many short series, join their picks first ([`Picks::extend`]), so
    /// that each column of a page is decoded once.
    pub fn column(&mut self, picks: &Picks, id: ColumnId) -> Result<Option<Rc<Column>>, ReadError> {
        let mut columns = Vec::with_capacity(picks.pages().len());
        let mut found = None;
        for (source, page) in picks.pages() {
            let has = page.columns().binary_search_by_key(&id, |&(id, _)| id).is_ok();
            let source = self.sources.get_mut(usize::from(*source)).filter(|_| has);
            let column = match source {
                Some(source) => source.cursor.column(page, id)?,
                None => None,
            };
            if let Some(of) = column.as_ref().map(PageColumn::field_type) {
                let expected = *found.get_or_insert(of);
                if of != expected {
                    return Err(ReadError::ColumnType { column: id, expected, found: of });
                }
            }
            columns.push(column);
        }
        let Some(field_type) = found else { return Ok(None) };
        if picks.only_page().is_some() {
            return Ok(columns.pop().flatten().map(PageColumn::into_column));
        }
        let joined = join(picks, &columns, field_type);
        Ok((joined.validity.nulls(joined.len()) < joined.len()).then(|| Rc::new(joined)))
    }

    /// Returns the stored size of the text in the pages of `picks`, without the first `counted`
    /// pages, in bytes. Pages in memory do not count.
    pub(crate) fn text_bytes(&mut self, picks: &Picks, counted: usize) -> Result<usize, ReadError> {
        let mut bytes = 0;
        for (source, page) in picks.pages().iter().skip(counted) {
            if let Some(source) = self.sources.get_mut(usize::from(*source)) {
                bytes += source.cursor.text_bytes(page)?;
            }
        }
        Ok(bytes)
    }

    /// Returns the page if the picks are exactly the rows of one page and most bytes of this page
    /// can be copied without decoding.
    pub fn stored_page(&self, picks: &Picks) -> Option<SourcePage> {
        let (source, page) = picks.only_page()?;
        let cursor = &self.sources.get(usize::from(*source))?.cursor;
        cursor.has_blocks(page).then(|| SourcePage { source: *source, page: page.clone() })
    }

    /// Returns a stored column of a page from [`Merge::stored_page`], as [`SeriesCursor::block`]
    /// does. Also returns `None` if the column has another type.
    pub fn block(
        &mut self,
        SourcePage { source, page }: &SourcePage,
        id: ColumnId,
        field_type: FieldType,
    ) -> Result<Option<Vec<u8>>, ReadError> {
        let is_other = page.columns().iter().any(|&(at, of)| at == id && of != field_type);
        match self.sources.get_mut(usize::from(*source)).filter(|_| !is_other) {
            Some(source) => source.cursor.block(page, id),
            None => Ok(None),
        }
    }

    /// Moves the sources of the current series to their next series.
    fn step_current(&mut self) -> Result<(), ReadError> {
        for &at in &self.current {
            if let Some(source) = self.sources.get_mut(usize::from(at)) {
                source.page = None;
                source.cursor.step()?;
            }
        }
        Ok(())
    }

    /// Whether the current sources share their next series, and this series precedes the series of
    /// all other sources. The merge then need not sort its sources.
    fn current_sources_stay(&self) -> bool {
        let Some((&first, others)) = self.current.split_first() else { return false };
        let Some(key) = self.key_of(first) else { return false };
        let next = self.waiting.last().and_then(|&next| self.key_of(next));
        next.is_none_or(|next| self.direction.order(key.cmp(next)) == Ordering::Less)
            && others.iter().all(|&other| self.key_of(other) == Some(key))
    }

    /// Inserts a source into `waiting`. Omits a source that has no further series.
    fn push_waiting(&mut self, source: u16) {
        let Some(key) = self.key_of(source) else { return };
        let is_later = |&other: &u16| {
            let order = self.key_of(other).map(|next| self.direction.order(next.cmp(key)));
            order.is_some_and(|order| order.then(other.cmp(&source)) == Ordering::Greater)
        };
        let at = self.waiting.partition_point(is_later);
        self.waiting.insert(at, source);
    }

    fn key_of(&self, source: u16) -> Option<&SeriesKey> {
        self.sources.get(usize::from(source))?.cursor.key()
    }

    /// Takes the next page of each current source, with the newest source first. Sources without
    /// remaining rows are omitted.
    fn take_pages(&mut self, time: TimeRange) -> Result<Vec<(u16, PageKeys)>, ReadError> {
        let mut pages = Vec::with_capacity(self.current.len());
        for place in 0..self.current.len() {
            let Some(&at) = self.current.get(place) else { break };
            pages.extend(self.take_page(at, time)?.map(|page| (at, page)));
        }
        Ok(pages)
    }

    fn take_page(&mut self, at: u16, time: TimeRange) -> Result<Option<PageKeys>, ReadError> {
        let Some(source) = self.sources.get_mut(usize::from(at)) else { return Ok(None) };
        let page = match source.page.take() {
            Some(page) => Some(page),
            None => source.cursor.page(time)?,
        };
        Ok(page.filter(|page| !page.rows().is_empty()))
    }
}

/// Returns the position of the page whose rows all precede the rows of the other pages.
fn first_disjoint_page(pages: &[(u16, PageKeys)], direction: Direction) -> Option<usize> {
    let bounds = || pages.iter().map(|(_, page)| page.bounds(direction)).enumerate();
    let firsts = bounds().filter_map(|(at, bounds)| Some((at, bounds?)));
    let (least, (_, last)) = firsts.min_by_key(|(_, (first, _))| *first)?;
    let is_later = |(at, bounds): (usize, Option<(i64, i64)>)| {
        at == least || bounds.is_none_or(|(first, _)| last < first)
    };
    bounds().all(is_later).then_some(least)
}

/// Overlays pages of a series, ordered from the newest source to the oldest, and removes the
/// overlaid rows from the pages. The overlay stops after about [`ROWS_MAX`] rows, or when the first
/// page ends, because later rows may be incomplete. A row that is in several sources is picked from
/// the newest source, and older sources fill its nulls.
fn overlay(pages: &mut [(u16, PageKeys)], direction: Direction) -> Picks {
    let mut picks = Picks::new(direction);
    let mut heads: Vec<Head<'_>> =
        pages.iter().map(|(source, page)| Head::new(*source, page, direction)).collect();
    let complete = heads.iter().map(Head::last).min().unwrap_or(EXHAUSTED);
    while picks.len() < ROWS_MAX {
        let least = Least::of(&heads);
        if least.time > complete || least.time == EXHAUSTED {
            break;
        }
        let Some((newest, older)) = heads.get_mut(least.at..).and_then(<[_]>::split_first_mut)
        else {
            break;
        };
        newest.pick_until(least.until(complete), &mut picks);
        if least.shared {
            let same = older.iter_mut().filter(|head| head.time == least.time);
            same.for_each(|head| head.pick_older(&mut picks));
        }
    }
    let taken: Vec<usize> = heads.iter().map(|head| head.taken).collect();
    for ((_, page), taken) in pages.iter_mut().zip(taken) {
        page.advance(taken, direction);
    }
    picks
}

struct Head<'a> {
    source: u16,
    page: &'a PageKeys,
    times_ns: &'a [i64],
    direction: Direction,
    taken: usize,
    /// The converted time of the next row, or [`EXHAUSTED`].
    time: i64,
    /// The position of the page in the picks, after its first row was picked.
    place: Option<u32>,
}

impl<'a> Head<'a> {
    fn new(source: u16, page: &'a PageKeys, direction: Direction) -> Self {
        let times_ns = page.times_ns();
        let mut head =
            Self { source, page, times_ns, direction, taken: 0, time: EXHAUSTED, place: None };
        head.time = head.time_at(0);
        head
    }

    #[inline]
    fn time_at(&self, at: usize) -> i64 {
        let place = match self.direction {
            Direction::Ascending => Some(at),
            Direction::Descending => self.times_ns.len().checked_sub(at + 1),
        };
        let time_ns = place.and_then(|place| self.times_ns.get(place));
        time_ns.map_or(EXHAUSTED, |&time_ns| self.direction.to_ascending(time_ns))
    }

    fn last(&self) -> i64 {
        self.time_at(self.times_ns.len().saturating_sub(1))
    }

    /// Picks the rows of the page up to the time `until`. The next row must not be after `until`.
    #[inline]
    fn pick_until(&mut self, until: i64, picks: &mut Picks) {
        let start = self.taken;
        let mut end = start + 1;
        self.time = self.time_at(end);
        while self.time <= until && self.time != EXHAUSTED {
            end += 1;
            self.time = self.time_at(end);
        }
        self.taken = end;
        let place = self.place(picks);
        let first = self.row(start).min(self.row(end - 1));
        let len = self.times_ns.len();
        match self.direction {
            Direction::Ascending => {
                let times = self.times_ns.get(start..end).or_bug();
                picks.push(place, first, times.iter().copied());
            }
            Direction::Descending => {
                let times = self.times_ns.get(len - end..len - start).or_bug();
                picks.push(place, first, times.iter().rev().copied());
            }
        }
    }

    /// Picks the next row as an older version of the last picked row, which has the same time.
    fn pick_older(&mut self, picks: &mut Picks) {
        let place = self.place(picks);
        picks.push_older(place, self.row(self.taken));
        self.taken += 1;
        self.time = self.time_at(self.taken);
    }

    fn place(&mut self, picks: &mut Picks) -> u32 {
        *self.place.get_or_insert_with(|| picks.place_of(self.source, self.page))
    }

    fn row(&self, at: usize) -> u32 {
        let (rows, at) = (self.page.rows(), at as u32);
        match self.direction {
            Direction::Ascending => rows.start + at,
            Direction::Descending => rows.end - 1 - at,
        }
    }
}

struct Least {
    time: i64,
    at: usize,
    shared: bool,
    next: i64,
}

impl Least {
    #[inline]
    fn of(heads: &[Head<'_>]) -> Self {
        let mut least = Self { time: EXHAUSTED, at: 0, shared: false, next: EXHAUSTED };
        for (at, &Head { time, .. }) in heads.iter().enumerate() {
            if time < least.time {
                least = Self { time, at, shared: false, next: least.time };
            } else if time == least.time {
                least.shared = true;
            } else if time < least.next {
                least.next = time;
            }
        }
        least
    }

    /// Returns the time up to which rows of the page at `at` are picked next. If another page has a
    /// row with the same time, this is the time of that row. Otherwise, the time precedes the rows
    /// of all other pages, and is at most `complete`.
    fn until(&self, complete: i64) -> i64 {
        if self.shared { self.time } else { complete.min(self.next.saturating_sub(1)) }
    }
}
