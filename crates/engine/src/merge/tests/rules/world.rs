//! Writes to a shard and reads from it in random order.

use super::*;

struct World {
    shard: Shard,
    /// The sequence and value of each write, by series, time and column.
    truth: BTreeMap<(SeriesKey, i64, u32), (u64, i64)>,
    value: i64,
    now: i64,
    duration: i64,
    /// The shard may delete these values, because they were expired at some time after their write.
    lapsed: BTreeSet<(SeriesKey, i64, u32)>,
    /// The number of values written to times that were expired under a shorter retention duration.
    backfilled: usize,
    ever: i64,
    /// The next write sequence at the start of a DELETE.
    fence: Option<u64>,
}

impl World {
    /// Rows before this time have expired.
    fn oldest(&self) -> i64 {
        self.now - self.duration
    }

    fn write(&mut self, rng: &mut Rng) {
        let mut frame: Vec<Row> = Vec::new();
        for _ in 0..[1, 2, 3, 5][rng.usize(..4)] {
            let row = (series(rng.usize(..SERIES)), rng.i64(0..TIMES));
            if frame.iter().any(|(held, _)| *held == row) {
                continue;
            }
            let columns: &[u32] = [&[1][..], &[2], &[1, 2]][rng.usize(..3)];
            self.value += 1;
            for &column in columns {
                let cell = (row.0.clone(), row.1, column);
                self.lapsed.remove(&cell);
                self.backfilled += usize::from((self.oldest()..self.ever).contains(&row.1));
                self.truth.insert(cell, (self.shard.next, self.value));
            }
            let value = FieldValue::Integer(self.value);
            frame.push((row, columns.iter().map(|&column| (column, value.clone())).collect()));
        }
        self.shard.log.insert(self.shard.next, frame);
        self.shard.next += 1;
    }

    fn delete(&mut self, rng: &mut Rng) {
        let shard = &mut self.shard;
        let before = self.fence.take().unwrap_or(shard.next);
        let parts = shard.parts.values().map(|part| part.extent.sequences.hi);
        if parts.max().unwrap_or_default().max(shard.head) >= before {
            // A part or the flushed head has reached the fence. A caller would choose a new fence
            // and repeat the delete.
            return;
        }
        let start = rng.i64(0..TIMES);
        let time = TimeRange::new(start, start + 1 + rng.i64(0..6));
        let host = |value: &str| Condition::Equal {
            left: Text::Tag(0),
            right: Text::Literal(value.into()),
            negated: false,
        };
        let condition = match rng.u8(..3) {
            0 => Condition::Constant(true),
            1 => host("a"),
            _ => host("b"),
        };
        let (sequence, measurement) = (shard.next, MeasurementId(1));
        let tombstone = Tombstone { sequence, before, measurement, time, condition };
        self.truth.retain(|(key, time_ns, _), (written, _)| {
            *written >= before || !Shard::hides(&tombstone, key, *time_ns)
        });
        shard.tombstones.insert(sequence, tombstone);
        shard.next += 1;
    }

    fn step(&mut self, rng: &mut Rng, kinds: &[u8]) {
        match kinds[rng.usize(..kinds.len())] {
            b'w' => self.write(rng),
            b'b' => self.fence = Some(self.shard.next),
            b'd' => self.delete(rng),
            b'f' => self.shard.flush(),
            b'm' | b'l' => {
                let several = rng.bool();
                let merges = self.shard.choose(rng, several);
                if self.shard.job.is_none() && !merges.is_empty() {
                    self.shard.start(merges);
                    let at_once = rng.bool();
                    self.shard.step(if at_once { usize::MAX / 2 } else { 0 }, rng);
                }
            }
            b's' => self.shard.step([1, 2, 3, 5][rng.usize(..4)], rng),
            b'e' => self.shard.job.iter_mut().for_each(|job| job.run = None),
            b'g' => self.shard.job = None,
            b'W' => self.shard.width = [1, 2, 3, 4, 6, 12][rng.usize(..6)],
            b'c' => {
                let ids: Vec<u64> = self.shard.parts.keys().copied().collect();
                if !ids.is_empty() {
                    self.shard.scrub(ids[rng.usize(..ids.len())], rng);
                }
            }
            b'r' => self.shard.retire(),
            b't' => self.now += 1,
            b'a' => self.duration = [2, 4, 8, FOREVER][rng.usize(..4)],
            _ => self.shard.drop_expired(self.oldest()),
        }
        let oldest = self.oldest();
        self.ever = self.ever.max(oldest);
        let lapsed = self.truth.keys().filter(|(_, time_ns, _)| *time_ns < oldest);
        self.lapsed.extend(lapsed.cloned());
    }

    /// An expired row may be missing, but must not have a wrong value. An expired row that was
    /// missing once must not reappear.
    fn judge(&mut self, rng: &mut Rng) {
        let parts: Vec<u64> = self.shard.parts.keys().copied().collect();
        for (at, a) in parts.iter().enumerate() {
            for b in &parts[..at] {
                let (a, b) = (&self.shard.parts[a].extent, &self.shard.parts[b].extent);
                assert!(!a.clashes_with(b), "Invariant S: {a:?} {b:?}");
            }
        }
        let direction = any_direction(rng);
        let mut merge = self.shard.merge(&parts, self.shard.memory(), direction, rng);
        let rows = read(&mut merge, TimeRange::ALL, 4);
        assert!(rows.is_sorted_by(|a, b| direction.order(a.0.cmp(&b.0)).is_lt()));
        let mut said = BTreeMap::new();
        for ((key, time_ns), fields) in rows {
            for (column, value) in fields {
                said.insert((key.clone(), time_ns, column), value);
            }
        }
        self.truth.retain(|cell, (_, value)| {
            let said = said.remove(cell);
            match &said {
                Some(said) => assert_eq!(*said, FieldValue::Integer(*value), "{cell:?}"),
                None => assert!(self.lapsed.contains(cell), "{cell:?} is lost"),
            }
            said.is_some()
        });
        assert_eq!(said, BTreeMap::new(), "what was deleted or dropped came back");
    }
}

#[test]
fn merge_rules_hold_on_random_schedules() {
    let (mut made, mut resumed, mut dropped, mut backfilled) = (0, 0, 0, 0);
    for seed in 0..SCHEDULES {
        let mut rng = Rng::with_seed(seed);
        let mut world = World {
            shard: Shard::new(),
            truth: BTreeMap::new(),
            value: 0,
            now: 0,
            duration: FOREVER,
            lapsed: BTreeSet::new(),
            backfilled: 0,
            ever: -FOREVER,
            fence: None,
        };
        // A schedule uses only a few kinds of steps, so that the steps often interact.
        let all = b"wwwwwwwwwwbdddffffmmmmllsssseegWWccccrrrttakk";
        // Half of the schedules interrupt jobs.
        let always: &[u8] = if rng.bool() { b"wf" } else { b"wfmse" };
        let kinds: Vec<u8> = (b'A'..=b'z').filter(|kind| all.contains(kind)).collect();
        let some: Vec<u8> =
            kinds.into_iter().filter(|kind| always.contains(kind) || rng.u8(..5) > 1).collect();
        let mut kinds: Vec<u8> = all.iter().copied().filter(|kind| some.contains(kind)).collect();
        if rng.u8(..3) == 0 {
            kinds.extend(b"ttttaaakkkkkk");
        }
        for _ in 0..STEPS {
            let parts = world.shard.next_part;
            world.step(&mut rng, &kinds);
            made += u32::from(parts < world.shard.next_part);
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                world.judge(&mut rng);
            }));
            assert!(result.is_ok(), "seed {seed}");
        }
        resumed += world.shard.resumed;
        dropped += world.shard.dropped;
        backfilled += world.backfilled;
    }
    assert!(made > 5_000 && resumed > 200, "{made} {resumed}");
    assert!(dropped > 200 && backfilled > 200, "{dropped} {backfilled}");
}
