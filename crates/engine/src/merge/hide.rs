//! Wraps a cursor and removes rows that a delete or a drop hides.

use std::cell::Cell;
use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;

use super::condition::TagCondition;
use super::cursor::{
    Direction, PageColumn, PageKeys, ReadError, RunLimits, SeriesCursor, ShortSeries,
};
use super::key::SeriesKey;
use super::sequences::Extent;
use tidemark_model::ids::{ColumnId, MeasurementId};
use tidemark_model::time::TimeRange;

/// A deletion of a tombstone, with a condition for the measurement's tag order. A DELETE writes one
/// tombstone with a deletion for each measurement.
#[derive(Clone, Debug)]
pub struct CompiledDeletion {
    /// The write sequence of the tombstone.
    pub sequence: u64,
    /// The deletion hides rows of writes below this sequence, which is at most `sequence`.
    pub before: u64,
    /// The measurement with the hidden rows.
    pub measurement: MeasurementId,
    /// The time range of the hidden rows.
    pub time: TimeRange,
    /// The series with hidden rows.
    pub condition: TagCondition,
}

impl CompiledDeletion {
    /// Whether the deletion may hide rows of a part.
    fn is_open_to(&self, part: &Extent) -> bool {
        part.sequences.has_yet_to_apply(self.sequence, self.before)
            && self.time.overlaps(&part.time)
    }
}

/// The estimated cost of skipping a hidden series, in cells. Decoding one value costs one cell.
const SERIES_CELLS: u64 = 30;
/// The estimated cost of one comparison in a deletion's condition, in cells.
const COMPARISON_CELLS: u64 = 4;
/// The maximum cost, in cells, that a cursor for queries spends on hidden series without a pause.
/// The cursor skips hidden series. After this cost, it returns one hidden series, so that its
/// caller can end the page. A query plan (EXPLAIN) also counts these series.
const HIDDEN_CELLS_MAX: u64 = 10_000;

/// The deletions and the dropped measurements that hide rows from a query or a merge.
#[derive(Clone, Debug, Default)]
pub(crate) struct HiddenRows {
    /// The deletions, sorted by measurement.
    deletions: Vec<CompiledDeletion>,
    retired: Rc<BTreeSet<MeasurementId>>,
    /// The cost of the evaluated conditions and of the hidden series so far, in cells.
    cells: Cell<u64>,
}

impl HiddenRows {
    /// Creates the hidden rows. The deletions may be in any order, and `retired` contains the
    /// dropped measurements.
    pub(crate) fn new(
        mut deletions: Vec<CompiledDeletion>,
        retired: impl Into<Rc<BTreeSet<MeasurementId>>>,
    ) -> Self {
        deletions.sort_by_key(|deletion| deletion.measurement);
        Self { deletions, retired: retired.into(), cells: Cell::default() }
    }

    /// Returns the cost so far, in cells, of evaluating the conditions and of skipping hidden
    /// series.
    pub(crate) fn cells(&self) -> u64 {
        self.cells.get()
    }

    /// Returns the deletions that may hide rows of a part, sorted by measurement.
    pub(crate) fn open_to(&self, part: &Extent) -> Vec<&CompiledDeletion> {
        self.deletions.iter().filter(|deletion| deletion.is_open_to(part)).collect()
    }
}

/// A cursor that skips the hidden rows of another cursor. The conditions of deletions are
/// evaluated once for each series. The cursor may visit a series without visible rows.
pub(crate) struct VisibleCursor<C> {
    cursor: C,
    hidden: Rc<HiddenRows>,
    time: TimeRange,
    direction: Direction,
    skips_hidden: bool,
    deletions: Vec<u32>,
    /// The hidden times of the current series: ascending ranges that do not touch.
    times: Vec<TimeRange>,
    /// The pieces of the last page that are not yet returned.
    pieces: VecDeque<PageKeys>,
}

impl<C: SeriesCursor> VisibleCursor<C> {
    /// Creates a cursor for queries. `cursor` reads a part with this extent in `direction`.
    pub(crate) fn new(
        cursor: C,
        hidden: Rc<HiddenRows>,
        part: &Extent,
        direction: Direction,
    ) -> Result<Self, ReadError> {
        Self::open(cursor, hidden, part, direction, true)
    }

    /// Creates a cursor for a merge of parts. The cursor ascends, and also visits each series that
    /// a condition hides, so that the merge can pause between such series.
    pub(crate) fn of_merge(
        cursor: C,
        hidden: Rc<HiddenRows>,
        part: &Extent,
    ) -> Result<Self, ReadError> {
        Self::open(cursor, hidden, part, Direction::Ascending, false)
    }

    fn open(
        cursor: C,
        hidden: Rc<HiddenRows>,
        part: &Extent,
        direction: Direction,
        skips_hidden: bool,
    ) -> Result<Self, ReadError> {
        let open = (0..).zip(&hidden.deletions).filter(|(_, deletion)| deletion.is_open_to(part));
        let deletions = open.map(|(at, _)| at).collect();
        let (times, pieces) = (Vec::new(), VecDeque::new());
        let time = part.time;
        let mut hide =
            Self { cursor, hidden, time, direction, skips_hidden, deletions, times, pieces };
        hide.find_visible_series()?;
        Ok(hide)
    }

    /// Moves to the next series that the cursor visits, and determines its hidden times.
    fn find_visible_series(&mut self) -> Result<(), ReadError> {
        self.pieces.clear();
        let cells_max = self.hidden.cells().saturating_add(HIDDEN_CELLS_MAX);
        while let Some(key) = self.cursor.key() {
            let measurement = key.measurement();
            if self.hidden.retired.contains(&measurement) {
                self.pass(measurement)?;
                continue;
            }
            self.times.clear();
            let deletions = &self.hidden.deletions;
            let of = |at: &u32| deletions.get(*at as usize).map(|deletion| deletion.measurement);
            let first = self.deletions.partition_point(|at| of(at) < Some(measurement));
            let all =
                self.deletions.iter().skip(first).filter_map(|at| deletions.get(*at as usize));
            let all = all.take_while(|deletion| deletion.measurement == measurement);
            let hides_all = |deletion: &CompiledDeletion| {
                matches!(deletion.condition, TagCondition::Constant(true))
                    && deletion.time.intersect(&self.time) == self.time
            };
            if all.clone().any(hides_all) {
                self.pass(measurement)?;
                continue;
            }
            let (mut values, mut cells) = (None, self.hidden.cells());
            for deletion in all {
                cells += COMPARISON_CELLS * deletion.condition.comparisons() as u64;
                let values = values.get_or_insert_with(|| key.values().collect::<Vec<_>>());
                if deletion.condition.holds(values) {
                    self.times.push(deletion.time);
                }
            }
            join(&mut self.times);
            let is_hidden = self.times.iter().any(|time| time.intersect(&self.time) == self.time);
            cells += if is_hidden { SERIES_CELLS } else { 0 };
            self.hidden.cells.set(cells);
            if !is_hidden || !self.skips_hidden || cells >= cells_max {
                break;
            }
            self.cursor.step()?;
        }
        Ok(())
    }

    fn pass(&mut self, measurement: MeasurementId) -> Result<(), ReadError> {
        match self.direction {
            Direction::Ascending => self.cursor.seek(&SeriesKey::past(measurement, []))?,
            Direction::Descending => {
                self.cursor.seek(&SeriesKey::new(measurement, []))?;
                // A series without tags has exactly this key, so the seek has not moved past it.
                if self.cursor.key().is_some_and(|key| key.measurement() == measurement) {
                    self.cursor.step()?;
                }
            }
        }
        Ok(())
    }

    /// Removes hidden ranges at the start and end of `time`.
    fn narrowed(&self, mut time: TimeRange) -> TimeRange {
        for hidden in &self.times {
            if hidden.contains(time.start_ns) {
                time.start_ns = hidden.end_ns;
            }
        }
        for hidden in self.times.iter().rev() {
            if hidden.start_ns < time.end_ns && time.end_ns <= hidden.end_ns {
                time.end_ns = hidden.start_ns;
            }
        }
        time
    }

    fn cut(&mut self, page: &PageKeys) {
        let left = gaps(&self.times).filter_map(|gap| page.within(gap));
        match self.direction {
            Direction::Ascending => self.pieces.extend(left),
            Direction::Descending => left.for_each(|piece| self.pieces.push_front(piece)),
        }
    }
}

impl<C: SeriesCursor> SeriesCursor for VisibleCursor<C> {
    fn key(&self) -> Option<&SeriesKey> {
        self.cursor.key()
    }

    fn seek(&mut self, to: &SeriesKey) -> Result<(), ReadError> {
        let ahead = self.cursor.key().is_none_or(|key| self.direction.order(key.cmp(to)).is_ge());
        if ahead {
            return Ok(());
        }
        self.cursor.seek(to)?;
        self.find_visible_series()
    }

    fn step(&mut self) -> Result<(), ReadError> {
        self.cursor.step()?;
        self.find_visible_series()
    }

    fn page(&mut self, time: TimeRange) -> Result<Option<PageKeys>, ReadError> {
        if self.times.is_empty() {
            return self.cursor.page(time);
        }
        let time = self.narrowed(time.intersect(&self.time));
        while self.pieces.is_empty() && !time.is_empty() {
            let Some(page) = self.cursor.page(time)? else { break };
            self.cut(&page);
        }
        Ok(self.pieces.pop_front())
    }

    fn has_rows(&mut self, time: TimeRange) -> Result<bool, ReadError> {
        for gap in gaps(&self.times) {
            let left = time.intersect(&gap);
            if !left.is_empty() && self.cursor.has_rows(left)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn column(&mut self, page: &PageKeys, id: ColumnId) -> Result<Option<PageColumn>, ReadError> {
        self.cursor.column(page, id)
    }

    fn text_bytes(&mut self, page: &PageKeys) -> Result<usize, ReadError> {
        self.cursor.text_bytes(page)
    }

    fn short_series(&mut self, limits: &RunLimits<'_>) -> Result<Option<ShortSeries>, ReadError> {
        // The cursor skips dropped measurements as a whole. Only deletions can hide some rows of a
        // measurement.
        if !self.deletions.is_empty() {
            return Ok(None);
        }
        let passed = self.cursor.short_series(limits)?;
        if passed.is_some() {
            self.find_visible_series()?;
        }
        Ok(passed)
    }

    fn has_blocks(&self, page: &PageKeys) -> bool {
        self.cursor.has_blocks(page)
    }

    fn block(&mut self, page: &PageKeys, id: ColumnId) -> Result<Option<Vec<u8>>, ReadError> {
        self.cursor.block(page, id)
    }
}

fn gaps(times: &[TimeRange]) -> impl Iterator<Item = TimeRange> {
    let ends = times.iter().map(|time| time.start_ns).chain([i64::MAX]);
    let starts = [i64::MIN].into_iter().chain(times.iter().map(|time| time.end_ns));
    starts.zip(ends).map(|(start_ns, end_ns)| TimeRange::new(start_ns, end_ns))
}

fn join(times: &mut Vec<TimeRange>) {
    times.retain(|time| !time.is_empty());
    times.sort_by_key(|time| time.start_ns);
    times.dedup_by(|next, held| {
        let touches = next.start_ns <= held.end_ns;
        if touches {
            held.end_ns = held.end_ns.max(next.end_ns);
        }
        touches
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::condition::Text;
    use crate::merge::sequences::Sequences;

    /// A cursor that counts the visited series.
    struct Series {
        keys: Vec<SeriesKey>,
        at: usize,
        visited: usize,
    }

    impl SeriesCursor for Series {
        fn key(&self) -> Option<&SeriesKey> {
            self.keys.get(self.at)
        }

        fn seek(&mut self, to: &SeriesKey) -> Result<(), ReadError> {
            self.at += self.keys[self.at..].partition_point(|key| key < to);
            self.visited += 1;
            Ok(())
        }

        fn step(&mut self) -> Result<(), ReadError> {
            self.at += 1;
            self.visited += 1;
            Ok(())
        }

        fn page(&mut self, _: TimeRange) -> Result<Option<PageKeys>, ReadError> {
            Ok(None)
        }

        fn has_rows(&mut self, _: TimeRange) -> Result<bool, ReadError> {
            Ok(true)
        }

        fn column(&mut self, _: &PageKeys, _: ColumnId) -> Result<Option<PageColumn>, ReadError> {
            Ok(None)
        }
    }

    #[test]
    fn cursor_visits_some_hidden_series() {
        let key = |number: u32| SeriesKey::new(MeasurementId(1), [format!("{number:05}").as_str()]);
        let series = Series { keys: (0..50_000).map(key).collect(), at: 0, visited: 0 };
        let text = Text::Tag(0);
        let other = Text::Literal("other".into());
        let deletion = CompiledDeletion {
            sequence: 5,
            before: 5,
            measurement: MeasurementId(1),
            time: TimeRange::ALL,
            condition: TagCondition::Equal { left: text, right: other, negated: true },
        };
        let rows = Rc::new(HiddenRows::new(vec![deletion], BTreeSet::new()));
        let time = TimeRange::new(0, 10);
        let part = Extent { sequences: Sequences { lo: 1, hi: 1, applied: 1 }, time };
        let hidden = Rc::clone(&rows);
        let mut visible = VisibleCursor::new(series, hidden, &part, Direction::Ascending).unwrap();
        let mut visits = 0;
        while visible.key().is_some() {
            assert!(visible.page(TimeRange::ALL).unwrap().is_none());
            let before = visible.cursor.visited;
            visible.step().unwrap();
            assert!(visible.cursor.visited - before < 1_000);
            visits += 1;
        }
        assert!((50..500).contains(&visits), "{visits}");
        assert_eq!(rows.cells(), 50_000 * (SERIES_CELLS + COMPARISON_CELLS));
    }

    #[test]
    fn measurement_without_visible_rows_is_skipped_at_once() {
        let time = TimeRange::new(0, 10);
        for (hidden, visited) in [(TimeRange::ALL, 201), (TimeRange::new(0, 9), 300)] {
            let key = |number: u32| {
                SeriesKey::new(MeasurementId(number / 100), [format!("{number}").as_str()])
            };
            let series = Series { keys: (100..400).map(key).collect(), at: 0, visited: 0 };
            let deletion = CompiledDeletion {
                sequence: 5,
                before: 5,
                measurement: MeasurementId(2),
                time: hidden,
                condition: TagCondition::Constant(true),
            };
            let rows = Rc::new(HiddenRows::new(vec![deletion], BTreeSet::new()));
            let part = Extent { sequences: Sequences { lo: 1, hi: 1, applied: 1 }, time };
            let mut visible =
                VisibleCursor::new(series, rows, &part, Direction::Ascending).unwrap();
            while visible.key().is_some() {
                visible.step().unwrap();
            }
            assert_eq!(visible.cursor.visited, visited);
        }
    }
}
