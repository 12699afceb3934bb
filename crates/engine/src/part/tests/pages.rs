//! Reads parts group by group without a cursor, and compares the result with the rows.

use super::*;
use crate::merge::cursor::PageColumn;
use crate::part::directory::PartGroup;
use crate::part::pages::{self, GroupReader, PagePosition};
use crate::test_seeds::seeds;

fn rows_of(values: &mut Bytes, part: u64, measurement: MeasurementId) -> Read {
    let mut all = Read::new();
    for (value, groups) in pages::groups_of(values, part, measurement).unwrap() {
        let directory = values.directory(value).unwrap();
        for at in groups {
            let group = &directory.groups[at];
            assert_eq!(group.measurement, measurement);
            if group.continues_columns() {
                continue;
            }
            let blocks = group.series.iter().enumerate().flat_map(|(block, of)| {
                let series = pages::series(values, value, group, block).unwrap();
                assert!(series.len == of.series && of.first + of.series <= group.series());
                let key = |at: usize| {
                    SeriesKey::new(measurement, series.tags.iter().map(|tag| tag.get(at)))
                };
                (0..of.series as usize).map(key).collect::<Vec<_>>()
            });
            let keys: Vec<SeriesKey> = blocks.collect();
            for page in 0..group.pages.len() {
                let place = PagePosition { value, group: at, page };
                all.extend(page_rows(values, part, (group, place), &keys));
            }
        }
    }
    all
}

fn page_rows(
    values: &mut Bytes,
    part: u64,
    (group, place): (&PartGroup, PagePosition),
    keys: &[SeriesKey],
) -> Read {
    let (value, number) = (place.value, place.group);
    let of_page = GroupReader { values, value, number, group }.keys(place.page).unwrap();
    let page = &group.pages[place.page];
    let mut rows = Read::new();
    for (at, number) in (page.first_series..page.first_series + page.series).enumerate() {
        assert!(group.pages_of(number).contains(&place.page));
        let of_series = of_page.of_series(at, TimeRange::ALL, 7, &group.columns).unwrap();
        let times = of_series.times_ns();
        assert_eq!(of_series.rows(), rows.len() as u32..(rows.len() + times.len()) as u32);
        assert!(times.iter().all(|&time_ns| group.time().contains(time_ns)));
        rows.extend(times.iter().map(|&t| ((keys[number as usize].clone(), t), Fields::new())));
    }
    for &(id, _) in group.columns.iter() {
        let directory = values.directory(place.value).unwrap();
        let column = pages::column(values, part, directory, place, id).unwrap();
        let Some(column) = column.map(PageColumn::into_column) else { continue };
        assert_eq!(column.len(), page.rows as usize);
        for (at, row) in rows.iter_mut().enumerate() {
            row.1.extend(column.get(at).map(|value| (id.0, value)));
        }
    }
    rows
}

#[test]
fn groups_contain_all_measurement_rows() {
    let (mut values_max, mut shared) = (0, 0);
    for seed in seeds(200) {
        let mut rng = Rng::with_seed(seed);
        let (story, limits) = (story(&mut rng, TIMES), small(&mut rng));
        let (values, parts) = write(&story, 1_000, TIMES, limits, &mut rng);
        let [part] = &parts[..] else { continue };
        let mut bytes = Bytes::new(&values).of(part);
        values_max = values_max.max(values.len());
        for measurement in (0..6).map(MeasurementId) {
            let of = |row: &(SeriesKey, i64)| row.0.measurement() == measurement;
            let expected: Read = visible_rows(&story, TimeRange::ALL, Direction::Ascending)
                .into_iter()
                .filter(|r| of(&r.0))
                .collect();
            assert_eq!(rows_of(&mut bytes, part.id, measurement), expected, "seed {seed}");
            let groups = pages::groups_of(&mut bytes, part.id, measurement).unwrap();
            let is_shared = |&(value, _): &(usize, _)| {
                let directory = bytes.directory(value).unwrap();
                directory.groups.iter().any(|group| group.measurement != measurement)
            };
            shared += usize::from(groups.len() > 1 && groups.last().is_some_and(is_shared));
        }
    }
    assert!(values_max > 5 && shared > 2, "{values_max} {shared}");
}
