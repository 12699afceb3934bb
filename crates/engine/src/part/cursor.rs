//! The cursor that reads a part as a sorted source for a merge.

use std::ops::Range;
use std::rc::Rc;

use super::block::CORRUPT;
use super::directory::{Directory, PartGroup, RowPage};
use super::pages::{self, GroupReader, PagePosition};
use super::series_block;
use super::values::{RowKeys, Values};
use crate::batch::series_table::SeriesTable;
use crate::merge::cursor::{
    Direction, PageColumn, PageKeys, ReadError, RunLimits, SeriesCursor, ShortSeries,
};
use crate::merge::key::SeriesKey;
use tidemark_model::bug::OrBug;
use tidemark_model::ids::{ColumnId, MeasurementId};
use tidemark_model::time::TimeRange;

/// The number of bits in a page's name for the page's number in the group.
const PAGE_BITS: u32 = 21;
const GROUP_BITS: u32 = 21;

/// A cursor over the rows of a part.
pub struct PartCursor<V> {
    values: V,
    part: u64,
    direction: Direction,
    only: Option<MeasurementId>,
    value: usize,
    directory: Rc<Directory>,
    groups: Range<usize>,
    /// The number of the current group.
    group: usize,
    /// The number of the current series in the group.
    series: u32,
    /// The number of pages of the current series that the cursor has passed in the current group.
    pages: usize,
    key: Option<SeriesKey>,
    block: Option<((usize, usize, usize), Rc<SeriesTable>)>,
    keys: Option<(u64, RowKeys)>,
    /// The last column that was read, with the name of its page.
    last: Option<(u64, ColumnId, Option<PageColumn>)>,
}

impl<V: Values> PartCursor<V> {
    /// Creates a cursor at the first series of `part`, or at the first series not before `from`.
    pub fn new(
        values: V,
        part: u64,
        direction: Direction,
        from: Option<&SeriesKey>,
    ) -> Result<Self, ReadError> {
        let mut cursor = Self {
            values,
            part,
            direction,
            only: None,
            value: usize::MAX,
            directory: Rc::default(),
            groups: 0..0,
            group: 0,
            series: 0,
            pages: 0,
            key: None,
            block: None,
            keys: None,
            last: None,
        };
        match from {
            _ if cursor.values.count() == 0 => {}
            Some(from) => cursor.place(from)?,
            None => cursor.begin()?,
        }
        Ok(cursor)
    }

    /// Ends the cursor after the series of `measurement`, so that damage of later measurements has
    /// no effect. The cursor must not be after these series.
    #[must_use]
    pub fn only(mut self, measurement: MeasurementId) -> Self {
        self.only = Some(measurement);
        self
    }

    fn begin(&mut self) -> Result<(), ReadError> {
        let is_ascending = self.direction == Direction::Ascending;
        let first = if is_ascending { 0 } else { self.values.count().saturating_sub(1) };
        self.enter_value(first)?;
        self.group = if is_ascending { self.groups.start } else { self.groups.end };
        let is_here =
            is_ascending && self.current_group().is_some_and(|group| !group.continues_columns());
        if is_here || self.move_group(is_ascending)? {
            self.enter_group(is_ascending);
            return self.load_key();
        }
        Ok(())
    }

    fn enter_value(&mut self, value: usize) -> Result<(), ReadError> {
        if self.value != value && value < self.values.count() {
            self.directory = self.values.directory(value)?;
            self.groups = self.directory.group_range(self.part).unwrap_or_default();
            self.value = value;
        }
        Ok(())
    }

    fn directory_of(&mut self, value: usize) -> Result<Rc<Directory>, ReadError> {
        match value == self.value {
            true => Ok(Rc::clone(&self.directory)),
            false => self.values.directory(value),
        }
    }

    fn current_group(&self) -> Option<&PartGroup> {
        self.groups.contains(&self.group).then(|| self.directory.groups.get(self.group)).flatten()
    }

    /// Moves to the next group with series. If there is no such group, returns `false`, and the
    /// cursor has no current group.
    fn move_group(&mut self, forward: bool) -> Result<bool, ReadError> {
        loop {
            let next = if forward { self.group.checked_add(1) } else { self.group.checked_sub(1) };
            match next.filter(|next| self.groups.contains(next)) {
                Some(next) => self.group = next,
                None => {
                    let value = match forward {
                        true => Some(self.value + 1).filter(|&v| v < self.values.count()),
                        false => self.value.checked_sub(1),
                    };
                    let Some(value) = value else {
                        self.group = if forward { self.groups.end } else { usize::MAX };
                        return Ok(false);
                    };
                    self.enter_value(value)?;
                    let groups = &self.groups;
                    self.group = match (groups.is_empty(), forward) {
                        (true, _) => groups.end,
                        (false, true) => groups.start,
                        (false, false) => groups.end - 1,
                    };
                }
            }
            if self.current_group().is_some_and(|group| !group.continues_columns()) {
                return Ok(true);
            }
        }
    }

    /// Moves to the first series of the group if `forward` is set, and otherwise to the last
    /// series.
    fn enter_group(&mut self, forward: bool) {
        let last = self.current_group().map_or(0, |group| group.series().saturating_sub(1));
        (self.pages, self.series) = (0, if forward { 0 } else { last });
    }

    fn is_group_continued(&self) -> bool {
        self.current_group().is_some_and(|group| match self.direction {
            Direction::Ascending => group.is_continued() && self.series + 1 >= group.series(),
            Direction::Descending => group.continues() && self.series == 0,
        })
    }

    fn enter_adjacent_group(&mut self, forward: bool) -> Result<bool, ReadError> {
        let (value, group) = (self.value, self.group);
        let is_same = self.move_group(forward)?
            && self.current_group().is_some_and(|group| match forward {
                true => group.continues(),
                false => group.is_continued(),
            });
        match is_same {
            true => self.enter_group(forward),
            false => {
                self.enter_value(value)?;
                self.group = group;
            }
        }
        Ok(is_same)
    }

    /// Moves to the next series in the cursor's direction. After the last series, the cursor has no
    /// current group.
    fn advance(&mut self) -> Result<(), ReadError> {
        let is_ascending = self.direction == Direction::Ascending;
        while self.is_group_continued() && self.enter_adjacent_group(is_ascending)? {}
        let count = self.current_group().map_or(0, PartGroup::series);
        let next = match self.direction {
            Direction::Ascending => Some(self.series + 1).filter(|&next| next < count),
            Direction::Descending => self.series.checked_sub(1),
        };
        self.pages = 0;
        if let Some(next) = next {
            self.series = next;
            return Ok(());
        }
        self.move_group(is_ascending)?;
        self.enter_group(is_ascending);
        Ok(())
    }

    /// Reads the key of the current series. Without a current group, the cursor has no key.
    fn load_key(&mut self) -> Result<(), ReadError> {
        let is_needed = |group: &&PartGroup| self.only.is_none_or(|only| only == group.measurement);
        let Some(group) = self.current_group().filter(is_needed) else {
            self.key = None;
            return Ok(());
        };
        let (measurement, series) = (group.measurement, self.series);
        let block = group.series.partition_point(|block| block.first <= series).saturating_sub(1);
        let first = group.series.get(block).map_or(0, |block| block.first);
        let mut key = self.key.take().unwrap_or_else(|| SeriesKey::new(measurement, []));
        let place = series.saturating_sub(first) as usize;
        series_block::set_key(self.read_block(block)?, measurement, place, &mut key);
        self.key = Some(key);
        Ok(())
    }

    fn read_block(&mut self, at: usize) -> Result<&SeriesTable, ReadError> {
        let (value, name) = (self.value, (self.value, self.group, at));
        let series = match self.block.take() {
            Some((held, series)) if held == name => series,
            _ => {
                let (directory, number) = (Rc::clone(&self.directory), self.group);
                let group = directory.groups.get(number);
                let Some(group) = group else { return Err(self.values.damaged(value, CORRUPT)) };
                GroupReader { values: &mut self.values, value, number, group }.series(at)?
            }
        };
        Ok(&self.block.insert((name, series)).1)
    }

    /// Moves to the first series in the cursor's direction that is not before `to`.
    fn place(&mut self, to: &SeriesKey) -> Result<(), ReadError> {
        let mut found = self.last_that_begins(to);
        if !found.is_some_and(|group| self.has_series_behind(group)) {
            self.enter_value(self.values.count().saturating_sub(1))?;
            found = self.last_that_begins(to);
            if found.is_none()
                && let Some(root) = self.directory.root_of(self.part)
            {
                let behind = root.values.partition_point(|extent| *extent.from <= *to.as_bytes());
                self.enter_value(behind.saturating_sub(1))?;
                found = self.last_that_begins(to);
            }
        }
        match found {
            Some(group) => self.group = group,
            None => {
                self.group = self.groups.start;
                if !self.move_group(false)? {
                    // No series begins at or before `to`. An ascending cursor starts at its first
                    // series, and a descending cursor ends.
                    self.key = None;
                    return if self.direction == Direction::Ascending {
                        self.begin()
                    } else {
                        Ok(())
                    };
                }
            }
        }
        self.place_in_group(to)
    }

    /// Returns the last group of the current value in which a series with a key up to `to` begins.
    fn last_that_begins(&self, to: &SeriesKey) -> Option<usize> {
        let groups = self.directory.groups.get(self.groups.clone())?;
        let measurement = to.measurement();
        let behind = groups.partition_point(|group| group.measurement <= measurement);
        let groups = groups.get(..behind)?;
        let to = to.as_bytes();
        let begins =
            |group: &PartGroup| group.series.first().is_some_and(|block| *block.from <= *to);
        Some(self.groups.start + groups.iter().rposition(begins)?)
    }

    /// Whether a series begins after `group` in the current value. If so, a search for an earlier
    /// key need not continue in the next value.
    fn has_series_behind(&self, group: usize) -> bool {
        let groups = self.directory.groups.get(group + 1..self.groups.end).or_bug();
        groups.iter().any(|group| !group.series.is_empty())
    }

    /// Moves to the first series in the cursor's direction that is not before `to`. The current
    /// group must be the last group in which a series with a key up to `to` begins.
    fn place_in_group(&mut self, to: &SeriesKey) -> Result<(), ReadError> {
        let Some(group) = self.current_group() else { return Ok(()) };
        let measurement = group.measurement;
        let blocks = &group.series;
        let behind = blocks.partition_point(|block| *block.from <= *to.as_bytes());
        let at = behind.saturating_sub(1);
        let (first, count) = blocks.get(at).map_or((0, 0), |block| (block.first, block.series));
        let direction = self.direction;
        let series = self.read_block(at)?;
        let before = series_block::partition_point(series, measurement, |key| match direction {
            Direction::Ascending => key < to,
            Direction::Descending => key <= to,
        });
        self.pages = 0;
        match direction {
            Direction::Ascending if before < count => self.series = first + before,
            Direction::Ascending => {
                self.series = first + count.saturating_sub(1);
                self.advance()?;
            }
            Direction::Descending if before > 0 => {
                self.series = first + before - 1;
                while self
                    .current_group()
                    .is_some_and(|group| group.is_continued() && self.series + 1 >= group.series())
                    && self.enter_adjacent_group(true)?
                {}
            }
            Direction::Descending => {
                self.series = first;
                self.advance()?;
            }
        }
        self.load_key()
    }

    fn read_page(&mut self, at: usize, time: TimeRange) -> Result<Option<PageKeys>, ReadError> {
        let directory = Rc::clone(&self.directory);
        let group = directory.groups.get(self.group);
        let Some((page, group)) = group.and_then(|group| Some((group.pages.get(at)?, group)))
        else {
            return Ok(None);
        };
        if page.max_ns < time.start_ns || time.end_ns <= page.min_ns {
            return Ok(None);
        }
        let name = name(self.value, self.group, at);
        let place = self.series.saturating_sub(page.first_series) as usize;
        Ok(self.row_keys(name, group)?.of_series(place, time, name, &group.columns))
    }

    /// Returns the number of rows of each series in a page, and the times of the rows.
    fn row_keys(&mut self, name: u64, group: &PartGroup) -> Result<&RowKeys, ReadError> {
        let keys = match self.keys.take() {
            Some((held, keys)) if held == name => keys,
            _ => {
                let (value, number) = (self.value, self.group);
                let mut reader = GroupReader { values: &mut self.values, value, number, group };
                reader.keys(position_of(name).page)?
            }
        };
        Ok(&self.keys.insert((name, keys)).1)
    }

    /// Returns the page with all rows of the current series, and the first series that has more
    /// pages.
    fn only_page(&self, group: &PartGroup) -> Option<(usize, u32)> {
        let pages = group.pages_of(self.series);
        let (at, page) = (pages.start, group.pages.get(pages.start)?);
        let continues = group.continues() && self.series == 0;
        let is_continued = match group.pages.get(at + 1) {
            Some(next) => next.first_series == page.last_series(),
            None => group.is_continued(),
        };
        let end = (page.last_series() + 1).saturating_sub(u32::from(is_continued));
        (!continues && self.series < end).then_some((at, end))
    }
}

impl<V: Values> SeriesCursor for PartCursor<V> {
    fn key(&self) -> Option<&SeriesKey> {
        self.key.as_ref()
    }

    fn seek(&mut self, to: &SeriesKey) -> Result<(), ReadError> {
        let is_before = |key: &SeriesKey| self.direction.order(key.cmp(to)).is_lt();
        match self.key.as_ref().is_some_and(is_before) {
            true => self.place(to),
            false => Ok(()),
        }
    }

    fn step(&mut self) -> Result<(), ReadError> {
        if self.key.is_some() {
            self.advance()?;
            self.load_key()?;
        }
        Ok(())
    }

    fn page(&mut self, time: TimeRange) -> Result<Option<PageKeys>, ReadError> {
        loop {
            let Some(pages) = self.current_group().map(|group| group.pages_of(self.series)) else {
                return Ok(None);
            };
            while self.pages < pages.len() {
                let at = match self.direction {
                    Direction::Ascending => pages.start + self.pages,
                    Direction::Descending => pages.end - 1 - self.pages,
                };
                self.pages += 1;
                if let Some(page) = self.read_page(at, time)? {
                    return Ok(Some(page));
                }
            }
            let is_ascending = self.direction == Direction::Ascending;
            if !self.is_group_continued() || !self.enter_adjacent_group(is_ascending)? {
                return Ok(None);
            }
        }
    }

    fn has_rows(&mut self, time: TimeRange) -> Result<bool, ReadError> {
        let is_inside = |page: &RowPage| time.start_ns <= page.min_ns && page.max_ns < time.end_ns;
        if let Some(group) = self.current_group()
            && group.pages.get(group.pages_of(self.series)).or_bug().iter().any(is_inside)
        {
            return Ok(true);
        }
        let place = (self.value, self.group, self.series, self.pages);
        let has_rows = self.page(time)?.is_some();
        self.enter_value(place.0)?;
        (_, self.group, self.series, self.pages) = place;
        Ok(has_rows)
    }

    fn column(&mut self, page: &PageKeys, id: ColumnId) -> Result<Option<PageColumn>, ReadError> {
        if let Some((page_name, last, column)) = &self.last
            && (*page_name, *last) == (page.page(), id)
        {
            return Ok(column.clone());
        }
        let place = position_of(page.page());
        let directory = self.directory_of(place.value)?;
        let column = pages::column(&mut self.values, self.part, directory, place, id)?;
        self.last = Some((page.page(), id, column.clone()));
        Ok(column)
    }

    fn text_bytes(&mut self, page: &PageKeys) -> Result<usize, ReadError> {
        let place = position_of(page.page());
        let directory = self.directory_of(place.value)?;
        pages::text_bytes(&mut self.values, self.part, directory, place)
    }

    fn short_series(&mut self, limits: &RunLimits<'_>) -> Result<Option<ShortSeries>, ReadError> {
        if self.direction == Direction::Descending || self.key.is_none() {
            return Ok(None);
        }
        let directory = Rc::clone(&self.directory);
        let Some(group) = directory.groups.get(self.group) else { return Ok(None) };
        let Some((at, end)) = self.only_page(group) else { return Ok(None) };
        let Some(page) = group
            .pages
            .get(at)
            .filter(|page| limits.time.contains(page.min_ns) && limits.time.contains(page.max_ns))
        else {
            return Ok(None);
        };
        let name = name(self.value, self.group, at);
        let keys = self.row_keys(name, group)?.clone();
        let Some(((_, _, block), series)) = self.block.clone() else { return Ok(None) };
        let Some(block) = group.series.get(block) else { return Ok(None) };
        let (first, end) = (self.series, end.min(block.first.saturating_add(block.series)));
        let mut key = SeriesKey::new(group.measurement, []);
        let row = |series: u32| keys.end_of(series.saturating_sub(page.first_series) as usize);
        let start = first.checked_sub(1).filter(|before| *before >= page.first_series);
        let passed = ShortSeries::gather(
            limits,
            start.and_then(row).unwrap_or_default(),
            |passed| {
                let at = Some(first + passed as u32).filter(|at| *at < end)?;
                let place = at.saturating_sub(block.first) as usize;
                series_block::set_key(&series, group.measurement, place, &mut key);
                Some((key.clone(), row(at)?))
            },
            |of| keys.of_rows(of, name, &group.columns),
        );
        if let Some(passed) = &passed {
            self.series = first + passed.series.len().saturating_sub(1) as u32;
            self.step()?;
        }
        Ok(passed)
    }

    fn has_blocks(&self, page: &PageKeys) -> bool {
        let PagePosition { value, group, page } = position_of(page.page());
        let group = self.directory.groups.get(group).filter(|_| value == self.value);
        group.is_some_and(|group| pages::has_blocks(group, page))
    }

    fn block(&mut self, page: &PageKeys, id: ColumnId) -> Result<Option<Vec<u8>>, ReadError> {
        let PagePosition { value, group, page } = position_of(page.page());
        match self.directory_of(value)?.groups.get(group) {
            Some(group) => pages::block(&mut self.values, value, group, page, id),
            None => Ok(None),
        }
    }
}

fn name(value: usize, group: usize, page: usize) -> u64 {
    (value as u64) << (GROUP_BITS + PAGE_BITS) | (group as u64) << PAGE_BITS | page as u64
}

fn position_of(name: u64) -> PagePosition {
    let low = |bits: u64, count: u32| (bits & ((1 << count) - 1)) as usize;
    let value = (name >> (GROUP_BITS + PAGE_BITS)) as usize;
    PagePosition { value, group: low(name >> PAGE_BITS, GROUP_BITS), page: low(name, PAGE_BITS) }
}
