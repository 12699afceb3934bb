//! Several cursors as one: their series in order, the rows of each overlaid.

use std::cmp::Ordering;
use std::rc::Rc;

use super::cursor::{
    CURSORS_MAX, Direction, PageColumn, PageKeys, ReadError, RowCounts, RunLimits, SeriesCursor,
};
use super::join::join;
use super::key::SeriesKey;
use super::overlay::overlay;
use super::picks::Picks;
use crate::batch::column::Column;
use crate::model::ids::ColumnId;
use crate::model::time::TimeRange;
use crate::model::value::FieldType;

/// A merge of cursors of one direction.
///
/// It stands before the first series. After an error it is to be dropped.
pub struct Merge<C> {
    direction: Direction,
    /// Newest first.
    sources: Vec<Source<C>>,
    /// Those that stand at a series further on, the next one last; of one series the newest last.
    /// Of two bytes each, so that putting one in its place is cheap.
    waiting: Vec<u16>,
    /// Those that have the series at hand, newest first.
    current: Vec<u16>,
}

/// A page of one of the sources.
#[derive(Clone, Debug)]
pub struct SourcePage {
    source: u16,
    page: PageKeys,
}

struct Source<C> {
    cursor: C,
    /// Rows that are not taken yet.
    page: Option<PageKeys>,
}

impl<C: SeriesCursor> Merge<C> {
    /// Merges cursors, each with the highest write sequence of its rows: of two values for one
    /// series, time and field that of the higher one wins. Sequences of sources that overlap in
    /// time are disjoint; rows in memory are above all.
    ///
    /// # Errors
    /// [`ReadError::TooManySources`] for more than [`CURSORS_MAX`].
    pub fn new(mut sources: Vec<(u64, C)>, direction: Direction) -> Result<Self, ReadError> {
        if sources.len() > CURSORS_MAX {
            return Err(ReadError::TooManySources(sources.len()));
        }
        sources.sort_by(|(a, _), (b, _)| b.cmp(a));
        let sources: Vec<Source<C>> =
            sources.into_iter().map(|(_, cursor)| Source { cursor, page: None }).collect();
        let mut merge = Self { direction, sources, waiting: Vec::new(), current: Vec::new() };
        (0..merge.sources.len()).for_each(|at| merge.wait(at as u16));
        Ok(merge)
    }

    /// Goes on to the next series and answers its key; `None` when all are through. It may turn
    /// out to have no rows.
    ///
    /// # Errors
    /// Those of the cursors.
    pub fn next_series(&mut self) -> Result<Option<&SeriesKey>, ReadError> {
        self.leave()?;
        Ok(self.arrive())
    }

    /// Stands at the least series of all sources, which were taken on.
    fn arrive(&mut self) -> Option<&SeriesKey> {
        if self.are_first() {
            return self.key();
        }
        for source in std::mem::take(&mut self.current) {
            self.wait(source);
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

    /// Passes several short series at once, as [`SeriesCursor::short_series`] does, where one
    /// source has them all: it stands at the next series then. Nothing of the one at hand was
    /// read. Answers them and their rows.
    ///
    /// # Errors
    /// Those of the cursors.
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
        self.arrive();
        Ok(Some((passed.series, Picks::whole(only, passed.rows, self.direction))))
    }

    /// Makes the next series the first that is neither before `to` nor at hand or passed.
    ///
    /// # Errors
    /// Those of the cursors.
    pub fn seek(&mut self, to: &SeriesKey) -> Result<(), ReadError> {
        self.leave()?;
        let passed: Vec<u16> = self.current.drain(..).chain(self.waiting.drain(..)).collect();
        for at in passed {
            if let Some(source) = self.sources.get_mut(usize::from(at)) {
                source.cursor.seek(to)?;
            }
            self.wait(at);
        }
        Ok(())
    }

    /// The series at hand.
    pub fn key(&self) -> Option<&SeriesKey> {
        self.current.first().and_then(|&source| self.key_of(source))
    }

    /// How many sources have the series at hand.
    pub fn sources(&self) -> usize {
        self.current.len()
    }

    /// The next rows of the series at hand inside `time`, which is the same until the next series;
    /// `None` when they are through. Never empty.
    ///
    /// Rows of sources that do not overlap come page by page, as the pages are.
    ///
    /// # Errors
    /// Those of the cursors, and [`ReadError::Damaged`] where times that do not ascend, which no
    /// cursor may hand out, leave no row to go on with.
    pub fn next_rows(&mut self, time: TimeRange) -> Result<Option<Picks>, ReadError> {
        if let [only] = self.current[..] {
            let page = self.take_page(only, time)?;
            return Ok(page.map(|page| Picks::whole(only, page, self.direction)));
        }
        let mut pages = self.take_pages(time)?;
        let picks = match first_alone(&pages, self.direction) {
            Some(at) => {
                let (source, page) = pages.swap_remove(at);
                Picks::whole(source, page, self.direction)
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

    /// Whether the series at hand has a row inside `time`. Asked before any of its rows is read.
    ///
    /// # Errors
    /// Those of the cursors.
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

    /// A column of rows that this merge has picked, be it of series that are passed: as long as
    /// the picks and in their order. `None` if no row has a value.
    ///
    /// Who wants several columns of many short series joins their picks first
    /// ([`Picks::extend`]), so that a page's column is decoded once.
    ///
    /// # Errors
    /// Those of the cursors, and [`ReadError::ColumnType`].
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

    /// The page that these rows are, if they are all that one has and most of it can be written
    /// elsewhere as it is stored.
    pub fn stored_page(&self, picks: &Picks) -> Option<SourcePage> {
        let (source, page) = picks.only_page()?;
        let cursor = &self.sources.get(usize::from(*source))?.cursor;
        cursor.has_blocks(page).then(|| SourcePage { source: *source, page: page.clone() })
    }

    /// A column of such a page as it is stored, see [`SeriesCursor::block`]. `None` too if the
    /// column is of another type.
    ///
    /// # Errors
    /// Those of the cursors.
    pub fn block(
        &mut self,
        SourcePage { source, page }: &SourcePage,
        (id, field_type): (ColumnId, FieldType),
    ) -> Result<Option<Vec<u8>>, ReadError> {
        let is_other = page.columns().iter().any(|&(at, of)| at == id && of != field_type);
        match self.sources.get_mut(usize::from(*source)).filter(|_| !is_other) {
            Some(source) => source.cursor.block(page, id),
            None => Ok(None),
        }
    }

    /// Takes the sources on from the series at hand.
    fn leave(&mut self) -> Result<(), ReadError> {
        for &at in &self.current {
            if let Some(source) = self.sources.get_mut(usize::from(at)) {
                source.page = None;
                source.cursor.step()?;
            }
        }
        Ok(())
    }

    /// Whether the sources at hand have one series again, before all others: where each series is
    /// of the same sources as the one before, nothing is put in order.
    fn are_first(&self) -> bool {
        let Some((&first, others)) = self.current.split_first() else { return false };
        let Some(key) = self.key_of(first) else { return false };
        let next = self.waiting.last().and_then(|&next| self.key_of(next));
        next.is_none_or(|next| self.direction.order(key.cmp(next)) == Ordering::Less)
            && others.iter().all(|&other| self.key_of(other) == Some(key))
    }

    /// Puts a source where it belongs among those that wait; leaves it out if it is through.
    fn wait(&mut self, source: u16) {
        let Some(key) = self.key_of(source) else { return };
        let is_later = |&held: &u16| {
            let order = self.key_of(held).map(|held| self.direction.order(held.cmp(key)));
            order.is_some_and(|order| order.then(held.cmp(&source)) == Ordering::Greater)
        };
        let at = self.waiting.partition_point(is_later);
        self.waiting.insert(at, source);
    }

    fn key_of(&self, source: u16) -> Option<&SeriesKey> {
        self.sources.get(usize::from(source))?.cursor.key()
    }

    /// The rows at hand of every source that has any left, newest first.
    fn take_pages(&mut self, time: TimeRange) -> Result<Vec<(u16, PageKeys)>, ReadError> {
        let mut pages = Vec::with_capacity(self.current.len());
        for place in 0..self.current.len() {
            let Some(&at) = self.current.get(place) else { break };
            pages.extend(self.take_page(at, time)?.map(|page| (at, page)));
        }
        Ok(pages)
    }

    /// The rows at hand of a source, if it has any left.
    fn take_page(&mut self, at: u16, time: TimeRange) -> Result<Option<PageKeys>, ReadError> {
        let Some(source) = self.sources.get_mut(usize::from(at)) else { return Ok(None) };
        let page = match source.page.take() {
            Some(page) => Some(page),
            None => source.cursor.page(time)?,
        };
        Ok(page.filter(|page| !page.rows().is_empty()))
    }
}

/// The page whose rows all come before those of the others.
fn first_alone(pages: &[(u16, PageKeys)], direction: Direction) -> Option<usize> {
    let bounds = |(at, (_, page)): (usize, &(u16, PageKeys))| {
        page.bounds(direction).map(|(first, last)| (first, last, at))
    };
    let mut least: Option<(i64, i64, usize)> = None;
    let mut next = None;
    for bounds in pages.iter().enumerate().filter_map(bounds) {
        let later = match least {
            Some(least) if least.0 <= bounds.0 => bounds.0,
            _ => match least.replace(bounds) {
                Some(later) => later.0,
                None => continue,
            },
        };
        next = Some(next.map_or(later, |next: i64| next.min(later)));
    }
    let (_, last, at) = least?;
    next.is_none_or(|next| last < next).then_some(at)
}
