//! Applies random operations to a manifest. After each operation, the manifest satisfies its
//! invariants, encoding preserves it, and no needed row is reused.

use std::collections::BTreeMap;

use crate::codec::crc::{CRC_BYTES, append_crc};

use super::*;

#[derive(Clone, Default)]
struct Stored {
    manifest: Vec<u8>,
    /// The contents of each row's head: the number, and the output if the row belongs to a job.
    rows: BTreeMap<Key, (Number, PartId)>,
}

struct Life {
    rng: fastrand::Rng,
    manifest: Manifest,
    stored: Stored,
    /// The platform may lose the last states.
    history: Vec<Stored>,
    salt: u32,
    next_sequence: u64,
    /// Every number and id that was assigned, even if the write that contained it was lost.
    given: BTreeSet<(bool, u64)>,
    held: BTreeMap<u64, u64>,
    written: Vec<(Number, Key)>,
}

impl Life {
    fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let manifest = Manifest::new(10);
        let stored = Stored { manifest: manifest.encode(), rows: BTreeMap::new() };
        Self {
            salt: rng.u32(..),
            rng,
            manifest,
            history: vec![stored.clone()],
            stored,
            next_sequence: 1,
            given: BTreeSet::new(),
            held: BTreeMap::new(),
            written: Vec::new(),
        }
    }

    fn commit(&mut self) {
        self.manifest.check().unwrap();
        self.stored.manifest = self.manifest.encode();
        assert_eq!(Manifest::decode(&self.stored.manifest).as_ref(), Ok(&self.manifest));
        self.history.push(self.stored.clone());
        for part in self.manifest.parts().values() {
            for number in part.values.iter() {
                self.assert_stored(number);
            }
        }
        for &number in self.held.values() {
            self.assert_stored(number);
        }
    }

    fn assert_stored(&self, number: u64) {
        let key = self.manifest.key_of(Number(number)).expect("a key");
        let row = self.stored.rows.get(&key).map(|(number, _)| number.0);
        assert_eq!(row, Some(number), "given away");
    }

    fn number(&mut self) -> Number {
        let number = self.manifest.new_value_number(self.salt);
        assert!(self.given.insert((true, number.0)), "a number given twice");
        number
    }

    fn id(&mut self) -> PartId {
        let id = self.manifest.new_part_id(self.salt);
        assert!(self.given.insert((false, id.0)), "an id given twice");
        id
    }

    fn put(&mut self, key: Key, of: PartId) -> (Number, Key) {
        let number = self.number();
        self.stored.rows.insert(key, (number, of));
        (number, key)
    }

    fn part(&mut self, (lo, hi): (u64, u64), (min_ns, max_ns): (i64, i64), values: Runs) -> Part {
        let id = self.id();
        let rows = self.rng.u64(1..100);
        // The sketch is empty, small, or so large that all registers are written.
        let series = [0, 5, 900][self.rng.usize(..3)];
        let mut sketch = SeriesSketch::default();
        (0..series).for_each(|_| sketch.add(self.rng.u64(..)));
        Part {
            id,
            lo,
            hi,
            min_ns,
            max_ns,
            rows,
            series: 1,
            bytes: 9,
            values,
            series_sum: self.rng.u64(..),
            sketch,
            ..Part::default()
        }
    }

    fn flush(&mut self) {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        let values: Vec<_> = (0..self.rng.u32(1..4))
            .map(|_| {
                let key = self.manifest.take_key();
                self.put(key, PartId(0))
            })
            .collect();
        let parts: Vec<Part> = (0..self.rng.i64(1..4))
            .map(|slot| {
                let shared = values.iter().map(|(number, _)| number.0).collect();
                self.part((sequence, sequence), (slot * 10, slot * 10 + 9), shared)
            })
            .collect();
        self.manifest.add(parts, &values);
        self.commit();
    }

    fn start(&mut self) {
        let parts = self.manifest.parts();
        if self.manifest.job().is_some() || parts.is_empty() {
            return;
        }
        let of = self.rng.usize(0..parts.len());
        let Some(slot) = parts.values().nth(of).map(|part| part.min_ns) else { return };
        let inputs: Vec<PartId> =
            parts.values().filter(|part| part.min_ns == slot).map(|part| part.id).collect();
        let first_output = self.manifest.give_ids(self.salt, 2);
        let merge = Merge { inputs, first_output, outputs: 2, applied: 0 };
        for at in 0..2 {
            assert!(self.given.insert((false, merge.output(at).0)), "an id given twice");
        }
        self.manifest.start(vec![merge], self.rng.u32(2..6));
        self.written.clear();
        self.commit();
    }

    fn step(&mut self) {
        let Some(job) = self.manifest.job().cloned() else { return };
        let Some(&key) = job.keys.iter().nth(self.written.len()) else { return };
        let written = self.put(key, job.merges[0].output(0));
        self.written.push(written);
        self.history.push(self.stored.clone());
    }

    fn finish(&mut self) {
        let Some(job) = self.manifest.job().cloned() else { return };
        let inputs: Vec<Part> = job.merges[0]
            .inputs
            .iter()
            .filter_map(|id| self.manifest.parts().get(id).cloned())
            .collect();
        let times = (
            inputs.iter().map(|part| part.min_ns).min().unwrap(),
            inputs.iter().map(|part| part.max_ns).max().unwrap(),
        );
        let sequences = (
            inputs.iter().map(|part| part.lo).min().unwrap(),
            inputs.iter().map(|part| part.hi).max().unwrap(),
        );
        let values: Runs = self.written.iter().map(|(number, _)| number.0).collect();
        let part = Part { id: job.merges[0].output(0), ..self.part(sequences, times, values) };
        let written = std::mem::take(&mut self.written);
        self.manifest.finish(Some(part).filter(|part| !part.values.is_empty()), &written);
        self.commit();
    }

    fn change(&mut self) {
        let ids: Vec<PartId> = self.manifest.parts().keys().copied().collect();
        let Some(&id) = self.rng.choice(&ids) else { return };
        let spared = self.manifest.job().is_some_and(|job| job.has(id));
        let part = self.manifest.parts().get(&id).cloned().unwrap();
        let numbers: Vec<u64> = part.values.iter().collect();
        match self.rng.u8(0..4) {
            0 => {
                assert_eq!(self.manifest.drop_parts([id]), usize::from(!spared));
            }
            1 if self.rng.bool() => self.manifest.abandon(),
            1 if self.manifest.job().is_some() => {
                let key = self.manifest.reserve();
                assert!(self.stored.rows.keys().all(|&stored| stored < key), "not behind");
            }
            2 => {
                let hold = self.rng.u64(0..3);
                let held: Runs = numbers.iter().copied().collect();
                self.manifest.add_hold(Hold { id: hold, numbers: held, until_ns: 5 });
                self.held.retain(|key, _| key / 100 != hold);
                self.held.extend((0..).zip(numbers).map(|(at, n)| (hold * 100 + at, n)));
            }
            _ => {
                let hold = self.rng.u64(0..3);
                self.manifest.release(Some(hold), 4);
                self.held.retain(|key, _| key / 100 != hold);
            }
        }
        self.commit();
    }

    /// Loads the stored manifest, as after a restart. The last writes may be lost.
    fn load(&mut self) {
        let lost = self.rng.usize(0..3).min(self.history.len() - 1);
        self.history.truncate(self.history.len() - lost);
        self.stored = self.history[self.history.len() - 1].clone();
        self.manifest = Manifest::decode(&self.stored.manifest).unwrap();
        self.salt = self.rng.u32(..);
        // The loaded job continues after the values that are stored under its keys.
        self.written = Vec::new();
        for &key in self.manifest.job().iter().flat_map(|job| &job.keys) {
            let output = self.manifest.job().map(|job| job.merges[0].output(0));
            match self.stored.rows.get(&key) {
                Some(&(number, of)) if Some(of) == output => self.written.push((number, key)),
                _ => break,
            }
        }
        // The lost writes may include holds.
        let held = |hold: &Hold| {
            let id = hold.id * 100;
            (id..).zip(hold.numbers.iter().collect::<Vec<_>>()).collect::<Vec<_>>()
        };
        self.held = self.manifest.holds.iter().flat_map(held).collect();
    }
}

#[test]
fn manifest_never_frees_needed_rows() {
    for seed in 0..300 {
        let mut life = Life::new(seed);
        for _ in 0..120 {
            match life.rng.u8(0..12) {
                0..=2 => life.flush(),
                3 => life.start(),
                4..=5 => life.step(),
                6 => life.finish(),
                7..=10 => life.change(),
                _ => life.load(),
            }
        }
    }
}

#[test]
fn manifest_detects_flips_and_truncation() {
    let mut life = Life::new(5);
    while life.manifest.job().is_none() || life.manifest.holds.is_empty() {
        life.flush();
        life.start();
        life.change();
    }
    let bytes = life.manifest.encode();
    for bit in 0..bytes.len() * 8 {
        let mut bad = bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(Manifest::decode(&bad), Err(ManifestError::Damaged), "bit {bit}");
    }
    for length in 0..bytes.len() {
        assert_eq!(Manifest::decode(&bytes[..length]), Err(ManifestError::Damaged));
    }
}

fn resealed(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(bytes.len() - CRC_BYTES);
    append_crc(&mut bytes, 0);
    bytes
}

#[test]
fn contradictory_manifest_is_rejected() {
    let mut life = Life::new(6);
    for _ in 0..6 {
        life.flush();
        life.change();
    }
    life.start();
    let bytes = life.manifest.encode();
    let mut other = bytes.clone();
    other[0] = 5;
    assert_eq!(Manifest::decode(&resealed(other)), Err(ManifestError::Version(5)));
    let mut rng = fastrand::Rng::with_seed(7);
    for _ in 0..200_000 {
        let mut bad = bytes.clone();
        for _ in 0..rng.usize(1..4) {
            let at = rng.usize(1..bad.len() - 4);
            bad[at] = rng.u8(..);
        }
        if let Ok(manifest) = Manifest::decode(&resealed(bad)) {
            assert_eq!(manifest.check(), Ok(()));
        }
    }
}

#[test]
fn manifest_check_names_contradictions() {
    let part = |id: u64, lo, hi, min_ns, max_ns| Part {
        id: PartId(id),
        lo,
        hi,
        min_ns,
        max_ns,
        ..Part::default()
    };
    let of = |parts: Vec<Part>| {
        let mut manifest = Manifest::new(1);
        manifest.add(parts, &[]);
        manifest.check()
    };
    assert_eq!(of(vec![part(1, 1, 2, 0, 9), part(2, 3, 4, 5, 12)]), Ok(()));
    assert_eq!(of(vec![part(1, 1, 3, 0, 9), part(2, 2, 4, 10, 12)]), Ok(()));
    let unsound = InvariantError::Interleaved(PartId(1), PartId(2));
    assert_eq!(of(vec![part(1, 1, 3, 0, 9), part(2, 2, 4, 9, 12)]), Err(unsound));
    let unsound = InvariantError::Backwards(PartId(1));
    assert_eq!(of(vec![part(1, 3, 1, 0, 9)]), Err(unsound));
    let values: Runs = [7].into_iter().collect();
    let listed = Part { values, ..part(1, 1, 1, 0, 0) };
    assert_eq!(of(vec![listed.clone()]), Err(InvariantError::NoRow(7)));
    let mut manifest = Manifest::new(1);
    manifest.add([listed], &[(Number(7), 3)]);
    assert_eq!(manifest.check(), Err(InvariantError::Row(3)), "never given");
    let merge = Merge { inputs: vec![PartId(5)], ..Merge::default() };
    manifest.next_key = 4;
    manifest.start(vec![merge], 0);
    assert_eq!(manifest.check(), Err(InvariantError::Input(PartId(5))));
}

#[test]
fn parts_and_jobs_keep_tombstones() {
    let mut manifest = Manifest::new(1);
    let part = |id, hi, applied| Part { id: PartId(id), lo: 1, hi, applied, ..Part::default() };
    manifest.add([part(1, 4, 0)], &[]);
    assert!(manifest.needs_tombstone(6, 5, |_| true));
    assert!(!manifest.needs_tombstone(6, 5, |_| false), "it concerns none");
    assert!(!manifest.needs_tombstone(6, 4, |_| true), "written later");
    manifest.update(PartId(1), |part| part.applied = 6);
    assert!(!manifest.needs_tombstone(6, 5, |_| true));
    let merge = Merge { inputs: vec![PartId(1)], applied: 5, ..Merge::default() };
    manifest.start(vec![merge], 0);
    assert!(manifest.needs_tombstone(6, 5, |_| false), "its outputs will have applied 5");
    assert!(!manifest.needs_tombstone(5, 5, |_| false));
}

#[test]
fn overlapping_parts_expire_together() {
    let part = |id, min_ns, max_ns| Part {
        id: PartId(id),
        lo: id,
        hi: id,
        min_ns,
        max_ns,
        ..Part::default()
    };
    let of = |ids: &[u64]| ids.iter().copied().map(PartId).collect::<Vec<_>>();
    let mut manifest = Manifest::new(1);
    assert_eq!((manifest.expired(i64::MAX), manifest.next_expiry_ns()), (vec![], None));
    // The fourth part has one time in common with the first part, and one time with the third part.
    manifest.add([part(1, 0, 9), part(2, 40, 50), part(3, 20, 30), part(4, 9, 20)], &[]);
    assert_eq!(manifest.next_expiry_ns(), Some(30));
    assert_eq!(manifest.expired(30), [], "its latest time is the first that is kept");
    assert_eq!(manifest.expired(31), of(&[1, 4, 3]));
    assert_eq!(manifest.expired(51), of(&[1, 4, 3, 2]));
    let merge = Merge { inputs: of(&[3]), ..Merge::default() };
    manifest.start(vec![merge], 0);
    assert_eq!((manifest.expired(51), manifest.next_expiry_ns()), (of(&[2]), Some(50)));
    manifest.finish([part(5, 21, 30)], &[]);
    assert_eq!((manifest.expired(21), manifest.next_expiry_ns()), (of(&[1, 4]), Some(20)));
}

#[test]
fn wide_part_delays_expiry_of_others() {
    let part = |id, min_ns, max_ns| Part { id: PartId(id), min_ns, max_ns, ..Part::default() };
    let mut manifest = Manifest::new(1);
    manifest.add([part(1, 0, 100), part(2, 5, 9), part(3, 50, 60)], &[]);
    assert_eq!((manifest.expired(100), manifest.next_expiry_ns()), (vec![], Some(100)));
}
