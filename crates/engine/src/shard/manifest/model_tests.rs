//! Tests a model of the engine with few series, times and fields. Random schedules run all kinds of
//! events, and the test compares the model with a map after every step. The manifest and the choice
//! of merges are the real code.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::shard::compact::choose::{ChoiceInputs, choose, components, is_convex};
use crate::test_seeds::seeds;

const SERIES: u64 = 3;
const TIMES: i64 = 12;
const FIELDS: u64 = 2;
/// The tag of each series. A delete hides rows of the series with one tag, or of all series.
const TAGS: [char; SERIES as usize] = ['a', 'a', 'b'];
const FOREVER_NS: i64 = 1_000;

type Cell = (u64, i64, u64);

/// The values of fields, by series and time.
type TestRows = BTreeMap<(u64, i64), BTreeMap<u64, u64>>;

/// A row that the job must still write: the output part, the series and time, and the values.
type Todo = (PartId, (u64, i64), BTreeMap<u64, u64>);

#[derive(Clone, Debug)]
struct Tombstone {
    before: u64,
    tag: Option<char>,
    time: std::ops::RangeInclusive<i64>,
}

impl Tombstone {
    fn hides(&self, &(series, time): &(u64, i64)) -> bool {
        let tag = TAGS[series as usize];
        self.time.contains(&time) && self.tag.is_none_or(|of| of == tag)
    }
}

#[derive(Default)]
struct World {
    rng: fastrand::Rng,
    log: BTreeMap<u64, TestRows>,
    head: u64,
    next: u64,
    manifest: Manifest,
    content: BTreeMap<PartId, TestRows>,
    written: BTreeMap<PartId, TestRows>,
    /// The rows that the job must still write. `None` after a load.
    todo: Option<Vec<Todo>>,
    tombstones: BTreeMap<u64, Tombstone>,
    salt: u32,
    now_ns: i64,
    duration_ns: i64,
    /// The expected value of each cell, and the write sequence.
    truth: BTreeMap<Cell, (u64, u64)>,
    /// The cells that expired at some time after their write, and that may therefore be missing.
    lapsed: BTreeSet<Cell>,
    ever_ns: i64,
    /// The numbers of parts that retention dropped, and of values written to times that were
    /// expired under a shorter duration.
    dropped: usize,
    backfilled: usize,
    value: u64,
    /// The sequence of the next write at the time when a delete was requested. The delete hides
    /// rows with lower sequences.
    requested: Option<u64>,
    steps: Vec<String>,
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            rng: fastrand::Rng::with_seed(seed),
            next: 1,
            manifest: Manifest::new(4),
            duration_ns: FOREVER_NS,
            ..Self::default()
        }
    }

    /// Returns the earliest time that has not expired.
    fn oldest_ns(&self) -> i64 {
        self.now_ns - self.duration_ns
    }

    fn part(&self, id: PartId) -> &Part {
        self.manifest.parts().get(&id).unwrap()
    }

    fn hiding(&self, part: &Part) -> Vec<Tombstone> {
        let open = |(s, t): &(&u64, &Tombstone)| part.may_be_hidden_by(**s, t.before);
        self.tombstones.iter().filter(open).map(|(_, tombstone)| tombstone.clone()).collect()
    }

    fn memtable(&self) -> TestRows {
        let mut all = TestRows::new();
        for (&sequence, frame) in &self.log {
            for (row, fields) in frame {
                let hides = |t: &Tombstone| sequence < t.before && t.hides(row);
                if !self.tombstones.values().any(hides) {
                    all.entry(*row).or_default().extend(fields);
                }
            }
        }
        all
    }

    fn view(&self) -> BTreeMap<Cell, u64> {
        let mut parts: Vec<&Part> = self.manifest.parts().values().collect();
        parts.sort_by_key(|part| part.hi);
        let visible = parts.into_iter().map(|part| self.visible(part)).chain([self.memtable()]);
        let mut view = BTreeMap::new();
        for ((series, time), fields) in visible.flatten() {
            view.extend(fields.into_iter().map(|(field, value)| ((series, time, field), value)));
        }
        view
    }

    fn visible(&self, part: &Part) -> TestRows {
        let hiding = self.hiding(part);
        let mut rows = self.content[&part.id].clone();
        rows.retain(|row, _| !hiding.iter().any(|tombstone| tombstone.hides(row)));
        rows
    }

    /// Checks that expired cells are either missing or correct, and that a missing cell never
    /// reappears.
    fn judge(&mut self) {
        let oldest_ns = self.oldest_ns();
        self.ever_ns = self.ever_ns.max(oldest_ns);
        self.lapsed.extend(self.truth.keys().filter(|(_, time, _)| *time < oldest_ns));
        let view = self.view();
        let lapsed = &self.lapsed;
        self.truth.retain(|cell, _| view.contains_key(cell) || !lapsed.contains(cell));
        let expected = self.truth.iter().map(|(&cell, &(value, _))| (cell, value)).collect();
        let steps = || self.steps.join("\n");
        assert!(view == expected, "a wrong answer after\n{}", steps());
        assert_eq!(self.manifest.check(), Ok(()), "{}", steps());
        let bytes = self.manifest.encode();
        assert_eq!(Manifest::decode(&bytes).as_ref(), Ok(&self.manifest), "{}", steps());
    }

    fn write(&mut self) {
        let mut frame = TestRows::new();
        for _ in 0..self.rng.usize(1..5) {
            let row = (self.rng.u64(0..SERIES), self.rng.i64(0..TIMES));
            for field in 0..FIELDS {
                if self.rng.bool() {
                    self.value += 1;
                    frame.entry(row).or_default().insert(field, self.value);
                    let cell = (row.0, row.1, field);
                    self.lapsed.remove(&cell);
                    self.backfilled +=
                        usize::from((self.oldest_ns()..self.ever_ns).contains(&row.1));
                    self.truth.insert(cell, (self.value, self.next));
                }
            }
        }
        if !frame.is_empty() {
            self.log.insert(self.next, frame);
            self.next += 1;
        }
    }

    fn delete(&mut self) {
        let before = self.requested.unwrap_or(self.next).min(self.next);
        let flushed = self.manifest.parts().values().map(|part| part.hi).max();
        if flushed.max(Some(self.head)) >= Some(before) {
            return; // The request is stale: the rows have been merged with later rows.
        }
        let start = self.rng.i64(0..TIMES);
        let tag = *self.rng.choice(&[None, Some('a'), Some('b')]).unwrap();
        let time = start..=self.rng.i64(start..TIMES);
        let tombstone = Tombstone { before, tag, time };
        self.truth.retain(|&(series, time, _), &mut (_, sequence)| {
            sequence >= before || !tombstone.hides(&(series, time))
        });
        self.tombstones.insert(self.next, tombstone);
        self.next += 1;
    }

    fn list(&mut self, rows: TestRows, (lo, hi, applied): (u64, u64, u64)) {
        let mut slots: BTreeMap<i64, TestRows> = BTreeMap::new();
        for (row, fields) in rows {
            let slot = row.1.div_euclid(self.manifest.width_ns);
            slots.entry(slot).or_default().insert(row, fields);
        }
        for rows in slots.into_values() {
            let id = self.manifest.new_part_id(self.salt);
            self.put(Part { id, lo, hi, applied, ..Part::default() }, rows);
        }
    }

    fn put(&mut self, part: Part, rows: TestRows) {
        let times = || rows.keys().map(|&(_, time)| time);
        let (min_ns, max_ns) = (times().min().unwrap(), times().max().unwrap());
        let bytes = self.rng.u64(1..2_000_000);
        self.manifest.add([Part { min_ns, max_ns, bytes, ..part.clone() }], &[]);
        self.content.insert(part.id, rows);
    }

    fn flush(&mut self) {
        if !self.log.is_empty() {
            let applied = self.tombstones.keys().last().copied().unwrap_or_default();
            let rows = self.memtable();
            self.list(rows, (self.head + 1, self.next - 1, applied));
            self.head = self.next - 1;
            self.log.clear();
        }
    }

    fn merges(&mut self) -> Vec<Vec<PartId>> {
        let parts: Vec<Part> = self.manifest.parts().values().cloned().collect();
        let parts: Vec<&Part> = parts.iter().collect();
        let width_ns = self.manifest.width_ns;
        if self.rng.bool() {
            let is_quiet: &dyn Fn(i64) -> bool = &|slot| slot % 3 > 0;
            let is_excluded: &dyn Fn(PartId) -> bool = &|_| false;
            let free_bytes = u64::MAX;
            let now = ChoiceInputs { width_ns, free_bytes, is_quiet, is_excluded };
            return choose(&components(&parts, width_ns), &now);
        }
        let mut merges = Vec::new();
        for component in components(&parts, width_ns) {
            let mut some = component.clone();
            self.rng.shuffle(&mut some);
            some.truncate(self.rng.usize(1..5));
            if is_convex(&some, &parts) {
                let mut ids: Vec<PartId> = some.iter().map(|part| part.id).collect();
                ids.sort_unstable();
                merges.push(ids);
            }
        }
        merges
    }

    fn start(&mut self) {
        if self.manifest.job().is_some() {
            return;
        }
        let chosen = self.merges();
        let known = self.tombstones.keys().last().copied().unwrap_or_default();
        let mut merges = Vec::new();
        for mut inputs in chosen {
            inputs.sort_unstable();
            let parts: Vec<&Part> = inputs.iter().map(|id| self.part(*id)).collect();
            let (first, last) = self.slots_of(&parts);
            let applied = parts.iter().map(|part| part.applied).max().unwrap().max(known);
            let outputs = (last - first + 1) as u32;
            let first_output = self.manifest.give_ids(self.salt, outputs);
            merges.push(Merge { inputs, first_output, outputs, applied });
        }
        if !merges.is_empty() {
            self.manifest.start(merges, 3);
            self.written.clear();
            self.todo = None;
        }
    }

    fn slots_of(&self, parts: &[&Part]) -> (i64, i64) {
        let width_ns = self.manifest.job().map_or(self.manifest.width_ns, |job| job.width_ns);
        let first = parts.iter().map(|part| part.min_ns).min().unwrap();
        let last = parts.iter().map(|part| part.max_ns).max().unwrap();
        (first.div_euclid(width_ns), last.div_euclid(width_ns))
    }

    /// Returns the rows that follow the last row that the job has written.
    fn resume(&mut self) -> Vec<Todo> {
        let Some(job) = self.manifest.job().cloned() else { return Vec::new() };
        let mut todo = Vec::new();
        for merge in &job.merges {
            let mut inputs: Vec<&Part> = merge.inputs.iter().map(|id| self.part(*id)).collect();
            let (first, _) = self.slots_of(&inputs);
            inputs.sort_by_key(|part| part.hi);
            let mut merged = TestRows::new();
            for part in inputs {
                for (row, fields) in self.visible(part) {
                    merged.entry(row).or_default().extend(fields);
                }
            }
            let mut rows: Vec<_> = merged
                .into_iter()
                .map(|(row, fields)| {
                    let slot = row.1.div_euclid(job.width_ns) - first;
                    (merge.output(slot as u32), row, fields)
                })
                .collect();
            rows.sort_by_key(|(output, row, _)| (*output, *row));
            todo.extend(rows);
        }
        // The job continues after the last row of the last output.
        let order: Vec<PartId> = job
            .merges
            .iter()
            .flat_map(|merge| (0..merge.outputs).map(|at| merge.output(at)))
            .collect();
        let place = |id: PartId| order.iter().position(|&other| other == id);
        let last = self.written.iter().map(|(&id, rows)| (place(id), rows.keys().last().copied()));
        let last = last.max();
        todo.retain(|(id, row, _)| Some((place(*id), Some(*row))) > last);
        todo
    }

    fn step(&mut self) {
        if self.manifest.job().is_none() {
            return;
        }
        let mut todo = self.todo.take().unwrap_or_else(|| self.resume());
        let count = self.rng.usize(0..6).min(todo.len());
        for (id, row, fields) in todo.drain(..count) {
            self.written.entry(id).or_default().insert(row, fields);
        }
        if todo.is_empty() { self.finish() } else { self.todo = Some(todo) }
    }

    fn finish(&mut self) {
        let Some(job) = self.manifest.job().cloned() else { return };
        let mut outputs = Vec::new();
        for merge in &job.merges {
            let inputs = merge.inputs.iter().map(|id| self.part(*id));
            let lo = inputs.clone().map(|part| part.lo).min().unwrap();
            let hi = inputs.map(|part| part.hi).max().unwrap();
            let applied = merge.applied;
            outputs.extend((0..merge.outputs).map(|at| Part {
                id: merge.output(at),
                lo,
                hi,
                applied,
                ..Part::default()
            }));
        }
        self.manifest.finish([], &[]);
        for part in outputs {
            if let Some(rows) = self.written.remove(&part.id) {
                self.put(part, rows);
            }
        }
        self.written.clear();
    }

    fn load(&mut self) {
        let bytes = self.manifest.encode();
        self.manifest = Manifest::decode(&bytes).unwrap();
        self.salt = self.rng.u32(..);
        self.todo = None;
    }

    fn scrub(&mut self) {
        let ids: Vec<PartId> = self.manifest.parts().keys().copied().collect();
        let Some(&id) = self.rng.choice(&ids) else { return };
        let part = self.part(id).clone();
        let open = |(&s, t): (&u64, &Tombstone)| part.may_be_hidden_by(s, t.before).then_some(s);
        let pending: Vec<u64> = self.tombstones.iter().filter_map(open).collect();
        let spared = self.manifest.job().is_some_and(|job| job.has(id));
        let Some(&last) = pending.last().filter(|_| !spared) else { return };
        let rows = self.visible(&part);
        if rows.is_empty() {
            assert_eq!(self.manifest.drop_parts([id]), 1);
        } else {
            let times = || rows.keys().map(|&(_, time)| time);
            let (min_ns, max_ns) = (times().min().unwrap(), times().max().unwrap());
            self.manifest.update(id, |part| {
                (part.min_ns, part.max_ns, part.applied) = (min_ns, max_ns, part.applied.max(last));
            });
            self.content.insert(id, rows);
        }
    }

    fn retire(&mut self) {
        let all: Vec<(u64, Tombstone)> =
            self.tombstones.iter().map(|(&s, t)| (s, t.clone())).collect();
        for (sequence, tombstone) in all {
            let in_log = self.log.keys().any(|&frame| frame < sequence);
            let touches =
                |part: &Part| self.content[&part.id].keys().any(|row| tombstone.hides(row));
            let needed = self.manifest.needs_tombstone(sequence, tombstone.before, touches);
            if !in_log && !needed {
                self.tombstones.remove(&sequence);
                if self.log.is_empty() {
                    self.head = self.head.max(sequence);
                }
            }
        }
    }

    /// Drops expired parts. Checks that each remaining part is linked to a part that has not
    /// expired, or to an input of the job.
    fn expire(&mut self) {
        let oldest_ns = self.oldest_ns();
        let expired = self.manifest.expired(oldest_ns);
        assert_eq!(
            expired.is_empty(),
            self.manifest.next_expiry_ns().is_none_or(|ns| ns >= oldest_ns)
        );
        self.dropped += expired.len();
        assert_eq!(self.manifest.drop_parts(expired.clone()), expired.len());
        let in_job = |part: &Part| self.manifest.job().is_some_and(|job| job.has(part.id));
        let parts: Vec<&Part> = self.manifest.parts().values().collect();
        let mut linked: Vec<&Part> = Vec::new();
        loop {
            let joins = |part: &Part| {
                let with =
                    |other: &&Part| part.min_ns <= other.max_ns && other.min_ns <= part.max_ns;
                part.max_ns >= oldest_ns || in_job(part) || linked.iter().any(with)
            };
            let all: Vec<&Part> = parts.iter().copied().filter(|part| joins(part)).collect();
            if all.len() == linked.len() {
                break;
            }
            linked = all;
        }
        assert_eq!(linked.len(), parts.len(), "kept without need: {}", self.steps.join("\n"));
    }

    fn step_of(&mut self, kind: u8) {
        match kind {
            0..=5 => self.write(),
            6..=8 => self.flush(),
            9 => self.requested = Some(self.next),
            10 => self.delete(),
            11..=13 => self.start(),
            14..=17 => self.step(),
            18 => self.load(),
            19 => self.scrub(),
            20 => self.retire(),
            21 => self.manifest.width_ns = *self.rng.choice(&[2, 3, 4, 12]).unwrap(),
            22 => self.now_ns += self.rng.i64(0..3),
            23 => self.duration_ns = *self.rng.choice(&[3, 6, FOREVER_NS]).unwrap(),
            _ => self.expire(),
        }
        self.steps.push(format!("{kind}"));
    }
}

#[test]
fn random_schedules_match_map_model() {
    let (mut dropped, mut backfilled) = (0, 0);
    for seed in seeds(125) {
        let mut world = World::new(seed);
        // Each schedule uses only some kinds of steps, so that conflicts are frequent.
        let mut kinds: Vec<u8> = (0..25).filter(|k| *k < 9 || world.rng.u8(0..10) < 6).collect();
        if world.rng.bool() {
            kinds.extend([22, 22, 22, 22, 23, 23, 24, 24, 24]);
        }
        for _ in 0..60 {
            let kind = *world.rng.choice(&kinds).unwrap();
            world.step_of(kind);
            world.judge();
        }
        dropped += world.dropped;
        backfilled += world.backfilled;
    }
    assert!(dropped > 12 && backfilled > 12, "{dropped} {backfilled}");
}
