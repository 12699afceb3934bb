//! Tests that a shard returns the same SHOW lists as a map, for any page size.

use std::collections::BTreeSet;

use tidemark_engine::scan::page::MeasurementSummary;
use tidemark_engine::scan::request::{
    Comparison, Deletion, Operand, Predicate, SummaryRequest, SummaryWant,
};
use tidemark_engine::scan::{SummaryLimits, summarise};
use tidemark_engine::shard::Limits;
use tidemark_engine::store::memory::MemoryStore;
use tidemark_model::limits::PAGE_BYTES_MAX;

use super::*;
use crate::world::seeds;

type Rng = fastrand::Rng;
type Tags = Vec<(u32, String)>;

/// A pause after which all rows are flushed.
const PAUSE_NS: i64 = 700_000_000_000;
/// The last tag and the last measurement do not exist.
const TAGS: u32 = 4;
const MEASUREMENTS: u32 = 6;

struct Story {
    rng: Rng,
    store: MemoryStore,
    shard: Shard<MemoryStore>,
    limits: Limits,
    rows: Model,
    now_ns: i64,
    sequence: u64,
    has_deleted: bool,
}

fn limits(rng: &mut Rng) -> Limits {
    let mut limits = Limits::default();
    if rng.bool() {
        limits.part.page_rows = rng.usize(1..12);
        limits.part.page_rows_enough = rng.usize(1..8);
        limits.part.group_pages = rng.usize(1..4);
        limits.part.directory_bytes = rng.usize(300..3_000);
        limits.part.value_bytes = rng.usize(1_500..9_000);
    }
    limits
}

fn opened(store: &MemoryStore, limits: Limits) -> Shard<MemoryStore> {
    let mut shard = reopen(store.clone()).with_limits(limits);
    shard.open(&settings()).unwrap();
    shard
}

/// More than the number of time ranges that a summary of a story visits one after another.
const STRETCHES_MAX: usize = 30;

impl Story {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let (store, limits) = (MemoryStore::new(), limits(&mut rng));
        let shard = opened(&store, limits);
        let (rows, has_deleted) = (Model::new(), false);
        Self { rng, store, shard, limits, rows, now_ns: NOW_NS, sequence: 0, has_deleted }
    }

    fn points(&mut self) -> Vec<Point> {
        let rng = &mut self.rng;
        let (values, measurements) = (rng.u32(1..9), rng.u32(2..MEASUREMENTS));
        let count = rng.usize(1..60);
        let mut points = random_points(rng, count);
        for point in &mut points {
            point.measurement = rng.u32(1..measurements);
            point.tags.retain(|_| rng.u8(..9) > 0);
            for (_, value) in &mut point.tags {
                *value =
                    ["", "\0", "a", "a!", "a1!", "a ", "a=", "b", "ü"][rng.usize(..9)].to_owned();
                *value += &format!("{}", rng.u32(..values));
            }
        }
        points
    }

    fn step(&mut self) {
        match self.rng.u8(..10) {
            0..5 => {
                let points = self.points();
                apply(&mut self.rows, &points);
                self.shard.append(&encode(&points), &STAMP, self.now_ns).unwrap();
                self.sequence += 1;
            }
            5..8 => {
                for _ in 0..self.rng.u8(1..4) {
                    self.now_ns += PAUSE_NS;
                    self.shard.alarm(self.now_ns);
                }
            }
            8 => self.delete(),
            _ => self.shard = opened(&self.store, self.limits),
        }
    }

    fn delete(&mut self) {
        let measurement = self.rng.u32(1..MEASUREMENTS);
        let time = self.time();
        let predicate = self.rng.bool().then(|| self.predicate());
        self.rows.retain(|(of, tags, time_ns, _), _| {
            *of != measurement || !time.contains(*time_ns) || !takes(predicate.as_ref(), tags)
        });
        let deletion = Deletion { measurement: MeasurementId(measurement), predicate, time };
        self.shard.delete(u64::MAX, &[deletion], &STAMP, self.now_ns).unwrap();
        self.has_deleted = true;
    }

    fn time(&mut self) -> TimeRange {
        match self.rng.u8(..3) {
            0 => TimeRange::ALL,
            _ => {
                let start_ns = self.rng.i64(-600..2_500);
                TimeRange::new(start_ns, start_ns + self.rng.i64(1..2_000))
            }
        }
    }

    fn predicate(&mut self) -> Predicate {
        let tag = Box::new(Operand::Tag(ColumnId(self.rng.u32(1..=TAGS))));
        let value = ["", "a0", "a1", "b0", "\u{0}0", "ü1"][self.rng.usize(..6)];
        let value = Box::new(Operand::Literal(FieldValue::String(value.into())));
        let is = if self.rng.bool() { Comparison::Equal } else { Comparison::NotEqual };
        let one = Predicate::Compare(is, tag, value);
        match self.rng.u8(..4) {
            0 => Predicate::And(Box::new(one), Box::new(self.predicate())),
            1 => Predicate::Or(Box::new(one), Box::new(self.predicate())),
            _ => one,
        }
    }

    fn request(&mut self) -> SummaryRequest {
        let mut measurements: Vec<MeasurementId> = (1..=MEASUREMENTS).map(MeasurementId).collect();
        self.rng.shuffle(&mut measurements);
        measurements.truncate(self.rng.usize(1..=MEASUREMENTS as usize));
        let count = measurements.len();
        let is_whole = self.rng.bool();
        let tags = |story: &mut Self| -> Vec<ColumnId> {
            let mut tags: Vec<ColumnId> = (1..=TAGS).map(ColumnId).collect();
            story.rng.shuffle(&mut tags);
            let least = if is_whole { TAGS as usize } else { 0 };
            tags.truncate(story.rng.usize(least..=TAGS as usize));
            tags
        };
        let all: Vec<Vec<ColumnId>> = (0..count).map(|_| tags(self)).collect();
        let seeded = |tags: &Vec<ColumnId>| tags.iter().map(|&id| (id, u64::from(id.0))).collect();
        let want = match self.rng.u8(..6) {
            0 => SummaryWant::Measurements,
            1 => SummaryWant::Columns,
            2 => SummaryWant::TagValues(all),
            3 => SummaryWant::Series(all),
            number => SummaryWant::SeriesHashes {
                tags: all.iter().map(seeded).collect(),
                count_only: number == 4,
            },
        };
        let has_predicates = self.rng.u8(..3) == 0;
        let predicates = (0..count).map(|_| has_predicates.then(|| self.predicate())).collect();
        let kept_from_ns = (self.rng.u8(..3) == 0).then(|| self.rng.i64(-600..2_500));
        let items_max = self.rng.bool().then(|| self.rng.u64(1..9));
        let time = self.time();
        SummaryRequest {
            measurements,
            time,
            kept_from_ns,
            predicates,
            want,
            resume: None,
            page_bytes: PAGE_BYTES_MAX,
            items_max,
        }
    }

    fn ask(&mut self, request: &SummaryRequest, limits: SummaryLimits) -> Vec<MeasurementSummary> {
        let mut request = request.clone();
        let mut all: Vec<MeasurementSummary> = Vec::new();
        for _ in 0..5_000 {
            let ask = |reader: &dyn tidemark_engine::scan::reader::Reader| {
                summarise(reader, &request, limits)
            };
            let page = self.shard.with_reader(&STAMP, &request.measurements, ask).unwrap();
            let items = || page.measurements.iter().flat_map(|found| &found.items);
            let lengths = || items().map(|item| item.iter().map(String::len).sum::<usize>());
            let longest = lengths().max().unwrap_or_default();
            // Each range of times may exceed its share of the bytes by one item.
            let excess = longest * STRETCHES_MAX;
            assert!(lengths().sum::<usize>() <= limits.bytes + excess, "{limits:?} {page:?}");
            assert!(page.measurements.len() <= limits.bytes / 32 + 1, "{limits:?} {page:?}");
            for found in page.measurements {
                match all.last_mut() {
                    Some(last) if last.measurement == found.measurement => {
                        last.columns.extend(found.columns);
                        last.items.extend(found.items);
                        last.hashes.extend(found.hashes);
                        last.count += found.count;
                    }
                    _ => all.push(found),
                }
            }
            assert!(page.resume.is_none() || page.resume > request.resume, "no progress");
            request.resume = page.resume;
            if request.resume.is_none() {
                return all;
            }
        }
        panic!("pages without end: {request:?}");
    }

    fn check(&mut self, request: &SummaryRequest, limits: SummaryLimits) {
        let kept = TimeRange::new(request.kept_from_ns.unwrap_or(i64::MIN), i64::MAX);
        let time = request.time.intersect(&kept);
        let found = self.ask(request, limits);
        let mut found = found.into_iter().peekable();
        for (at, &measurement) in request.measurements.iter().enumerate() {
            let rows: Vec<(&Tags, u32)> = (self.rows.keys())
                .filter(|(of, tags, time_ns, _)| {
                    let is_taken = takes(request.predicates[at].as_ref(), tags);
                    *of == measurement.0 && time.contains(*time_ns) && is_taken
                })
                .map(|(_, tags, _, field)| (tags, *field))
                .collect();
            let summary = found.next_if(|summary| summary.measurement == measurement);
            let context = || format!("{measurement:?} {limits:?} {request:?}");
            assert_eq!(summary.is_some(), !rows.is_empty(), "{}", context());
            let Some(mut summary) = summary else { continue };
            if let SummaryWant::Columns = request.want {
                summary.columns.sort_unstable();
                summary.columns.dedup();
                let is_exact = !self.has_deleted
                    && time == TimeRange::ALL
                    && limits.decoded_bytes == u64::MAX
                    && request.predicates[at].is_none();
                check_columns(&summary.columns, &rows, is_exact, &context());
            } else {
                check_items(&summary, &rows, (request, at), &context());
            }
        }
        assert_eq!(found.next(), None, "measurements in another order, or not asked for");
    }
}

fn check_columns(found: &[ColumnId], rows: &[(&Tags, u32)], is_exact: bool, context: &str) {
    let tags = rows.iter().flat_map(|(tags, _)| tags.iter().map(|(id, _)| *id));
    let tags: BTreeSet<u32> = tags.collect();
    let fields: BTreeSet<u32> = rows.iter().map(|(_, field)| *field).collect();
    let (found_fields, found_tags): (BTreeSet<u32>, BTreeSet<u32>) =
        found.iter().map(|id| id.0).partition(|id| FIELDS.contains(id));
    assert_eq!(found_tags, tags, "{context}");
    match is_exact {
        true => assert_eq!(found_fields, fields, "{context}"),
        false => assert!(found_fields.is_superset(&fields), "{found_fields:?} {context}"),
    }
}

fn text_of(item: &[String]) -> String {
    let escape = |value: &str| {
        [",", "=", " "].iter().fold(value.to_owned(), |v, c| v.replace(c, &format!("\\{c}")))
    };
    let tags = item.iter().enumerate().filter(|(_, value)| !value.is_empty());
    tags.map(|(tag, value)| format!(",t{tag}={}", escape(value))).collect()
}

fn check_items(
    summary: &MeasurementSummary,
    rows: &[(&Tags, u32)],
    (request, at): (&SummaryRequest, usize),
    context: &str,
) {
    let value = |tags: &Tags, id: ColumnId| {
        let tag = tags.iter().find(|tag| tag.0 == id.0);
        tag.map_or(String::new(), |tag| tag.1.clone())
    };
    let all = |ids: Vec<ColumnId>| -> BTreeSet<Vec<String>> {
        rows.iter().map(|(tags, _)| ids.iter().map(|&id| value(tags, id)).collect()).collect()
    };
    match &request.want {
        SummaryWant::Measurements | SummaryWant::Columns => {}
        SummaryWant::TagValues(tags) => {
            let mut expected: BTreeSet<Vec<String>> = BTreeSet::new();
            for (number, &id) in tags[at].iter().enumerate() {
                let values = rows.iter().map(|(tags, _)| value(tags, id));
                let values = values.filter(|value| !value.is_empty());
                expected.extend(values.map(|value| vec![format!("{number:05}"), value]));
            }
            let most = request.items_max.map_or(usize::MAX, |max| max as usize);
            let found: BTreeSet<&Vec<String>> = summary.items.iter().collect();
            assert!(found.into_iter().take(most).eq(expected.iter().take(most)), "{context}");
        }
        SummaryWant::Series(tags) => {
            let expected = all(tags[at].clone());
            let found: BTreeSet<Vec<String>> = summary.items.iter().cloned().collect();
            let Some(most) = request.items_max else {
                assert_eq!(found, expected, "{context}");
                return;
            };
            // The result must contain the items that are first in text order, up to the requested
            // number, and may contain more items.
            assert!(found.iter().all(|item| expected.contains(item)), "{found:?} {context}");
            let mut by_text: Vec<&Vec<String>> = expected.iter().collect();
            by_text.sort_by_key(|item| text_of(item));
            let first = by_text.into_iter().take(most as usize);
            assert!(first.clone().all(|item| found.contains(item)), "{found:?} {context}");
        }
        SummaryWant::SeriesHashes { tags, count_only } => {
            let expected = all(tags[at].iter().map(|(id, _)| *id).collect());
            let hashes: BTreeSet<u64> = summary.hashes.iter().copied().collect();
            let count = if hashes.is_empty() { summary.count } else { hashes.len() as u64 };
            assert_eq!(count, expected.len() as u64, "{context}");
            assert!(*count_only || !hashes.is_empty(), "{context}");
        }
    }
}

fn takes(predicate: Option<&Predicate>, tags: &Tags) -> bool {
    let text = |operand: &Operand| match operand {
        Operand::Tag(id) => {
            let tag = tags.iter().find(|tag| tag.0 == id.0);
            tag.map_or(String::new(), |tag| tag.1.clone())
        }
        Operand::Literal(FieldValue::String(text)) => text.as_ref().to_owned(),
        other => panic!("{other:?}"),
    };
    match predicate {
        None => true,
        Some(Predicate::And(a, b)) => takes(Some(a), tags) && takes(Some(b), tags),
        Some(Predicate::Or(a, b)) => takes(Some(a), tags) || takes(Some(b), tags),
        Some(Predicate::Compare(is, a, b)) => (text(a) == text(b)) == (*is == Comparison::Equal),
        other => panic!("{other:?}"),
    }
}

#[test]
fn show_matches_model_after_random_changes() {
    let huge = SummaryLimits { bytes: 1 << 20, decoded_bytes: u64::MAX, keys: 200_000 };
    for seed in seeds(40) {
        let mut story = Story::new(seed);
        for _ in 0..story.rng.usize(1..25) {
            story.step();
        }
        for _ in 0..12 {
            let request = story.request();
            story.check(&request, huge);
            let limits = SummaryLimits {
                bytes: [1, 40, 90, 400, 1 << 20][story.rng.usize(..5)],
                decoded_bytes: [0, u64::MAX][story.rng.usize(..2)],
                keys: [1, 2, 5, 30, 200_000][story.rng.usize(..5)],
            };
            story.check(&request, limits);
        }
    }
}

fn shard_with(points: &[Point], is_flushed: bool) -> Shard<MemoryStore> {
    let mut shard = opened(&MemoryStore::new(), Limits::default());
    shard.append(&encode(points), &STAMP, NOW_NS).unwrap();
    if is_flushed {
        shard.alarm(NOW_NS + PAUSE_NS);
    }
    shard
}

#[test]
fn list_in_another_order_than_keys_ends_after_some_series() {
    let point = |number: u32| Point {
        measurement: 1,
        tags: vec![
            (1, format!("a{number:04}")),
            (2, format!("b{}", number / 7 % 3)),
            (3, format!("c{:04}", number * 7 % 1_000)),
        ],
        time_ns: 5,
        fields: vec![(FIELDS[0], FieldValue::Float(1.5))],
    };
    let points: Vec<Point> = (0..1_000).map(point).collect();
    let (few, many) = (vec![vec![ColumnId(2)]], vec![vec![ColumnId(3)]]);
    let both = vec![vec![ColumnId(1), ColumnId(3)]];
    let seeded = || vec![vec![(ColumnId(2), 7)]];
    let other = |tag: u32| {
        let value = Box::new(Operand::Literal(FieldValue::String("none".into())));
        Predicate::Compare(Comparison::NotEqual, Box::new(Operand::Tag(ColumnId(tag))), value)
    };
    let limits = SummaryLimits { bytes: 1 << 20, decoded_bytes: u64::MAX, keys: 40 };
    for is_flushed in [false, true] {
        let mut shard = shard_with(&points, is_flushed);
        for (want, predicate, items_max, found_min) in [
            (SummaryWant::TagValues(few.clone()), Some(other(1)), None, 3),
            (SummaryWant::TagValues(many.clone()), Some(other(1)), None, 1_000),
            // The dictionaries have more values than a page may read.
            (SummaryWant::TagValues(many.clone()), None, None, 1_000),
            (SummaryWant::TagValues(many.clone()), None, Some(2), 2),
            // The first tag is in the order of the keys.
            (SummaryWant::TagValues(both.clone()), None, None, 2_000),
            (SummaryWant::Series(few.clone()), None, None, 3),
            (SummaryWant::SeriesHashes { tags: seeded(), count_only: false }, None, None, 3),
            (SummaryWant::SeriesHashes { tags: seeded(), count_only: true }, None, None, 3),
        ] {
            let mut request = SummaryRequest {
                measurements: vec![MeasurementId(1)],
                time: TimeRange::ALL,
                kept_from_ns: None,
                predicates: vec![predicate],
                want,
                resume: None,
                page_bytes: PAGE_BYTES_MAX,
                items_max,
            };
            let (mut pages, mut items, mut hashes) = (0, BTreeSet::new(), BTreeSet::new());
            loop {
                let ask = |reader: &dyn tidemark_engine::scan::reader::Reader| {
                    summarise(reader, &request, limits)
                };
                let page = shard.with_reader(&STAMP, &request.measurements, ask).unwrap();
                let cells = page.stats.cells;
                assert!(cells <= 2 * limits.keys + 2, "{cells} {request:?}");
                pages += 1;
                for found in page.measurements {
                    items.extend(found.items);
                    hashes.extend(found.hashes);
                }
                request.resume = page.resume;
                if request.resume.is_none() {
                    break;
                }
            }
            assert!((20..60).contains(&pages), "{pages} {request:?}");
            let found = items.len() + hashes.len();
            assert!(found >= found_min, "{found} {request:?}");
            if let (Some(2), Some(first)) = (items_max, items.first()) {
                assert_eq!(first[1], "c0000");
            }
        }
    }
}

#[test]
fn list_of_series_without_tags_ends() {
    let fields = vec![(FIELDS[0], FieldValue::Float(1.5))];
    let points = [Point { measurement: 1, tags: Vec::new(), time_ns: 5, fields }];
    let mut shard = opened(&MemoryStore::new(), Limits::default());
    shard.append(&encode(&points), &STAMP, NOW_NS).unwrap();
    let tag = Box::new(Operand::Tag(ColumnId(1)));
    let value = Box::new(Operand::Literal(FieldValue::String("x".into())));
    let mut request = SummaryRequest::new(vec![MeasurementId(1)], SummaryWant::Measurements);
    request.predicates = vec![Some(Predicate::Compare(Comparison::Equal, tag, value))];
    let limits = SummaryLimits { bytes: 1 << 20, decoded_bytes: u64::MAX, keys: 1 };
    // The first page ends after the only series.
    for _ in 0..2 {
        let ask = |reader: &dyn tidemark_engine::scan::reader::Reader| {
            summarise(reader, &request, limits)
        };
        let page = shard.with_reader(&STAMP, &request.measurements, ask).unwrap();
        assert!(page.measurements.is_empty());
        request.resume = page.resume;
    }
    assert_eq!(request.resume, None);
}

#[test]
fn summary_page_ends_while_condition_excludes_series() {
    let point = |number: u32| {
        let kind = if number % 1_000 == 900 { "y" } else { "x" };
        Point {
            measurement: 1 + number / 1_000,
            tags: vec![(1, format!("a{number:04}")), (2, kind.to_owned())],
            time_ns: 5,
            fields: vec![(FIELDS[0], FieldValue::Float(1.5))],
        }
    };
    let points: Vec<Point> = (0..2_000).map(point).collect();
    let tag = Box::new(Operand::Tag(ColumnId(2)));
    let value = Box::new(Operand::Literal(FieldValue::String("y".into())));
    let tags = vec![vec![ColumnId(1)]; 2];
    let seeded = vec![vec![(ColumnId(1), 7)]; 2];
    let predicate = Predicate::Compare(Comparison::Equal, tag, value);
    let measurements = vec![MeasurementId(1), MeasurementId(2)];
    let mut request = SummaryRequest::new(measurements, SummaryWant::Measurements);
    request.predicates = vec![Some(predicate.clone()), Some(predicate)];
    let limits = SummaryLimits { bytes: 1 << 20, decoded_bytes: u64::MAX, keys: 40 };
    for is_flushed in [false, true] {
        let mut shard = shard_with(&points, is_flushed);
        for (want, items_max) in [
            (SummaryWant::Measurements, None),
            (SummaryWant::Columns, None),
            (SummaryWant::TagValues(tags.clone()), None),
            (SummaryWant::TagValues(tags.clone()), Some(1)),
            (SummaryWant::Series(tags.clone()), None),
            (SummaryWant::SeriesHashes { tags: seeded.clone(), count_only: false }, None),
            (SummaryWant::SeriesHashes { tags: seeded.clone(), count_only: true }, None),
        ] {
            (request.want, request.items_max, request.resume) = (want, items_max, None);
            let (mut visited, mut found) = (0, Vec::new());
            loop {
                let ask = |reader: &dyn tidemark_engine::scan::reader::Reader| {
                    summarise(reader, &request, limits)
                };
                let page = shard.with_reader(&STAMP, &request.measurements, ask).unwrap();
                assert!(
                    page.stats.cells <= 2 * limits.keys + 2,
                    "{} {request:?}",
                    page.stats.cells
                );
                visited += page.stats.cells;
                found.extend(page.measurements);
                assert!(page.resume.is_none() || page.resume > request.resume, "no progress");
                request.resume = page.resume;
                if request.resume.is_none() {
                    break;
                }
            }
            assert!((1_800..2_200).contains(&visited), "{visited} {request:?}");
            let items: Vec<_> = found.iter().map(|found| found.items.concat()).collect();
            match &request.want {
                SummaryWant::TagValues(_) => {
                    assert_eq!(items, [["00000", "a0900"], ["00000", "a1900"]]);
                }
                SummaryWant::Series(_) => assert_eq!(items, [["a0900"], ["a1900"]]),
                SummaryWant::SeriesHashes { .. } => {
                    assert_eq!((found.len(), found[0].count, found[1].count), (2, 1, 1));
                }
                SummaryWant::Measurements | SummaryWant::Columns => assert_eq!(found.len(), 2),
            }
        }
    }
}

/// Returns the store of a shard with `slots` parts, which have the same series.
fn store_with_slots(slots: i64) -> MemoryStore {
    let store = MemoryStore::new();
    let mut shard = opened(&store, Limits::default());
    for slot in 0..slots {
        let point = |number: i64| Point {
            measurement: 1,
            tags: vec![(1, format!("a{:02}", number % 20)), (2, format!("b{}", number % 3))],
            time_ns: slot * WINDOW_NS + number,
            fields: vec![(FIELDS[0], FieldValue::Float(1.5))],
        };
        shard.append(&encode(&(0..60).map(point).collect::<Vec<_>>()), &STAMP, NOW_NS).unwrap();
        shard.alarm(NOW_NS + PAUSE_NS * (slot + 1));
    }
    store
}

#[test]
fn cold_show_reads_one_of_parts_with_equal_series() {
    let tag = |id| vec![vec![ColumnId(id)]];
    let both = || vec![vec![ColumnId(1), ColumnId(2)]];
    let hashed = |count_only| SummaryWant::SeriesHashes {
        tags: vec![vec![(ColumnId(1), 7), (ColumnId(2), 8)]],
        count_only,
    };
    let a05 = || {
        let value = Box::new(Operand::Literal(FieldValue::String("a05".into())));
        Predicate::Compare(Comparison::Equal, Box::new(Operand::Tag(ColumnId(1))), value)
    };
    for (want, predicate) in [
        (SummaryWant::Measurements, None),
        (SummaryWant::Measurements, Some(a05())),
        (SummaryWant::Columns, None),
        (SummaryWant::TagValues(tag(1)), None),
        (SummaryWant::TagValues(tag(2)), None),
        (SummaryWant::TagValues(tag(2)), Some(a05())),
        (SummaryWant::TagValues(both()), None),
        (SummaryWant::Series(both()), None),
        (hashed(true), None),
        (hashed(false), None),
    ] {
        let request = SummaryRequest {
            predicates: vec![predicate],
            ..SummaryRequest::new(vec![MeasurementId(1)], want)
        };
        let read = [3, 40].map(|slots| {
            let store = store_with_slots(slots);
            let count = |reader: &dyn tidemark_engine::scan::reader::Reader| {
                Ok(part_count(reader, MeasurementId(1), TimeRange::ALL)?)
            };
            let parts = opened(&store, Limits::default()).with_reader(&STAMP, &[], count);
            assert_eq!(parts, Ok(slots as usize));
            let mut shard = opened(&store, Limits::default());
            let before = store.row_counts();
            let page = shard.summary(&request, &STAMP).unwrap();
            assert_eq!(page.resume, None);
            (page.measurements, store.row_counts().since(before).read)
        });
        assert_eq!(read[0], read[1], "{request:?}");
    }
}
