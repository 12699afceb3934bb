//! The life of a shard: a sequence of steps that may fail. A grid is the model of the shard's
//! contents, and defines the required state after a failure.

use tidemark_engine::merge::cursor::Direction;
use tidemark_engine::part::writer;
use tidemark_engine::protocol::event::Unavailable;
use tidemark_engine::protocol::shard::{FromShard, Stamp, ToShard};
use tidemark_engine::scan::TileLimits;
use tidemark_engine::scan::request::{Comparison, Deletion, Operand, Predicate};
use tidemark_engine::shard::Limits;
use tidemark_engine::shard::Shard;
use tidemark_engine::shard::refusal::Refusal;
use tidemark_engine::store::StoreError;
use tidemark_engine::store::memory::MemoryStore;
use tidemark_model::ids::{ColumnId, MeasurementId};
use tidemark_model::time::TimeRange;
use tidemark_model::value::FieldValue;

use super::grid::{self, Cells, Grid};
use super::kept;
use super::*;
use crate::fault_store::FaultStore;

/// A pause after which all rows are flushed.
const PAUSE_NS: i64 = 700_000_000_000;
const HOUR_NS: i64 = 3_600_000_000_000;

/// The widths of windows, from a single time to all times together.
const WIDTHS_NS: [i64; 4] = [1, WINDOW_NS, 7 * WINDOW_NS, i64::MAX];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Open,
    Write,
    /// Sends the last frame again, as a client or the platform may do.
    Repeat,
    Query,
    Delete,
    /// Pauses without writes. The alarm does all due work.
    Pause,
    Reopen,
    /// Sets a temporary retention that removes the rows before a time.
    Retention,
    /// Executes ALTER RETENTION POLICY … SHARD DURATION. Later parts have windows of another width.
    Width,
    /// Executes DROP MEASUREMENT, and then creates a measurement with the same name.
    Drop,
    Split,
}

/// The index of the first time that a split moves. It moves the last eight of the near times, and
/// the far times.
const SPLIT_AT: usize = 14;

struct Target {
    store: FaultStore,
    shard: Shard<FaultStore>,
    grid: Grid,
    ids: [MeasurementId; grid::MEASUREMENTS],
    is_done: bool,
}

pub(super) struct Life {
    pub(super) rng: fastrand::Rng,
    pub(super) store: FaultStore,
    pub(super) shard: Shard<FaultStore>,
    budget_bytes: usize,
    limits: Limits,
    /// The contents of the shard, assuming that the last step took effect.
    pub(super) grid: Grid,
    ids: [MeasurementId; grid::MEASUREMENTS],
    settings: ShardSettings,
    target: Option<Target>,
    /// The cells before this time may be empty.
    first_kept_ns: i64,
    last_frame: Vec<Cells>,
    now_ns: i64,
}

impl Life {
    /// Creates a shard that is not open yet.
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let store = FaultStore::new(MemoryStore::new());
        // In one quarter of the lives, no rows remain in memory.
        let budget_bytes = if seed.is_multiple_of(4) { 1_000 } else { 40_000_000 };
        // With small limits, a few rows need as many pages, values and steps as a very large number
        // of rows needs with the normal limits.
        let limits = if seed.is_multiple_of(2) { small(&mut rng) } else { Limits::default() };
        let isolate = rng.u64(..);
        Self {
            now_ns: NOW_NS + rng.i64(0..1_000),
            rng,
            shard: new_shard(&store, budget_bytes, limits, isolate),
            store,
            budget_bytes,
            limits,
            grid: Grid::new(),
            ids: [MeasurementId(1), MeasurementId(2)],
            settings: settings(),
            target: None,
            first_kept_ns: i64::MIN,
            last_frame: Vec::new(),
        }
    }

    pub(super) fn on(&self, store: MemoryStore) -> Self {
        let store = FaultStore::new(store);
        Self {
            rng: self.rng.clone(),
            shard: new_shard(&store, self.budget_bytes, self.limits, draw_seed()),
            store,
            budget_bytes: self.budget_bytes,
            limits: self.limits,
            grid: self.grid.clone(),
            ids: self.ids,
            settings: self.settings.clone(),
            target: None,
            first_kept_ns: self.first_kept_ns,
            last_frame: self.last_frame.clone(),
            now_ns: self.now_ns,
        }
    }

    /// # Errors
    ///
    /// The store failed. The step took effect either completely or not at all.
    pub(super) fn attempt(&mut self, step: Step) -> Result<(), Refusal> {
        match step {
            Step::Open => self.shard.open(&self.settings),
            Step::Write => {
                self.last_frame = self.random_rows();
                self.append()
            }
            Step::Repeat => self.append(),
            Step::Query => self.query(),
            Step::Delete => self.delete(),
            Step::Pause => self.pause(9),
            Step::Reopen => {
                let seed = self.rng.u64(..);
                self.shard = new_shard(&self.store, self.budget_bytes, self.limits, seed);
                if let Some(target) = &mut self.target {
                    let seed = self.rng.u64(..);
                    target.shard = new_shard(&target.store, self.budget_bytes, self.limits, seed);
                }
                Ok(())
            }
            Step::Retention => self.retention(),
            Step::Width => self.width(),
            Step::Drop => self.drop_measurement(),
            Step::Split => self.split(),
        }
    }

    /// Checks the shard after a step in which the store failed. The contents must equal the grid or
    /// `before`.
    pub(super) fn settle(&mut self, before: Grid) {
        // Repeating the step completes it, whether it took effect or not.
        self.shard.open(&self.settings).unwrap();
        self.configure(|settings, _| settings.duration_ns = 0).unwrap();
        if self.target.as_ref().is_some_and(|target| !target.is_done) {
            self.split().unwrap();
        }
        let found = self.whole().unwrap();
        self.grid.drop_expired(&found, self.first_kept_ns);
        if found != self.grid {
            self.grid = before;
            self.grid.drop_expired(&found, self.first_kept_ns);
        }
        self.grid.assert_is(&found);
        self.first_kept_ns = i64::MIN;
        self.last_frame.clear();
        // A job that has failed three times is reported. It runs again an hour later.
        if !self.shard.stats().unwrap().troubles.is_empty() {
            self.now_ns += HOUR_NS;
            self.pause(9).unwrap();
        }
        assert_eq!(self.shard.stats().unwrap().troubles, [""; 0]);
    }

    pub(super) fn assert_sound(&mut self) {
        let found = self.whole().unwrap();
        self.grid.assert_is(&found);
        let store = FaultStore::new(self.store.inner.snapshot());
        self.shard = new_shard(&store, 40_000_000, self.limits, draw_seed());
        let found = self.whole().unwrap();
        self.grid.assert_is(&found);
        if let Some(target) = &mut self.target {
            let store = FaultStore::new(target.store.inner.snapshot());
            target.shard = new_shard(&store, 40_000_000, self.limits, draw_seed());
            let found = read_whole(&mut target.shard, &STAMP, target.ids).unwrap();
            target.grid.assert_is(&found);
        }
    }

    fn stamp(&self) -> Stamp {
        Stamp { generation: self.settings.generation, ..STAMP }
    }

    fn random_rows(&mut self) -> Vec<Cells> {
        let (rng, range) = (&mut self.rng, self.settings.range);
        let row = |rng: &mut fastrand::Rng| {
            let mut values = [0; grid::FIELDS];
            let time = loop {
                let time = rng.usize(..grid::TIMES);
                if range.contains(grid::time_ns(time)) {
                    break time;
                }
            };
            // Each row has at least one field. Only a few rows have all fields.
            let sure = rng.usize(..grid::FIELDS);
            for (field, value) in values.iter_mut().enumerate() {
                if field == sure || rng.u8(..4) == 0 {
                    *value = rng.u16(1..=grid::value_max(field));
                }
            }
            Cells {
                measurement: rng.usize(..grid::MEASUREMENTS),
                series: rng.usize(..grid::SERIES),
                time,
                values,
            }
        };
        let count = 1 + rng.usize(..4);
        (0..count).map(|_| row(rng)).collect()
    }

    fn append(&mut self) -> Result<(), Refusal> {
        if self.last_frame.is_empty() {
            return Ok(());
        }
        let (frame, stamp) = (grid::encode(&self.last_frame, self.ids), self.stamp());
        self.grid.write(&self.last_frame);
        self.shard.append(&frame, &stamp, self.now_ns).map(|_| ())
    }

    fn pause(&mut self, alarms: u32) -> Result<(), Refusal> {
        if self.rng.bool() {
            // After this pause, slots are inactive, so that even a few parts are merged.
            self.now_ns += HOUR_NS;
        }
        for _ in 0..alarms {
            self.now_ns += PAUSE_NS;
            if self.shard.alarm(self.now_ns).is_none_or(|due_ns| due_ns > self.now_ns) {
                break;
            }
        }
        Ok(())
    }

    fn time_range(&mut self) -> TimeRange {
        let [a, b] = [(); 2].map(|()| grid::time_ns(self.rng.usize(..grid::TIMES)));
        match self.rng.u8(..4) {
            0 => TimeRange::ALL,
            _ => TimeRange::new(a.min(b), a.max(b) + i64::from(self.rng.u8(..2))),
        }
    }

    fn delete(&mut self) -> Result<(), Refusal> {
        let measurement = self.rng.usize(..grid::MEASUREMENTS);
        let by_tag = self.rng.bool();
        let predicate = by_tag.then(|| {
            let tag = Operand::Tag(ColumnId(1));
            let text = Operand::Literal(FieldValue::String("a".into()));
            Predicate::Compare(Comparison::Equal, Box::new(tag), Box::new(text))
        });
        let time = self.time_range();
        self.grid.delete(measurement, |series, time_ns| {
            time.contains(time_ns) && (!by_tag || grid::is_chosen(series))
        });
        let deletion = Deletion { measurement: self.ids[measurement], predicate, time };
        let stamp = self.stamp();
        self.shard.delete(u64::MAX, &[deletion], &stamp, self.now_ns)
    }

    pub(super) fn read(&mut self, measurement: usize, time: TimeRange) -> Result<Grid, Refusal> {
        let (stamp, id) = (self.stamp(), self.ids[measurement]);
        self.shard
            .with_reader(&stamp, &[id], |reader| Ok(grid::read(reader, (measurement, id), time)?))
    }

    fn query(&mut self) -> Result<(), Refusal> {
        let (measurement, time) = (self.rng.usize(..grid::MEASUREMENTS), self.time_range());
        let found = self.read(measurement, time)?;
        self.grid.part(measurement, time).assert_is(&found);
        self.states()
    }

    /// Queries aggregates and compares the result. Chooses from only a few different queries, so
    /// that queries repeat and use cached aggregates.
    fn states(&mut self) -> Result<(), Refusal> {
        let measurement = self.rng.usize(..grid::MEASUREMENTS);
        let question = kept::Question {
            time: match self.rng.u8(..3) {
                0 => TimeRange::ALL,
                1 => TimeRange::new(grid::time_ns(3) + 7, grid::time_ns(19)),
                _ => self.time_range(),
            },
            window_ns: [None, Some(WINDOW_NS / 2), Some(WINDOW_NS)][self.rng.usize(..3)],
            by_tag: self.rng.bool(),
            direction: Direction::descending_if(self.rng.bool()),
        };
        let (stamp, id) = (self.stamp(), self.ids[measurement]);
        let found = question.ask(&mut self.shard, id, &stamp)?;
        assert_eq!(found, question.expected(&self.grid.part(measurement, question.time)));
        let latest = kept::ask_latest(question.time, &mut self.shard, id, &stamp)?;
        let rows = self.grid.part(measurement, question.time);
        assert_eq!(latest, kept::expected_latest(&rows));
        let series = kept::count_series(&mut self.shard, id, &stamp)?;
        assert_eq!(series, self.grid.part(measurement, TimeRange::ALL).series());
        Ok(())
    }

    fn whole(&mut self) -> Result<Grid, Refusal> {
        let stamp = self.stamp();
        read_whole(&mut self.shard, &stamp, self.ids)
    }

    fn split(&mut self) -> Result<(), Refusal> {
        let from_ns = grid::time_ns(SPLIT_AT);
        let moved = TimeRange::new(from_ns, i64::MAX);
        let target_settings = ShardSettings { range: moved, group: 2, ..settings() };
        let (stamp, ids) = (self.stamp(), self.ids);
        if self.target.is_none() {
            let mut grid = self.grid.part(0, moved);
            grid.join(&self.grid.part(1, moved));
            let store = self.store.aux();
            let seed = self.rng.u64(..);
            let shard = new_shard(&store, self.budget_bytes, self.limits, seed);
            self.target = Some(Target { store, shard, grid, ids, is_done: false });
            for measurement in 0..grid::MEASUREMENTS {
                self.grid.delete(measurement, |_, time_ns| moved.contains(time_ns));
            }
            self.last_frame.clear();
        }
        let fence = ToShard::Fence { split: 1, from_ns: Some(from_ns) };
        for message in [ToShard::Weigh, fence] {
            if let FromShard::Unavailable(Unavailable::Storage(why)) =
                self.shard.handle(&message, self.now_ns)
            {
                return Err(Refusal::Store(StoreError::Failed(why)));
            }
        }
        if self.settings.range.end_ns > from_ns {
            self.refuses_behind_fence()?;
            let rows = read_whole(&mut self.shard, &stamp, ids)?.rows();
            let rows: Vec<Cells> =
                rows.into_iter().filter(|row| moved.contains(grid::time_ns(row.time))).collect();
            let Some(target) = &mut self.target else { return Ok(()) };
            target.shard.open(&target_settings)?;
            for page in rows.chunks(9) {
                let frame = grid::encode(page, ids);
                target.shard.append(&frame, &STAMP, self.now_ns)?;
            }
        }
        self.configure(|settings, _| settings.range.end_ns = from_ns)?;
        if let Some(target) = &mut self.target {
            target.is_done = true;
        }
        Ok(())
    }

    /// Checks that rows cannot change after they were copied.
    fn refuses_behind_fence(&mut self) -> Result<(), Refusal> {
        let row = Cells { measurement: 0, series: 0, time: SPLIT_AT, values: [1; grid::FIELDS] };
        let (frame, stamp) = (grid::encode(&[row], self.ids), self.stamp());
        match self.shard.append(&frame, &stamp, self.now_ns) {
            Err(Refusal::Changing) => Ok(()),
            Err(other) => Err(other),
            Ok(_) => panic!("a write behind the fence was taken"),
        }
    }

    /// Sets a temporary retention. Afterwards, expired cells may be empty, and every other cell
    /// must have its last value.
    fn retention(&mut self) -> Result<(), Refusal> {
        let first_kept_ns = grid::time_ns(self.rng.usize(..grid::TIMES));
        self.pause(9)?;
        self.first_kept_ns = first_kept_ns;
        self.configure(|settings, now_ns| settings.duration_ns = now_ns - first_kept_ns)?;
        for _ in 0..3 {
            self.shard.alarm(self.now_ns);
        }
        let found = self.whole()?;
        self.grid.drop_expired(&found, first_kept_ns);
        self.grid.assert_is(&found);
        self.last_frame.clear();
        self.configure(|settings, _| settings.duration_ns = 0)?;
        self.first_kept_ns = i64::MIN;
        Ok(())
    }

    fn width(&mut self) -> Result<(), Refusal> {
        let width_ns = WIDTHS_NS[self.rng.usize(..WIDTHS_NS.len())];
        self.configure(|settings, _| settings.window_ns = width_ns)
    }

    fn configure(&mut self, change: impl FnOnce(&mut ShardSettings, i64)) -> Result<(), Refusal> {
        change(&mut self.settings, self.now_ns);
        self.settings.generation += 1;
        self.shard.configure(&self.settings)
    }

    fn drop_measurement(&mut self) -> Result<(), Refusal> {
        let measurement = self.rng.usize(..grid::MEASUREMENTS);
        let id = self.ids[measurement];
        let row = Cells { measurement, series: 0, time: 0, values: [1, 0, 0, 0, 0] };
        let frame = grid::encode(&[row], self.ids);
        self.ids[measurement] = MeasurementId(self.ids.iter().map(|id| id.0).max().unwrap() + 1);
        self.grid.delete(measurement, |_, _| true);
        self.last_frame.clear();
        self.configure(|settings, _| settings.retired.push(id))?;
        let stamp = self.stamp();
        match self.shard.append(&frame, &stamp, self.now_ns).map(|_| ()) {
            Err(Refusal::RetiredMeasurement { measurement }) if measurement == id => Ok(()),
            Err(other) => Err(other),
            Ok(()) => panic!("a write to a dropped measurement was taken"),
        }
    }
}

fn read_whole(
    shard: &mut Shard<FaultStore>,
    stamp: &Stamp,
    ids: [MeasurementId; grid::MEASUREMENTS],
) -> Result<Grid, Refusal> {
    let mut whole = Grid::new();
    for of in ids.into_iter().enumerate() {
        let part = shard
            .with_reader(stamp, &[of.1], |reader| Ok(grid::read(reader, of, TimeRange::ALL)?))?;
        whole.join(&part);
    }
    Ok(whole)
}

fn new_shard(
    store: &FaultStore,
    budget_bytes: usize,
    limits: Limits,
    seed: u64,
) -> Shard<FaultStore> {
    let shard = Shard::new(store.clone(), Budget::new(budget_bytes, seed), 9_000_000_000);
    shard.with_limits(limits)
}

fn small(rng: &mut fastrand::Rng) -> Limits {
    Limits {
        step_cells: rng.u64(1..200),
        tile: TileLimits::LEAST,
        part: writer::Limits {
            value_bytes: rng.usize(1_500..6_000),
            directory_bytes: rng.usize(300..2_000),
            page_rows: rng.usize(2..20),
            page_rows_enough: rng.usize(2..10),
            page_cells: rng.usize(2..60),
            page_text_bytes: rng.usize(10..200),
            group_pages: rng.usize(1..6),
            group_cells: rng.usize(10..300),
            group_key_bytes: rng.usize(10..300),
            group_text_bytes: rng.usize(10..500),
            group_cells_read: rng.usize(10..2_000),
        },
    }
}
