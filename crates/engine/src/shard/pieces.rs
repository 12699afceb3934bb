//! Splits the time range of a query to limit the number of parts that are merged together.

use tidemark_model::time::TimeRange;

/// The maximum number of parts that a query merges together if its time range can be split. The
/// memtable is an additional source.
const PARTS_AT_ONCE: usize = 63;

/// The minimum average number of rows per series between two split times. With fewer rows, another
/// pass over all series would take too long.
const CHAINED_ROWS: u64 = 64;
/// The maximum share of an earlier part's time range that may follow a split time, as 1 /
/// `OVERLAP_SHARE`. Two flushes can contain rows with the same time, so some overlap is usual.
const OVERLAP_SHARE: i128 = 8;

/// Returns the times that separate successive groups of parts. Each time is the start of a part. At
/// this time, the preceding group has enough rows per series, and all earlier parts have ended or
/// almost ended. The items of `parts` are time range, rows and series, sorted by start time.
pub(super) fn split_times(parts: impl Iterator<Item = (TimeRange, u64, u64)>) -> Vec<i64> {
    let (mut split_times, mut live) = (Vec::new(), Vec::<TimeRange>::new());
    let (mut rows, mut series) = (0_u64, 1);
    for (time, of_part, series_of_part) in parts {
        live.retain(|before| before.end_ns > time.start_ns);
        let is_nearly_through = |before: &TimeRange| {
            let [left_ns, length_ns] = [time.start_ns, before.start_ns]
                .map(|from_ns| i128::from(before.end_ns) - i128::from(from_ns));
            left_ns * OVERLAP_SHARE <= length_ns
        };
        if rows >= CHAINED_ROWS * series && live.iter().all(is_nearly_through) {
            split_times.push(time.start_ns);
            (rows, series) = (0, 1);
        }
        rows = rows.saturating_add(of_part);
        series = series.max(series_of_part);
        live.push(time);
    }
    split_times
}

/// Splits `time` so that each range overlaps at most about `PARTS_AT_ONCE` parts. `parts` must be
/// sorted by start time.
///
/// A split is between parts if possible. Otherwise, the split is at the start of a part, and parts
/// that contain this time are read in both ranges. A range overlaps more than about `PARTS_AT_ONCE`
/// parts only if that many parts contain the same time.
pub(super) fn cut(time: TimeRange, parts: &[TimeRange]) -> Vec<TimeRange> {
    let mut cuts = Vec::new();
    // The end times of the parts in the current range, the last gap between parts, and the number
    // of parts before the gap.
    let mut ends: Vec<i64> = Vec::new();
    let (mut gap_ns, mut behind) = (time.start_ns, 0);
    for part in parts {
        if ends.iter().all(|&end_ns| end_ns <= part.start_ns) {
            (gap_ns, behind) = (part.start_ns, ends.len());
        }
        let begun_ns = cuts.last().copied().unwrap_or(time.start_ns);
        if ends.len() >= PARTS_AT_ONCE && part.start_ns > begun_ns {
            if gap_ns > begun_ns {
                cuts.push(gap_ns);
                ends.drain(..behind);
            } else {
                cuts.push(part.start_ns);
                ends.retain(|&end_ns| end_ns > part.start_ns);
            }
            behind = 0;
        }
        ends.push(part.end_ns);
    }
    between(time, &cuts).collect()
}

/// Divides `time` at the ascending times `cuts`.
pub(super) fn between(time: TimeRange, cuts: &[i64]) -> impl Iterator<Item = TimeRange> {
    let ends_ns = cuts.iter().copied().chain([time.end_ns]);
    let starts_ns = [time.start_ns].into_iter().chain(cuts.iter().copied());
    let pieces = starts_ns.zip(ends_ns).map(|(start_ns, end_ns)| TimeRange::new(start_ns, end_ns));
    pieces.filter(|piece| !piece.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_parts_are_read_in_sequence() {
        let part = |start, end, rows| (TimeRange::new(start, end), rows, 10);
        let of = |parts: &[_]| split_times(parts.iter().copied());
        let many = 10 * CHAINED_ROWS;
        assert_eq!(of(&[part(0, 80, many), part(80, 160, many), part(160, 200, 1)]), [80, 160]);
        // The second flush contains rows from the end of the first part.
        assert_eq!(of(&[part(0, 80, many), part(70, 160, many)]), [70]);
        assert_eq!(of(&[part(0, 80, many), part(69, 160, many)]), [0; 0]);
        // The wide part continues after the end of the second part.
        assert_eq!(of(&[part(0, 900, many), part(10, 80, many), part(80, 160, many)]), [0; 0]);
        assert_eq!(of(&[part(0, 80, many - 1), part(80, 160, 1), part(160, 240, 1)]), [160]);
    }

    #[test]
    fn query_splits_between_disjoint_parts() {
        let all = TimeRange::new(0, 10_000);
        let part = |start, end| TimeRange::new(start, end);
        assert_eq!(cut(all, &[]), [all]);
        let pairs: Vec<TimeRange> = (0..100)
            .flat_map(|at| [part(at * 10, at * 10 + 8), part(at * 10 + 4, at * 10 + 10)])
            .collect();
        let pieces = cut(all, &pairs);
        assert_eq!((pieces.len(), pieces[0], pieces[3].end_ns), (4, part(0, 310), 10_000));
        for (a, b) in pieces.iter().zip(&pieces[1..]) {
            assert_eq!(a.end_ns, b.start_ns);
        }
        for piece in &pieces {
            assert!(pairs.iter().filter(|part| part.overlaps(piece)).count() <= PARTS_AT_ONCE);
            assert!(
                pairs
                    .iter()
                    .all(|part| part.intersect(piece).is_empty() || part.intersect(piece) == *part)
            );
        }
    }

    #[test]
    fn query_splits_overlapping_parts_at_starts() {
        let all = TimeRange::new(0, 10_000);
        let wide = (0..200).map(|at| TimeRange::new(at * 10, at * 10 + 10));
        let wide: Vec<TimeRange> = [all].into_iter().chain(wide).collect();
        let chain: Vec<TimeRange> =
            (0..200).map(|at| TimeRange::new(at * 10, at * 10 + 11)).collect();
        for parts in [wide, chain] {
            let pieces = cut(all, &parts);
            assert_eq!(pieces.len(), 4);
            assert_eq!((pieces[0].start_ns, pieces[3].end_ns), (0, 10_000));
            assert!(pieces.windows(2).all(|pair| pair[0].end_ns == pair[1].start_ns));
            for piece in &pieces {
                let count = parts.iter().filter(|part| part.overlaps(piece)).count();
                assert!(count <= PARTS_AT_ONCE, "{count}");
            }
        }
        // The query cannot be split at a time that all parts contain.
        let same = vec![TimeRange::new(0, 100); 200];
        assert_eq!(cut(all, &same), [all]);
    }
}
