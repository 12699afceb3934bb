//! Compares the outline of a part with its rows.

use super::*;
use crate::part::outline::{Outline, has_groups};
use crate::part::pages;
use crate::test_seeds::seeds;

#[test]
fn part_outline_matches_rows() {
    let (mut directories, mut read) = (0, 0);
    for seed in seeds(200) {
        let mut rng = Rng::with_seed(seed);
        let (story, limits) = (story(&mut rng, 1_000), small(&mut rng));
        let (values, parts) = write(&story, 1_000, 1_000, limits, &mut rng);
        let [part] = &parts[..] else { continue };
        let from = rng.i64(0..1_000);
        let range = TimeRange::new(from, rng.i64(from..=1_000));
        for measurement in (0..6).map(MeasurementId) {
            let (bytes, reads) = (Bytes::new(&values).of(part), Rc::new(Cell::new((0, 0))));
            let mut counted = Counted { bytes: bytes.clone(), reads: Rc::clone(&reads) };
            let times_of = |time| {
                let rows = visible_rows(&story, time, Direction::Ascending).into_iter();
                let of = rows.filter(|row| row.0.0.measurement() == measurement);
                of.map(|row| row.0.1).collect::<Vec<_>>()
            };
            let all = times_of(TimeRange::ALL);
            let mut of = |time| Outline::of(&mut counted, part.id, measurement, time).unwrap();
            let outline = of(TimeRange::ALL);
            assert_eq!(outline.rows, all.len() as u64, "seed {seed}");
            assert!(all.iter().all(|&time_ns| outline.time.contains(time_ns)), "seed {seed}");
            let (outline, inside) = (of(range), times_of(range));
            assert_eq!(outline.rows_of_all_times, all.len() as u64, "seed {seed}");
            assert!(inside.iter().all(|&time_ns| outline.time.contains(time_ns)), "seed {seed}");
            assert!(inside.is_empty() || (1..=all.len() as u64).contains(&outline.rows));
            let has = has_groups(&mut counted, part.id, measurement).unwrap();
            let groups = pages::groups_of(&mut bytes.clone(), part.id, measurement).unwrap();
            assert_eq!(has, !groups.is_empty(), "seed {seed}");
            if groups.len() > 5 {
                directories += 3 * groups.len();
                read += reads.get().0 as usize;
            }
        }
    }
    // The calls must read only the last directory and those at the ends of a measurement.
    assert!(directories > 50 && read < directories / 2, "{read} of {directories}");
}
