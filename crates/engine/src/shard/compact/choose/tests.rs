//! Simulates workloads. Each workload must end with few parts per slot and little rewritten data.

use super::*;

const MB: f64 = 1e6;
const QUIET: &dyn Fn(i64) -> bool = &|_| true;
const BUSY: &dyn Fn(i64) -> bool = &|_| false;

/// The first time, last time and size in bytes of each part.
type Flush = Vec<(i64, i64, f64)>;

struct Story {
    width_ns: i64,
    parts: Vec<Part>,
    next_id: u64,
    rewritten: f64,
    jobs: usize,
    /// The maximum number of unsealed parts in a slot before a merge.
    most: usize,
}

impl Story {
    fn new(width_ns: i64, start: &[(i64, i64, f64)]) -> Self {
        let (parts, next_id, rewritten, jobs, most) = (Vec::new(), 1, 0.0, 0, 0);
        let mut story = Self { width_ns, parts, next_id, rewritten, jobs, most };
        start.iter().for_each(|&part| story.add((0, 0), part));
        story
    }

    fn add(&mut self, (lo, hi): (u64, u64), (min_ns, max_ns, bytes): (i64, i64, f64)) {
        let (id, bytes) = (PartId(self.next_id), bytes as u64);
        self.next_id += 1;
        // Assumes one row per byte, so that large parts count as parts with long series.
        let rows = bytes;
        self.parts.push(Part {
            id,
            lo,
            hi,
            min_ns,
            max_ns,
            rows,
            series: 1_000,
            bytes,
            ..Part::default()
        });
    }

    fn unsealed_of_a_slot(&self) -> usize {
        let all: Vec<&Part> = self.parts.iter().collect();
        let most = |component: Vec<&Part>| {
            let open = unsealed(&component, |_| false);
            let of = |slot: i64| {
                let touches = |part: &&&Part| {
                    let (first, last) = slots(part, self.width_ns);
                    first <= slot && slot <= last
                };
                open.iter().filter(touches).count()
            };
            open.iter().map(|part| of(slots(part, self.width_ns).0)).max().unwrap_or_default()
        };
        components(&all, self.width_ns).into_iter().map(most).max().unwrap_or_default()
    }

    fn merge_all(&mut self, is_quiet: &dyn Fn(i64) -> bool) {
        for _ in 0..3_000 {
            let all: Vec<&Part> = self.parts.iter().collect();
            let now = ChoiceInputs {
                width_ns: self.width_ns,
                free_bytes: u64::MAX,
                is_quiet,
                is_excluded: &|_| false,
            };
            let merges = choose(&components(&all, self.width_ns), &now);
            if merges.is_empty() {
                return;
            }
            for merge in merges {
                self.merge(&merge);
            }
            self.assert_in_order();
        }
        panic!("it never rests: {} parts, {} jobs", self.parts.len(), self.jobs);
    }

    /// Merges the parts into one output per slot. Each input contributes bytes in proportion to the
    /// time for which it overlaps the slot.
    fn merge(&mut self, ids: &[PartId]) {
        let (inputs, kept): (Vec<Part>, Vec<Part>) =
            std::mem::take(&mut self.parts).into_iter().partition(|part| ids.contains(&part.id));
        self.parts = kept;
        assert_eq!(inputs.len(), ids.len());
        let of = Extent::hull(inputs.iter().map(Part::extent)).unwrap().sequences;
        let mut outputs = std::collections::BTreeMap::new();
        for part in &inputs {
            let (first, last) = slots(part, self.width_ns);
            for slot in first..=last {
                let start = part.min_ns.max(slot * self.width_ns);
                let end = part.max_ns.min((slot + 1) * self.width_ns - 1);
                let share = (end - start + 1) as f64 / (part.max_ns - part.min_ns + 1) as f64;
                let output = outputs.entry(slot).or_insert((start, end, 0.0));
                let bytes = output.2 + share * part.bytes as f64;
                *output = (output.0.min(start), output.1.max(end), bytes);
            }
        }
        self.rewritten += inputs.iter().map(|part| part.bytes as f64).sum::<f64>();
        self.jobs += 1;
        outputs.into_values().for_each(|output| self.add((of.lo, of.hi), output));
    }

    fn assert_in_order(&self) {
        for (at, part) in self.parts.iter().enumerate() {
            let clash = |other: &&Part| other.extent().clashes_with(&part.extent());
            assert_eq!(self.parts[at + 1..].iter().find(clash), None, "{part:?}");
        }
    }
}

/// Writes the flushes with merges after each flush, then runs the quiet merges. Returns four
/// numbers:
///
/// - the bytes written per byte stored, including flushes
/// - the maximum number of unsealed parts in a slot under load
/// - the maximum number of unsealed parts in a slot after the last merge
/// - the number of all parts
fn tell(
    what: &str,
    width_ns: i64,
    start: &[(i64, i64, f64)],
    flushes: &[Flush],
) -> (f64, usize, usize, usize) {
    let mut story = Story::new(width_ns, start);
    let mut kept: f64 = start.iter().map(|part| part.2).sum();
    for (sequence, flush) in (1..).zip(flushes) {
        for &part in flush {
            story.add((sequence, sequence), part);
            kept += part.2;
        }
        story.most = story.most.max(story.unsealed_of_a_slot());
        story.merge_all(BUSY);
    }
    story.merge_all(QUIET);
    let (written, rest) = (1.0 + story.rewritten / kept, story.unsealed_of_a_slot());
    let (most, parts) = (story.most, story.parts.len());
    println!(
        "{what}: {} jobs, {written:.1} bytes written per byte kept; of a slot {most} under load, \
         {rest} at rest; {parts} parts",
        story.jobs
    );
    (written, most, rest, parts)
}

#[test]
fn compaction_settles_under_any_load() {
    let mut rng = fastrand::Rng::with_seed(1);
    let in_order = |bytes: f64, step: i64, over: i64| -> Vec<Flush> {
        (0..300).map(|n| vec![(n * step, n * step + step - 1 + over, bytes * MB)]).collect()
    };
    let across: Vec<Flush> = (0..40)
        .map(|_| (0..16).map(|slot| (slot * 100, slot * 100 + 99, 0.3 * MB)).collect())
        .collect();
    let late: Vec<Flush> = (0..400_i64)
        .map(|n| {
            let (new, old) = (n * 10, rng.i64(0..(n * 10).max(1)));
            match old / 1_000 == new / 1_000 {
                true => vec![(old, new + 9, 3.2 * MB)],
                false => vec![(new, new + 9, 2.9 * MB), (old, old + 5, 0.32 * MB)],
            }
        })
        .collect();
    let late_everywhere: Vec<Flush> = (0..400_i64)
        .map(|n| {
            let slots = n * 10 / 1_000;
            let share = 0.32 * MB / slots.max(1) as f64;
            let old = (0..slots).map(|slot| (slot * 1_000, slot * 1_000 + 999, share));
            std::iter::once((n * 10, n * 10 + 9, 2.9 * MB)).chain(old).collect()
        })
        .collect();
    let random: Vec<Flush> = (0..300)
        .map(|_| (0..8).map(|slot| (slot * 100, slot * 100 + 99, 0.7 * MB)).collect())
        .collect();
    let wide = [(0, 16 * 100 - 1, 200.0 * MB)];
    let cases: [(&str, i64, &[_], &[Flush], f64); 8] = [
        ("floats in order", 1_000, &[], &in_order(3.2, 10, 0), 4.0),
        ("floats in order, a little over each other", 1_000, &[], &in_order(3.2, 10, 1), 4.0),
        // The expected ratio results from three tiers and from the last merge in quiet slots.
        ("integers in order", 2_000, &[], &in_order(0.28, 1, 0), 5.0),
        ("16 slots", 100, &[], &across, 6.0),
        ("16 slots under one wide old part", 100, &wide, &across, 6.0),
        ("late rows of one old slot each", 1_000, &[], &late, 6.0),
        ("late rows of every old slot", 1_000, &[], &late_everywhere, 6.0),
        ("random order over 8 slots", 100, &[], &random, 7.0),
    ];
    for (what, width_ns, start, flushes, written_max) in cases {
        let (written, most, rest, parts) = tell(what, width_ns, start, flushes);
        assert!(written <= written_max, "{what}: {written}");
        assert!(most <= 24 && rest <= 4, "{what}: {most} under load, {rest} at rest");
        assert!(parts < 200, "{what}: {parts} parts");
    }
}

#[test]
fn compaction_settles_after_width_changes() {
    let mut story = Story::new(100, &[]);
    for sequence in 1..200_u64 {
        let at = sequence as i64 * 10;
        story.width_ns = [100, 700, 50, 100][sequence as usize / 50];
        story.add((sequence, sequence), (at, at + 12, MB));
        story.merge_all(BUSY);
    }
    story.merge_all(QUIET);
    assert!(story.unsealed_of_a_slot() <= 4, "{}", story.unsealed_of_a_slot());
}

#[test]
fn nearly_full_slots_join_merge() {
    let merges_beside = |full: u64| {
        let mut story = Story::new(100, &[]);
        for (slot, count) in [(0, full), (2, 4), (4, 3)] {
            (1..=count).for_each(|n| story.add((n, n), (slot * 100, slot * 100 + 99, MB)));
        }
        let all: Vec<&Part> = story.parts.iter().collect();
        let (is_quiet, is_excluded) = (BUSY, &|_| false);
        let now = ChoiceInputs { width_ns: 100, free_bytes: u64::MAX, is_quiet, is_excluded };
        let merges = choose(&components(&all, 100), &now);
        merges.iter().map(Vec::len).collect::<Vec<_>>()
    };
    assert_eq!((merges_beside(8), merges_beside(7)), (vec![8, 4], vec![]));
}

#[test]
fn merge_uses_half_of_free_space() {
    let mut story = Story::new(100, &[]);
    (1..=8).for_each(|n| story.add((n, n), (0, 99, MB)));
    let all: Vec<&Part> = story.parts.iter().collect();
    let chosen = |free_bytes| {
        choose(
            &components(&all, 100),
            &ChoiceInputs { width_ns: 100, free_bytes, is_quiet: BUSY, is_excluded: &|_| false },
        )
        .len()
    };
    assert_eq!((chosen(16_000_000), chosen(15_999_999)), (1, 0));
}

#[test]
fn large_parts_are_sealed_unless_overlapped() {
    let part = |id: u64, min_ns, max_ns, bytes, rows| Part {
        id: PartId(id),
        lo: id,
        hi: id,
        min_ns,
        max_ns,
        rows,
        series: 10,
        bytes,
        ..Part::default()
    };
    let large = part(1, 0, 999, SEALED_BYTES, 10 * SEALED_ROWS_PER_SERIES);
    let sealed = |part: &Part, other: &Part| is_sealed(part, &[part, other], false);
    assert!(sealed(&large, &part(2, 900, 1_500, 1, 1)), "a tenth");
    assert!(!sealed(&large, &part(2, 899, 1_500, 1, 1)), "more");
    assert!(!sealed(&Part { rows: large.rows - 1, ..large.clone() }, &part(2, 2_000, 2_001, 1, 1)));
    assert!(!sealed(
        &Part { bytes: SEALED_BYTES - 1, ..large.clone() },
        &part(2, 2_000, 2_001, 1, 1)
    ));
    let huge = Part { rows: 10, bytes: SEALED_BYTES_ALWAYS, ..large };
    assert!(sealed(&huge, &part(2, 2_000, 2_001, 1, 1)));
    let full = part(1, 0, 999, *FULL_BYTES.start(), 10 * SEALED_ROWS_PER_SERIES);
    let aux = |others: u64, is_quiet: bool| {
        let others = (2..2 + others).map(|id| part(id, id as i64 * 1_000, id as i64 * 1_000, 1, 1));
        let all: Vec<Part> = std::iter::once(full.clone()).chain(others).collect();
        is_sealed(&full, &all.iter().collect::<Vec<_>>(), is_quiet)
    };
    let few = FULL_PARTS_MAX as u64;
    assert_eq!((aux(few - 1, false), aux(few, false)), (true, false));
    assert!(!aux(0, true), "nothing is written");
    let short = Part { rows: full.rows - 1, ..full.clone() };
    let small = Part { bytes: FULL_BYTES.start() - 1, ..full.clone() };
    let large = Part { bytes: FULL_BYTES.end() + 1, ..full.clone() };
    assert!([short, small, large].iter().all(|part| !sealed(part, &full)));
    let ends = Part { min_ns: i64::MIN, max_ns: i64::MAX, ..huge };
    assert!(sealed(&ends, &part(2, 0, 1, 1, 1)));
}
