//! Interrupts a writer after any of its values, and resumes the writer.

use super::*;
use crate::part::writer::{LastRow, Resumed};

const SEQUENCES: Sequences = Sequences { lo: 1, hi: 9, applied: 4 };

#[derive(Clone, Copy)]
struct Job {
    width: i64,
    limits: Limits,
}

impl Job {
    fn slot(id: u64) -> i64 {
        id as i64 - 5
    }

    fn time(self, slot: i64) -> TimeRange {
        TimeRange::new(slot * self.width, (slot + 1) * self.width)
    }

    fn resume(self, values: &[Value]) -> Resumed {
        PartWriter::resume(self.limits, SEED, &mut Bytes::new(values)).unwrap()
    }

    fn go_on(
        self,
        story: &Story,
        values: &mut Vec<Value>,
        until: usize,
        rng: &mut Rng,
    ) -> Option<Vec<Written>> {
        let Resumed { mut writer, ended: mut parts, open, values: count } = self.resume(values);
        values.truncate(count);
        let first = match &open {
            Some((id, _)) => Self::slot(*id),
            None => parts.last().map_or(0, |last| Self::slot(last.id) + 1),
        };
        let mut resume_after = open.map(|(_, row)| row);
        for slot in first..=TIMES / self.width {
            if resume_after.is_none() {
                writer.begin(slot as u64 + 5, SEQUENCES);
            }
            let cursor = VectorCursor::new(story, 7, Direction::Ascending, rng);
            let merge = Merge::new(vec![(1, cursor)], Direction::Ascending).unwrap();
            let resume_after = resume_after.take();
            let mut groups =
                Groups::new(merge, self.limits, self.time(slot), resume_after.as_ref()).unwrap();
            while let Some(group) = groups.next(&mut tag_order).unwrap() {
                writer.add(&group);
                values.extend(writer.take_closed());
                if values.len() >= until {
                    values.truncate(until);
                    return None;
                }
            }
            parts.extend(writer.end());
        }
        values.extend(writer.finish());
        Some(parts)
    }
}

fn job(rng: &mut Rng) -> (Job, Story) {
    let (mut story, mut limits) = (story(rng, TIMES), small(rng));
    if rng.u8(..3) == 0 {
        limits.value_bytes = 2_500;
        for _ in 0..rng.usize(1..4) {
            let text = |rng: &mut Rng| {
                let text: String = (0..250).map(|_| rng.alphanumeric()).collect();
                FieldValue::String(text.into())
            };
            let fields = (0..rng.u32(5..20)).map(|at| (at * 5 + 3, text(rng))).collect();
            let key = SeriesKey::new(MeasurementId(2), [["", "a"][rng.usize(..2)]]);
            story.insert((key, rng.i64(0..TIMES)), fields);
        }
    }
    (Job { width: [20, 50, 1_000][rng.usize(..3)], limits }, story)
}

fn check_values(values: &[Value], part: &Written) {
    let own = &values[part.values.clone()];
    for (at, value) in values.iter().enumerate() {
        let ordinal = at.checked_sub(part.values.start).filter(|_| part.values.contains(&at));
        let found: Vec<_> = value.directory.parts.iter().filter(|of| of.id == part.id).collect();
        assert_eq!(found.first().map(|of| of.ordinal as usize), ordinal);
        assert!(found.iter().all(|of| of.sequences == SEQUENCES) && found.len() <= 1);
        let root = value.directory.root_of(part.id);
        let is_root = own.len() > 1 && at + 1 == part.values.end;
        assert_eq!(root.map(|root| root.values.len()), is_root.then(|| own.len() - 1));
        for (extent, value) in root.iter().flat_map(|root| &root.values).zip(own) {
            let groups = value.directory.group_range(part.id).unwrap();
            let groups = value.directory.groups[groups].iter();
            let pages = || groups.clone().filter(|g| !g.continues_columns()).flat_map(|g| &g.pages);
            assert_eq!(extent.rows, pages().map(|page| u64::from(page.rows)).sum::<u64>());
            if extent.rows > 0 {
                let (min, max) = (pages().map(|p| p.min_ns).min(), pages().map(|p| p.max_ns).max());
                assert_eq!((Some(extent.min_ns), Some(extent.max_ns)), (min, max));
            }
        }
    }
}

fn check(job: Job, values: &[Value], parts: &[Written], story: &Story, rng: &mut Rng) {
    let bytes = Bytes::new(values);
    let mut left = story.clone();
    for part in parts {
        check_values(values, part);
        let inside = job.time(Job::slot(part.id));
        let own: Story = visible_rows(story, inside, Direction::Ascending).into_iter().collect();
        left.retain(|(_, time_ns), _| !inside.contains(*time_ns));
        check_written(part, &own);
        let key = &own.keys().nth(rng.usize(..own.len())).unwrap().0;
        for direction in [Direction::Ascending, Direction::Descending] {
            for from in [None, Some(key)] {
                let mut cursor = PartCursor::new(bytes.of(part), part.id, direction, from).unwrap();
                let mut read = Read::new();
                while cursor.key().is_some() {
                    read.extend(rows(&mut cursor, TimeRange::ALL, direction));
                    cursor.step().unwrap();
                }
                let mut expected = visible_rows(&own, TimeRange::ALL, direction);
                expected.retain(|((key, _), _)| {
                    from.is_none_or(|from| direction.order(key.cmp(from)).is_ge())
                });
                assert_eq!(read, expected);
            }
        }
    }
    assert_eq!(left, Story::new());
    let Resumed { mut writer, mut ended, open, values: count } = job.resume(values);
    ended.extend(writer.end());
    let rest = writer.finish();
    assert_eq!((count, open.is_none() || parts.len() == ended.len()), (values.len(), true));
    assert_eq!((ended, rest), (parts.to_vec(), vec![]));
}

fn rows_of(parts: &[Written]) -> Vec<(u64, u64, u64, i64, i64)> {
    parts.iter().map(|part| (part.id, part.rows, part.series, part.min_ns, part.max_ns)).collect()
}

#[test]
fn part_writer_resumes_after_any_value() {
    let (mut open, mut between, mut wide, mut only_root, mut alone) = (0, 0, 0, 0, 0);
    for seed in 0..320 {
        let mut rng = Rng::with_seed(seed);
        let (job, story) = job(&mut rng);
        let mut whole = Vec::new();
        let parts = job.go_on(&story, &mut whole, usize::MAX, &mut rng).unwrap();
        check(job, &whole, &parts, &story, &mut rng);
        for left in 0..=whole.len() {
            let mut values = whole[..left].to_vec();
            let resumed = job.resume(&values);
            let count = resumed.ended.len();
            assert_eq!(resumed.ended, parts[..count], "seed {seed}");
            if let Some((id, _)) = resumed.open {
                assert_eq!(id, parts[count].id);
                open += 1;
            } else {
                between += usize::from(left > 0);
            }
            wide += left - resumed.values;
            if rng.bool() {
                let until = left + rng.usize(1..4);
                job.go_on(&story, &mut values, until, &mut rng);
            }
            let written = job.go_on(&story, &mut values, usize::MAX, &mut rng).unwrap();
            assert_eq!(rows_of(&written), rows_of(&parts), "seed {seed}");
            check(job, &values, &written, &story, &mut rng);
            let is_bare = |value: &&Value| value.directory.groups.is_empty();
            only_root += values.iter().filter(is_bare).count();
            alone += written.iter().filter(|part| part.values == (left.max(1) - 1..left)).count();
        }
    }
    let seen = [open, between, wide, only_root, alone];
    assert!(seen.iter().all(|&count| count > 20), "{seen:?}");
}

fn hide(story: &Story, rng: &mut Rng) -> Story {
    let mut later = story.clone();
    let (row, _) = story.iter().nth(rng.usize(..story.len())).unwrap();
    match rng.u8(..4) {
        0 => later.retain(|_, _| rng.bool()),
        1 => later.retain(|(key, _), _| *key != row.0),
        2 => later.retain(|(_, time_ns), _| *time_ns >= row.1),
        _ => {
            later.values_mut().for_each(|fields| fields.retain(|column, _| column % 2 == 0));
            later.retain(|_, fields| !fields.is_empty());
        }
    }
    later
}

#[test]
fn part_writer_resumes_with_hidden_rows() {
    let mut dangling = 0;
    for seed in 0..150 {
        let mut rng = Rng::with_seed(seed);
        let (job, story) = job(&mut rng);
        if story.is_empty() {
            continue;
        }
        let mut whole = Vec::new();
        job.go_on(&story, &mut whole, usize::MAX, &mut rng).unwrap();
        for left in 0..=whole.len() {
            let mut values = whole[..left].to_vec();
            let Resumed { ended, open, .. } = job.resume(&values);
            let later = hide(&story, &mut rng);
            let is_written = |(key, time_ns): &(SeriesKey, i64)| {
                let slot = time_ns / job.width;
                let is_ended = ended.last().is_some_and(|last| slot <= Job::slot(last.id));
                let is_behind = |row: &LastRow| (key, *time_ns) <= (&row.key, row.time_ns);
                is_ended
                    || open.as_ref().is_some_and(|(id, row)| {
                        slot < Job::slot(*id) || slot == Job::slot(*id) && is_behind(row)
                    })
            };
            let mut expected = later.clone();
            expected.retain(|row, _| !is_written(row));
            let written = story.iter().filter(|(row, _)| is_written(row));
            expected.extend(written.map(|(row, fields)| (row.clone(), fields.clone())));
            let parts = job.go_on(&later, &mut values, usize::MAX, &mut rng).unwrap();
            check(job, &values, &parts, &expected, &mut rng);
            for part in &parts {
                let of_part = |value: &Value| {
                    let groups = value.directory.group_range(part.id).unwrap();
                    value.directory.groups[groups].to_vec()
                };
                let groups = values[part.values.clone()].iter().flat_map(of_part);
                let groups: Vec<_> = groups.filter(|group| !group.continues_columns()).collect();
                let ends = groups.windows(2).map(|pair| (&pair[0], pair[1].continues()));
                let ends = ends.chain(groups.last().map(|last| (last, false)));
                dangling += ends
                    .filter(|(group, next_continues)| group.is_continued() && !next_continues)
                    .count();
            }
        }
    }
    assert!(dangling > 20, "{dangling}");
}

#[test]
fn resume_without_values_starts_fresh() {
    let Resumed { writer, ended, open, values } =
        PartWriter::resume(Limits::default(), SEED, &mut Bytes::new(&[])).unwrap();
    assert_eq!((ended, open, values, writer.finish()), (vec![], None, 0, vec![]));
}

#[test]
fn resume_with_missing_value_is_damage() {
    let mut found = 0;
    for seed in 0..150 {
        let mut rng = Rng::with_seed(seed);
        let (job, story) = job(&mut rng);
        let mut values = Vec::new();
        let parts = job.go_on(&story, &mut values, usize::MAX, &mut rng).unwrap();
        let Some(part) = parts.iter().find(|part| part.values.len() > 2) else { continue };
        values.remove(part.values.start + 1);
        let resumed = PartWriter::resume(job.limits, SEED, &mut Bytes::new(&values));
        assert!(matches!(resumed, Err(ReadError::Damaged { .. })), "seed {seed}");
        found += 1;
    }
    assert!(found > 10, "{found}");
}
