//! Counts the series and the stored data that a scan would read, without reading rows.

use std::collections::BTreeSet;

use super::error::ScanError;
use super::keys::{KeyFilter, NextSeries};
use super::page::{SKIPPED_KEY_CELLS, ScanPage};
use super::predicate::Filter;
use super::read_stats::ReadStats;
use super::reader::{Reader, Stored};
use super::request::{Position, ScanRequest};
use crate::merge::cursor::Direction;
use crate::merge::key::SeriesKey;
use tidemark_model::regex::Patterns;

/// The maximum cost of the series keys that a page reads, including the keys of excluded series.
const CELLS_MAX: u64 = 20_000 * SKIPPED_KEY_CELLS;

/// Returns a page without groups. The page's statistics are the amount of data that a scan would
/// read, and the page's position is the last series that was counted.
pub fn explain(reader: &dyn Reader, request: &ScanRequest) -> Result<ScanPage, ScanError> {
    let order = reader.tag_order(request.measurement)?;
    let (mut last, mut stored) = (None, Stored::default());
    match &request.resume.position {
        Some(position) => {
            let key = SeriesKey::from_bytes(position.series.clone());
            let key = key.filter(|_| order.starts_with(&position.order));
            last = Some(key.ok_or(ScanError::Reordered)?);
        }
        // Only the first page describes the stored data.
        None => stored = reader.stored(request.measurement, request.time)?,
    }
    let patterns = Patterns::limited();
    let filter = Filter::compile(request.predicate.as_ref(), &patterns)?;
    let mut keys = KeyFilter::new(request.measurement, Direction::Ascending, &filter, order);
    let stretches = reader.stretches(request.time)?;
    let cells_max = CELLS_MAX / (stretches.len() as u64).max(1);
    let from = last.clone().unwrap_or_else(|| keys.first());
    // A series counts once, even if several stretches contain it.
    let (mut series, mut end, mut matching) = (BTreeSet::new(), None, 0);
    for &stretch in &stretches {
        let measurement = [request.measurement];
        let mut merge = reader.merge(&measurement, stretch, Direction::Ascending, &from)?;
        let mut cells = 0;
        loop {
            let next = keys.next(&mut merge, reader)?;
            cells += std::mem::take(&mut keys.cells);
            let key = match next {
                NextSeries::Matching(key) => {
                    cells += SKIPPED_KEY_CELLS;
                    matching += 1;
                    series.insert(key.clone());
                    key
                }
                NextSeries::Skipped(key) => key,
                NextSeries::End => break,
            };
            // The page ends at the same key in all stretches.
            if end.as_ref().is_some_and(|end| key >= *end) {
                break;
            }
            // Each page passes at least one further series.
            if cells > cells_max && Some(&key) != last.as_ref() {
                end = Some(key);
                break;
            }
        }
    }
    series.retain(|key| Some(key) != last.as_ref() && end.as_ref().is_none_or(|end| key <= end));
    let Stored { files, blocks, block_bytes, cached_rows } = stored;
    let (cells, series) = (matching, series.len() as u64);
    let stats =
        ReadStats { series, files, blocks, block_bytes, cached_rows, cells, ..reader.stats() };
    let position = end.map(|end| Position {
        order: keys.tags.order().to_vec(),
        stretch: request.time,
        series: end.as_bytes().to_vec(),
        time_ns: None,
    });
    Ok(ScanPage { position, stats, ..ScanPage::default() })
}
