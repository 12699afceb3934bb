//! A merge of parts must contain the rows of all source parts with their latest values.

use super::*;
use crate::merge::hide::{HiddenRows, VisibleCursor};
use crate::merge::sequences::Extent;
use crate::merge::tests::short::read_some_at_once;
use crate::test_seeds::seeds;

struct Own {
    part: Written,
    bytes: Bytes,
}

impl Own {
    fn write(story: &Story, rng: &mut Rng) -> Option<Self> {
        let limits = small(rng);
        Self::within(limits, story, rng)
    }

    fn within(limits: Limits, story: &Story, rng: &mut Rng) -> Option<Self> {
        let (values, mut parts) = write(story, 1_000, TIMES, limits, rng);
        let part = parts.pop()?;
        Some(Self { bytes: Bytes::new(&values).of(&part), part })
    }

    fn cursor(&self, direction: Direction) -> PartCursor<Bytes> {
        PartCursor::new(self.bytes.clone(), self.part.id, direction, None).unwrap()
    }
}

#[test]
fn merge_passes_short_series_in_bulk() {
    let mut passed_at_once = 0;
    for seed in seeds(200) {
        let mut rng = Rng::with_seed(seed);
        let (mut all, mut parts) = (Story::new(), Vec::new());
        for _ in 0..rng.usize(1..4) {
            let mut story = story(&mut rng, TIMES);
            for _ in 0..rng.usize(..80) {
                let (id, time_ns) = (format!("{}", rng.u32(..500)), rng.i64(0..TIMES));
                let key = SeriesKey::new(MeasurementId(rng.u32(1..4)), [&*id]);
                story.entry((key, time_ns)).or_default().extend([(1, value(&mut rng, 1))]);
            }
            for (row, fields) in &story {
                all.entry(row.clone()).or_default().extend(fields.clone());
            }
            let (page_rows, page_rows_enough) = (rng.usize(2..60), rng.usize(2..60));
            let limits = Limits { page_rows, page_rows_enough, ..Limits::default() };
            parts.extend(Own::within(limits, &story, &mut rng));
        }
        let retired = (1..4).filter(|_| rng.u8(..8) == 0).map(MeasurementId).collect();
        all.retain(|(key, _), _| !BTreeSet::contains(&retired, &key.measurement()));
        let hidden = Rc::new(HiddenRows::new(Vec::new(), retired));
        let direction = any_direction(&mut rng);
        let hide = |part: &Own| {
            let sequences = Sequences { lo: 1, hi: 9, applied: 4 };
            let of = Extent { sequences, time: TimeRange::ALL };
            VisibleCursor::new(part.cursor(direction), Rc::clone(&hidden), &of, direction).unwrap()
        };
        let sources = (1..).zip(parts.iter().map(hide)).collect();
        let mut merge = Merge::new(sources, direction).unwrap();
        let start_ns = rng.i64(0..TIMES);
        let time = [TimeRange::ALL, TimeRange::new(start_ns, TIMES)][rng.usize(..2)];
        let (read, passed) = read_some_at_once(&mut merge, time, &mut rng);
        assert_eq!(read, visible_rows(&all, time, direction), "seed {seed}");
        passed_at_once += passed;
    }
    assert!(passed_at_once > 600, "{passed_at_once}");
}

#[test]
fn merged_parts_return_all_rows() {
    for seed in seeds(100) {
        let mut rng = Rng::with_seed(seed);
        let (mut all, mut parts) = (Story::new(), Vec::new());
        for _ in 0..rng.usize(1..7) {
            let story = story(&mut rng, TIMES);
            for (row, fields) in &story {
                all.entry(row.clone()).or_default().extend(fields.clone());
            }
            parts.extend(Own::write(&story, &mut rng));
        }
        let sources = || {
            let cursors = parts.iter().map(|part| part.cursor(Direction::Ascending));
            Merge::new((1..).zip(cursors).collect(), Direction::Ascending).unwrap()
        };
        let (limits, mut writer) = (small(&mut rng), PartWriter::new(small(&mut rng), SEED));
        writer.begin(9, Sequences { lo: 1, hi: 9, applied: 4 });
        let mut groups = Groups::new(sources(), limits, TimeRange::ALL, None).unwrap();
        while let Some(group) = groups.next(&mut tag_order).unwrap() {
            writer.add(&group);
            if rng.u8(..4) == 0 {
                let resume_after = group.last();
                groups =
                    Groups::new(sources(), limits, TimeRange::ALL, resume_after.as_ref()).unwrap();
            }
        }
        let Some(part) = writer.end() else { continue };
        let merged = Own { bytes: Bytes::new(&writer.finish()).of(&part), part };
        let direction = any_direction(&mut rng);
        let mut cursor = merged.cursor(direction);
        let mut read = Read::new();
        while cursor.key().is_some() {
            read.extend(rows(&mut cursor, TimeRange::ALL, direction));
            cursor.step().unwrap();
        }
        assert_eq!(read, visible_rows(&all, TimeRange::ALL, direction), "seed {seed}");
    }
}

fn floats(times: Range<i64>) -> Own {
    let mut rng = Rng::with_seed(times.start as u64);
    let key = SeriesKey::new(MeasurementId(1), ["a"]);
    let row = |time_ns| {
        let fields = [(1, FieldValue::Float(rng.f64()))];
        ((key.clone(), time_ns), fields.into_iter().collect())
    };
    let story: Story = times.map(row).collect();
    let limits = Limits::default();
    let mut rng = Rng::with_seed(1);
    let (values, mut parts) = write(&story, 1 << 40, 1, limits, &mut rng);
    let part = parts.pop().unwrap();
    Own { bytes: Bytes::new(&values).of(&part), part }
}

fn pages_of(parts: &[Own]) -> Vec<(u32, bool)> {
    let cursors = parts.iter().map(|part| part.cursor(Direction::Ascending));
    let merge = Merge::new((1..).zip(cursors).collect(), Direction::Ascending).unwrap();
    let limits = Limits::default();
    let mut writer = PartWriter::new(limits, SEED);
    writer.begin(99, Sequences { lo: 1, hi: 9, applied: 4 });
    let mut groups = Groups::new(merge, limits, TimeRange::ALL, None).unwrap();
    while let Some(group) = groups.next(&mut tag_order).unwrap() {
        writer.add(&group);
    }
    writer.end().unwrap();
    let is_copied = |block: &[u8]| {
        let has = |body: &[u8]| body.windows(block.len()).any(|bytes| bytes == block);
        let bodies = |part: &Own| part.bytes.values.iter().any(|(_, body)| has(body));
        parts.iter().any(bodies)
    };
    let mut pages = Vec::new();
    for value in writer.finish() {
        for group in &value.directory.groups {
            for (at, page) in group.pages.iter().enumerate() {
                let columns = (0..group.columns.len()).map(|column| group.column_at(at, column));
                let block = |bytes: Range<u32>| {
                    value.body.get(bytes.start as usize..bytes.end as usize).unwrap()
                };
                pages.push((page.rows, columns.map(block).all(is_copied)));
            }
        }
    }
    pages
}

#[test]
fn merge_copies_full_float_pages() {
    let first = || floats(0..2_748);
    assert_eq!(pages_of(&[first()]), [(1_024, true), (1_024, true), (700, true)]);
    assert_eq!(
        pages_of(&[first(), floats(3_000..3_600)]),
        [(1_024, true), (1_024, true), (700, true), (600, true)]
    );
    // A short page is combined with the following rows, and overlapping rows are encoded again.
    assert_eq!(pages_of(&[floats(0..100), floats(3_000..3_600)]), [(700, false)]);
    assert_eq!(pages_of(&[floats(0..600), floats(300..900)]), [(900, false)]);
}
