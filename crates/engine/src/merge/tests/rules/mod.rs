//! Tests the engine's rules with random schedules, such as late data, interrupted merge jobs and
//! changes of the window width. After every step, Invariant S must be true, and a merge of the
//! parts must return the same rows as a map, in both directions.
//!
//! Other modules test rules about values, caches, splits and lost writes.

mod world;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use super::vector::{Fields, Story, VectorCursor};
use super::{Rng, any_direction, read};
use crate::merge::condition::{Condition, Text};
use crate::merge::cursor::Direction;
use crate::merge::hide::{HiddenRows, Tombstone, VisibleCursor};
use crate::merge::key::SeriesKey;
use crate::merge::kway::Merge;
use crate::merge::sequences::{Extent, Sequences};
use tidemark_model::ids::MeasurementId;
use tidemark_model::time::TimeRange;
use tidemark_model::value::FieldValue;

const SERIES: usize = 3;
const TIMES: i64 = 12;
const FOREVER: i64 = 1_000;
/// An interruption loses rows that were read but not written.
const WRITTEN_TOGETHER: usize = 2;
const STEPS: usize = 60;
const SCHEDULES: u64 = 2_000;

type Row = ((SeriesKey, i64), Fields);

fn series(number: usize) -> SeriesKey {
    let values = [["a", "x"], ["a", "y"], ["b", ""]][number];
    SeriesKey::new(MeasurementId(1), values)
}

#[derive(Clone)]
struct Part {
    extent: Extent,
    story: Story,
}

fn part(sequences: Sequences, story: Story) -> Part {
    let times = || story.keys().map(|(_, time_ns)| *time_ns);
    let time = TimeRange::new(times().min().unwrap(), times().max().unwrap() + 1);
    Part { extent: Extent { sequences, time }, story }
}

/// Merges that are committed together, with an output for every window.
struct Job {
    merges: Vec<Vec<u64>>,
    width: i64,
    /// The state of the parts and tombstones at the start of the job determines these sequences.
    sequences: Vec<Sequences>,
    known: u64,
    written: Vec<((usize, i64), Row)>,
    /// The rows that the job has not read yet, or `None` after an interruption.
    run: Option<VecDeque<((usize, i64), Row)>>,
}

struct Shard {
    log: BTreeMap<u64, Vec<Row>>,
    head: u64,
    next: u64,
    parts: BTreeMap<u64, Part>,
    next_part: u64,
    tombstones: BTreeMap<u64, Tombstone>,
    job: Option<Job>,
    width: i64,
    dropped: usize,
    /// The number of jobs that resumed after they had written rows.
    resumed: u32,
}

impl Shard {
    fn new() -> Self {
        Self {
            log: BTreeMap::new(),
            head: 0,
            next: 1,
            parts: BTreeMap::new(),
            next_part: 1,
            tombstones: BTreeMap::new(),
            job: None,
            width: 4,
            dropped: 0,
            resumed: 0,
        }
    }

    fn known(&self) -> u64 {
        self.tombstones.keys().last().copied().unwrap_or_default()
    }

    fn hides(tombstone: &Tombstone, key: &SeriesKey, time_ns: i64) -> bool {
        tombstone.time.contains(time_ns)
            && tombstone.condition.holds(&key.values().collect::<Vec<_>>())
    }

    fn memory(&self) -> Story {
        let mut story = Story::new();
        for (&sequence, frame) in &self.log {
            let hide = || self.tombstones.values().filter(|t| sequence < t.before);
            for ((key, time_ns), fields) in frame {
                if !hide().any(|t| Self::hides(t, key, *time_ns)) {
                    let row = story.entry((key.clone(), *time_ns)).or_default();
                    row.extend(fields.clone());
                }
            }
        }
        story
    }

    /// A job does not read the rows in memory.
    fn merge(
        &self,
        parts: &[u64],
        memory: Story,
        direction: Direction,
        rng: &mut Rng,
    ) -> Merge<VisibleCursor<VectorCursor>> {
        let tombstones = self.tombstones.values().cloned().collect();
        let hidden = Rc::new(HiddenRows::new(tombstones, BTreeSet::new()));
        let mut source = |part: &Part| {
            let cursor = VectorCursor::new(&part.story, 3, direction, rng);
            let hide =
                VisibleCursor::new(cursor, Rc::clone(&hidden), &part.extent, direction).unwrap();
            (part.extent.sequences.hi, hide)
        };
        let mut sources: Vec<_> = parts.iter().map(|id| source(&self.parts[id])).collect();
        if !memory.is_empty() {
            let all = Sequences { lo: u64::MAX, hi: u64::MAX, applied: u64::MAX };
            sources.push(source(&part(all, memory)));
        }
        Merge::new(sources, direction).unwrap()
    }

    fn add(&mut self, sequences: Sequences, story: Story) {
        if !story.is_empty() {
            self.parts.insert(self.next_part, part(sequences, story));
            self.next_part += 1;
        }
    }

    fn cut(rows: impl IntoIterator<Item = Row>, width: i64) -> BTreeMap<i64, Story> {
        let mut windows = BTreeMap::<i64, Story>::new();
        for (row, fields) in rows {
            windows.entry(row.1 / width).or_default().insert(row, fields);
        }
        windows
    }

    fn flush(&mut self) {
        if self.log.is_empty() {
            return;
        }
        let sequences = Sequences { lo: self.head + 1, hi: self.next - 1, applied: self.known() };
        for story in Self::cut(self.memory(), self.width).into_values() {
            self.add(sequences, story);
        }
        self.head = sequences.hi;
        self.log.clear();
    }

    fn hull(&self, parts: &[u64]) -> Extent {
        Extent::hull(parts.iter().map(|id| self.parts[id].extent)).unwrap()
    }

    /// If `several`, returns up to as many merges as a job may commit together.
    fn choose(&self, rng: &mut Rng, several: bool) -> Vec<Vec<u64>> {
        let mut merges: Vec<Vec<u64>> = Vec::new();
        for _ in 0..6 {
            let used = |id: &u64| merges.iter().any(|merge| merge.contains(id));
            let mut free: Vec<u64> = self.parts.keys().copied().filter(|id| !used(id)).collect();
            if free.is_empty() {
                break;
            }
            rng.shuffle(&mut free);
            free.truncate([1, 2, 2, 3, 4][rng.usize(..5)]);
            let others = self.parts.iter().filter(|(id, _)| !free.contains(id) && !used(id));
            let mut others: Vec<Extent> = others.map(|(_, part)| part.extent).collect();
            others.extend(merges.iter().map(|merge| self.hull(merge)));
            if self.hull(&free).is_convex(&others) {
                merges.push(free);
                if !several {
                    break;
                }
            }
        }
        merges
    }

    fn start(&mut self, merges: Vec<Vec<u64>>) {
        let known = self.known();
        let sequences = |merge: &Vec<u64>| {
            let parts = merge.iter().map(|id| self.parts[id].extent.sequences);
            Sequences::of_merge(parts, known).unwrap()
        };
        let sequences = merges.iter().map(sequences).collect();
        let (width, written) = (self.width, Vec::new());
        self.job = Some(Job { merges, width, sequences, known, written, run: None });
    }

    /// The job's last output continues after its last written row.
    fn rest(&self, job: &Job, rng: &mut Rng) -> VecDeque<((usize, i64), Row)> {
        let last = job.written.last();
        let mut rest = VecDeque::new();
        for (number, parts) in job.merges.iter().enumerate() {
            for window in 0..TIMES {
                let output = (number, window);
                if last.is_some_and(|(written, _)| output < *written) {
                    continue;
                }
                let start = window * job.width;
                let mut time = TimeRange::new(start, start + job.width);
                let mut merge = self.merge(parts, Story::new(), Direction::Ascending, rng);
                if let Some((written, ((key, time_ns), _))) = last
                    && *written == output
                {
                    // Rows of the same series may remain at later times.
                    merge.seek(key).unwrap();
                    let seen = merge.next_series().unwrap() == Some(key);
                    if seen {
                        let left = TimeRange::new(time_ns + 1, time.end_ns);
                        while let Some(picks) = merge.next_rows(left).unwrap() {
                            let keys = vec![key.clone(); picks.len()];
                            let rows = super::rows_of(&mut merge, &picks, &keys);
                            rest.extend(rows.into_iter().map(|row| (output, row)));
                        }
                    } else {
                        merge = self.merge(parts, Story::new(), Direction::Ascending, rng);
                        merge.seek(key).unwrap();
                    }
                }
                time.end_ns = time.end_ns.max(time.start_ns);
                let rows = read(&mut merge, time, rng.usize(1..4));
                rest.extend(rows.into_iter().map(|row| (output, row)));
            }
        }
        rest
    }

    fn step(&mut self, rows: usize, rng: &mut Rng) {
        let Some(mut job) = self.job.take() else { return };
        let mut run = match job.run.take() {
            Some(run) => run,
            None => {
                self.resumed += u32::from(!job.written.is_empty());
                self.rest(&job, rng)
            }
        };
        let rows = rows.next_multiple_of(WRITTEN_TOGETHER).min(run.len());
        job.written.extend(run.drain(..rows));
        if run.is_empty() {
            self.commit(job);
        } else {
            job.run = Some(run);
            self.job = Some(job);
        }
    }

    fn commit(&mut self, job: Job) {
        let outputs: Vec<(usize, i64)> = job.written.iter().map(|(output, _)| *output).collect();
        assert!(outputs.is_sorted());
        for same in job.written.chunk_by(|a, b| a.0 == b.0) {
            let rows: Vec<&(SeriesKey, i64)> = same.iter().map(|(_, (row, _))| row).collect();
            assert!(rows.is_sorted_by(|a, b| a < b), "an output is not sorted");
            let story = same.iter().map(|(_, row)| row.clone()).collect();
            self.add(job.sequences[same[0].0.0], story);
        }
        for id in job.merges.iter().flatten() {
            self.parts.remove(id);
        }
    }

    fn in_job(&self, id: u64) -> bool {
        self.job.iter().any(|job| job.merges.iter().flatten().any(|part| *part == id))
    }

    fn retire(&mut self) {
        for (s, tombstone) in self.tombstones.clone() {
            let concerns = |part: &Part| {
                part.extent.sequences.has_yet_to_apply(s, tombstone.before)
                    && part
                        .story
                        .keys()
                        .any(|(key, time_ns)| Self::hides(&tombstone, key, *time_ns))
            };
            let in_log = self.log.keys().any(|&sequence| sequence < s);
            let in_job = self.job.as_ref().is_some_and(|job| job.known < s);
            if in_log || in_job || self.parts.values().any(concerns) {
                continue;
            }
            self.tombstones.remove(&s);
            if self.log.is_empty() {
                self.head = self.head.max(s);
            }
        }
    }

    fn scrub(&mut self, id: u64, rng: &mut Rng) {
        let sequences = self.parts[&id].extent.sequences;
        let awaited = self.tombstones.values();
        let awaited = awaited.filter(|t| sequences.has_yet_to_apply(t.sequence, t.before));
        let Some(applied) = awaited.map(|t| t.sequence).max() else { return };
        if self.in_job(id) {
            return;
        }
        let mut merge = {
            let alone =
                Self { parts: BTreeMap::from([(id, self.parts[&id].clone())]), ..Self::new() };
            let alone = Self { tombstones: self.tombstones.clone(), ..alone };
            alone.merge(&[id], Story::new(), Direction::Ascending, rng)
        };
        let story: Story = read(&mut merge, TimeRange::ALL, 3).into_iter().collect();
        self.parts.remove(&id);
        let sequences = Sequences { applied, ..sequences };
        if !story.is_empty() {
            self.parts.insert(id, part(sequences, story));
        }
    }

    /// Returns a part and all parts that are linked to it by overlapping times.
    fn linked(&self, id: u64) -> Vec<u64> {
        let mut linked = vec![id];
        let mut at = 0;
        while let Some(id) = linked.get(at) {
            let time = self.parts[id].extent.time;
            let more = self.parts.iter().filter(|(_, part)| part.extent.time.overlaps(&time));
            let more = more.map(|(id, _)| *id).filter(|id| !linked.contains(id));
            let more: Vec<u64> = more.collect();
            linked.extend(more);
            at += 1;
        }
        linked
    }

    /// Keeps parts that are linked with a part that ends later or that a job reads.
    fn drop_expired(&mut self, before_ns: i64) {
        let stays = |id: &u64| self.parts[id].extent.time.end_ns > before_ns || self.in_job(*id);
        let mut gone: Vec<u64> = self.parts.keys().copied().collect();
        gone.retain(|id| !self.linked(*id).iter().any(stays));
        for id in &gone {
            self.parts.remove(id);
        }
        self.dropped += gone.len();
    }
}
