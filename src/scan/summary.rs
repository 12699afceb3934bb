//! What exists: live measurements, columns, tag values and series, page by page.

use super::PageLimits;
use super::error::ScanError;
use super::page::{MeasurementSummary, SummaryPage};
use super::predicate::Filter;
use super::request::{Predicate, SummaryRequest, SummaryWant};
use super::series_index::{Place, SeriesIndex};
use super::source::{Part, Run, Source};
use crate::model::ids::{ColumnId, MeasurementId};
use crate::model::sorted_set::SortedSet;
use crate::model::time::TimeRange;

/// Bytes of a measurement on a page beside its items.
const MEASUREMENT_BYTES: usize = 32;

/// One page of what exists. A full page ends between two items.
pub(super) fn page(
    source: &mut dyn Source,
    request: &SummaryRequest,
    limits: PageLimits,
) -> Result<SummaryPage, ScanError> {
    let mut page = SummaryPage {
        measurements: Vec::new(),
        resume: None,
        stats: super::source::ReadStats::default(),
    };
    let mut bytes = 0;
    let (start, mut after) = match &request.resume {
        Some((position, last)) => (*position, Some(last)),
        None => (0, None),
    };
    for (position, &measurement) in (0..).zip(&request.measurements).skip(start as usize) {
        let has_items = matches!(request.want, SummaryWant::TagValues(_) | SummaryWant::Series(_));
        if bytes >= limits.bytes && !has_items && !page.measurements.is_empty() {
            page.resume = Some((position, Vec::new()));
            break;
        }
        let predicate = request.predicates.get(position as usize).and_then(Option::as_ref);
        let Some(series) = Live::find(source, measurement, request, predicate)? else {
            after = None;
            continue;
        };
        let (columns, items) = match &request.want {
            SummaryWant::Measurements => (Vec::new(), Vec::new()),
            SummaryWant::Columns => (series.columns(source, limits)?, Vec::new()),
            SummaryWant::TagValues(tags) => (Vec::new(), series.tag_values(of(tags, position))),
            SummaryWant::Series(tags) => (Vec::new(), series.rows(of(tags, position))),
        };
        bytes += MEASUREMENT_BYTES + 4 * columns.len();
        let skipped = after.take().map_or(0, |last| items.partition_point(|item| item <= last));
        let mut sent = Vec::new();
        for item in items.into_iter().skip(skipped) {
            if bytes >= limits.bytes && !sent.is_empty() {
                page.resume = sent.last().map(|last: &Vec<String>| (position, last.clone()));
                break;
            }
            bytes += item.iter().map(|text| text.len() + 4).sum::<usize>() + 4;
            sent.push(item);
        }
        page.measurements.push(MeasurementSummary { measurement, columns, items: sent });
        if page.resume.is_some() {
            break;
        }
    }
    page.stats = source.stats();
    Ok(page)
}

/// The tags asked for of one measurement.
fn of(tags: &[Vec<ColumnId>], position: u32) -> &[ColumnId] {
    tags.get(position as usize).map_or(&[], Vec::as_slice)
}

/// The live series of a measurement that match.
struct Live {
    index: SeriesIndex,
    series: Vec<usize>,
    /// Rows outside are not alive.
    kept: TimeRange,
}

impl Live {
    /// `None` when there is none.
    fn find(
        source: &mut dyn Source,
        measurement: MeasurementId,
        request: &SummaryRequest,
        predicate: Option<&Predicate>,
    ) -> Result<Option<Self>, ScanError> {
        let kept = TimeRange::new(request.kept_from_ns.unwrap_or(i64::MIN), i64::MAX);
        let mut filter = Filter::compile(predicate)?;
        let parts = source.parts(measurement, request.time.intersect(&kept))?;
        let index = SeriesIndex::build(parts, &[], &mut filter);
        let mut series = Vec::new();
        for number in 0..if index.groups() > 0 { index.group(0).end } else { 0 } {
            if is_live(source, &index, number, (request.time, kept))? {
                series.push(number);
            }
        }
        Ok((!series.is_empty()).then_some(Self { index, series, kept }))
    }

    /// Fields and tags that a live series has, ascending.
    fn columns(
        &self,
        source: &mut dyn Source,
        limits: PageLimits,
    ) -> Result<Vec<ColumnId>, ScanError> {
        let tags = self.index.tag_ids().iter().copied();
        let has = |tag: &ColumnId| self.series.iter().any(|&s| !self.index.tag(s, *tag).is_empty());
        let mut columns: SortedSet<ColumnId> = tags.filter(has).collect();
        let places = || self.series.iter().flat_map(|&series| self.index.places(series));
        let parts = self.index.parts();
        for place in places() {
            if let Some(part) = parts.get(place.part as usize).filter(|p| is_whole(p, self.kept)) {
                columns.extend(part.field_ids.iter().copied());
            }
        }
        for place in places() {
            let Some(part) = parts.get(place.part as usize).filter(|p| !is_whole(p, self.kept))
            else {
                continue;
            };
            for &field in part.field_ids.iter() {
                if columns.contains(&field) {
                    continue;
                }
                // Past a page's budget a field counts as alive until compaction settles it.
                if source.stats().bytes_decoded > limits.decoded_bytes
                    || has_value(source, place, field, self.kept)?
                {
                    columns.insert(field);
                }
            }
        }
        Ok(columns.into_iter().collect())
    }

    /// `[position of the tag, value]`, ascending by position as a number, then by value.
    fn tag_values(&self, tags: &[ColumnId]) -> Vec<Vec<String>> {
        let mut items = Vec::new();
        for (position, &tag) in tags.iter().enumerate() {
            let values: SortedSet<&str> =
                self.series.iter().map(|&series| self.index.tag(series, tag)).collect();
            let present = values.into_iter().filter(|value| !value.is_empty());
            // Fixed width, so that the order as text is the order of the numbers.
            items.extend(present.map(|value| vec![format!("{position:05}"), value.to_owned()]));
        }
        items
    }

    /// The values of these tags, once per distinct combination.
    fn rows(&self, tags: &[ColumnId]) -> Vec<Vec<String>> {
        let row = |&series: &usize| -> Vec<String> {
            tags.iter().map(|&tag| self.index.tag(series, tag).to_owned()).collect()
        };
        let rows: SortedSet<Vec<String>> = self.series.iter().map(row).collect();
        rows.into_iter().collect()
    }
}

/// Whether every row of the part is alive.
fn is_whole(part: &Part, kept: TimeRange) -> bool {
    !part.tombstones && kept.start_ns <= part.time.start_ns
}

/// Whether a series has a row that tombstones and retention leave. Inside the first of the ranges
/// as exactly as headers tell, inside the second exactly.
fn is_live(
    source: &mut dyn Source,
    index: &SeriesIndex,
    series: usize,
    (time, kept): (TimeRange, TimeRange),
) -> Result<bool, ScanError> {
    let part = |number: u32| index.parts().get(number as usize);
    if index.places(series).iter().any(|place| part(place.part).is_some_and(|p| is_whole(p, kept)))
    {
        return Ok(true);
    }
    let inside = time.intersect(&kept);
    for place in index.places(series) {
        let (part, series) = (place.part as usize, place.series);
        let is_live = match source.is_live(part, series, inside) {
            Some(known) => known,
            None => {
                let runs = source.runs(part, series, inside, &[])?;
                runs.into_iter().any(|run| run.trim(inside).is_some())
            }
        };
        if is_live {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a series has a value of `field` inside `time`.
fn has_value(
    source: &mut dyn Source,
    place: &Place,
    field: ColumnId,
    time: TimeRange,
) -> Result<bool, ScanError> {
    let runs = source.runs(place.part as usize, place.series, time, &[field])?;
    let is_valid = |run: Run| {
        let mut columns = run.block.columns.iter().filter(|(id, _)| *id == field);
        columns.any(|(_, column)| run.rows.clone().any(|row| column.validity.is_valid(row)))
    };
    Ok(runs.into_iter().filter_map(|run| run.trim(time)).any(is_valid))
}
