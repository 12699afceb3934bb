//! What is said of a part without reading through it is true of its rows.

use super::*;
use crate::part::outline::{Outline, has_groups};
use crate::part::pages;

/// Counts the directories that are read.
struct Counted {
    values: Bytes,
    read: BTreeSet<usize>,
}

impl Values for Counted {
    fn count(&self) -> usize {
        self.values.count()
    }

    fn directory(&mut self, value: usize) -> Result<Rc<Directory>, ReadError> {
        self.read.insert(value);
        self.values.directory(value)
    }

    fn with<T>(
        &mut self,
        value: usize,
        bytes: Range<u32>,
        read: impl FnOnce(&[u8]) -> Result<T, Error>,
    ) -> Result<T, ReadError> {
        self.values.with(value, bytes, read)
    }

    fn damaged(&self, value: usize, error: Error) -> ReadError {
        self.values.damaged(value, error)
    }
}

#[test]
fn an_outline_is_true_of_the_rows() {
    let (mut directories, mut read) = (0, 0);
    for seed in 0..1_500 {
        let mut rng = Rng::with_seed(seed);
        let (story, limits) = (story(&mut rng, 1_000), small(&mut rng));
        let (values, parts) = write(&story, 1_000, 1_000, limits, &mut rng);
        let [part] = &parts[..] else { continue };
        let from = rng.i64(0..1_000);
        let range = TimeRange::new(from, rng.i64(from..=1_000));
        for measurement in (0..6).map(MeasurementId) {
            let mut values =
                Counted { values: Bytes::new(&values).of(part), read: BTreeSet::new() };
            let told = |time| {
                let rows = told(&story, time, Direction::Ascending).into_iter();
                let of = rows.filter(|row| row.0.0.measurement() == measurement);
                of.map(|row| row.0.1).collect::<Vec<_>>()
            };
            let all = told(TimeRange::ALL);
            let mut of = |time| Outline::of(&mut values, part.id, measurement, time).unwrap();
            let outline = of(TimeRange::ALL);
            assert_eq!(outline.rows, all.len() as u64, "seed {seed}");
            assert!(all.iter().all(|&time_ns| outline.time.contains(time_ns)), "seed {seed}");
            let (outline, inside) = (of(range), told(range));
            assert_eq!(outline.rows_of_all_times, all.len() as u64, "seed {seed}");
            assert!(inside.iter().all(|&time_ns| outline.time.contains(time_ns)), "seed {seed}");
            assert!(inside.is_empty() || (1..=all.len() as u64).contains(&outline.rows));
            let has = has_groups(&mut values, part.id, measurement).unwrap();
            let groups = pages::groups_of(&mut values.values, part.id, measurement).unwrap();
            assert_eq!(has, !groups.is_empty(), "seed {seed}");
            if groups.len() > 5 {
                (directories, read) = (directories + groups.len(), read + values.read.len());
            }
        }
    }
    // Those at both ends of a measurement, which lie beside others, and the last one.
    assert!(directories > 150 && read < directories / 2, "{read} of {directories}");
}
