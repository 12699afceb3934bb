//! Compares two ways of reading: several short series in one call, and each series separately.

use super::*;
use crate::merge::cursor::RunLimits;

/// Returns the number of series that were read together.
pub(crate) fn read_some_at_once<C: SeriesCursor>(
    merge: &mut Merge<C>,
    time: TimeRange,
    rng: &mut Rng,
) -> (Read, usize) {
    let (mut read, mut passed) = (Read::new(), 0);
    let mut series = merge.next_series().unwrap().cloned();
    while let Some(key) = series {
        let (rows, key_bytes) = (rng.usize(..12), rng.usize(..200));
        let end = Some(SeriesKey::new(MeasurementId(rng.u32(1..5)), ["a"])).filter(|_| rng.bool());
        let limits = RunLimits { time, end: end.as_ref(), rows, key_bytes };
        let at_once = match rng.bool() {
            true => merge.short_series(&limits).unwrap(),
            false => None,
        };
        if let Some((of, picks)) = at_once {
            assert_eq!(of.first().map(|(first, _)| first), Some(&key));
            assert!(of.len() > 1);
            // Without the last series, the limit was not reached.
            let before = &of[..of.len() - 1];
            assert!(before.iter().map(|(_, rows)| *rows as usize).sum::<usize>() < rows);
            assert!(before.iter().map(|(key, _)| key.as_bytes().len()).sum::<usize>() < key_bytes);
            assert!(end.iter().all(|end| of.iter().all(|(key, _)| key < end)));
            passed += of.len();
            let keys: Vec<SeriesKey> = of
                .iter()
                .flat_map(|(key, rows)| std::iter::repeat_n(key.clone(), *rows as usize))
                .collect();
            read.extend(rows_of(merge, &picks, &keys));
            series = merge.key().cloned();
            continue;
        }
        while let Some(picks) = merge.next_rows(time).unwrap() {
            let keys = vec![key.clone(); picks.len()];
            read.extend(rows_of(merge, &picks, &keys));
        }
        series = merge.next_series().unwrap().cloned();
    }
    (read, passed)
}
