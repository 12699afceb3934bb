//! Parts merged into one tell what all of them told, the latest last.

use super::*;

/// A part of its own values.
struct Own {
    part: Written,
    bytes: Bytes,
}

impl Own {
    fn write(story: &Story, rng: &mut Rng) -> Option<Self> {
        let limits = small(rng);
        let (values, mut parts) = write(story, 1_000, TIMES, limits, rng);
        let part = parts.pop()?;
        Some(Self { bytes: Bytes::new(&values).of(&part), part })
    }

    fn cursor(&self, direction: Direction) -> PartCursor<Bytes> {
        PartCursor::new(self.bytes.clone(), self.part.id, direction, None).unwrap()
    }
}

#[test]
fn merged_parts_tell_what_all_of_them_told() {
    for seed in 0..800 {
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
                let behind = group.last();
                groups = Groups::new(sources(), limits, TimeRange::ALL, behind.as_ref()).unwrap();
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
        assert_eq!(read, told(&all, TimeRange::ALL, direction), "seed {seed}");
    }
}
