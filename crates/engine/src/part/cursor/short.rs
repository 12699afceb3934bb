//! Reads several short series of a page in one call.

use std::rc::Rc;

use super::{PartCursor, name};
use crate::merge::cursor::{Direction, ReadError, RunLimits, SeriesCursor, ShortSeries};
use crate::merge::key::SeriesKey;
use crate::part::directory::Group;
use crate::part::values::Values;

impl<V: Values> PartCursor<V> {
    pub(super) fn pass_short_series(
        &mut self,
        limits: &RunLimits<'_>,
    ) -> Result<Option<ShortSeries>, ReadError> {
        if self.direction == Direction::Descending || self.key.is_none() {
            return Ok(None);
        }
        let directory = Rc::clone(&self.directory);
        let Some(group) = directory.groups.get(self.group) else { return Ok(None) };
        let Some((at, end)) = self.only_page(group) else { return Ok(None) };
        let Some(page) = group
            .pages
            .get(at)
            .filter(|page| limits.time.contains(page.min_ns) && limits.time.contains(page.max_ns))
        else {
            return Ok(None);
        };
        let name = name(self.value, self.group, at);
        let keys = self.row_keys(name, group)?.clone();
        let Some(((_, _, block), series)) = self.block.clone() else { return Ok(None) };
        let Some(block) = group.series.get(block) else { return Ok(None) };
        let (first, end) = (self.series, end.min(block.first.saturating_add(block.series)));
        let mut key = SeriesKey::new(group.measurement, []);
        let row = |series: u32| keys.end_of(series.saturating_sub(page.first_series) as usize);
        let start = first.checked_sub(1).filter(|before| *before >= page.first_series);
        let passed = ShortSeries::gather(
            limits,
            start.and_then(row).unwrap_or_default(),
            |passed| {
                let at = Some(first + passed as u32).filter(|at| *at < end)?;
                series.set_key(
                    group.measurement,
                    at.saturating_sub(block.first) as usize,
                    &mut key,
                );
                Some((key.clone(), row(at)?))
            },
            |of| keys.of_rows(of, name, &group.columns),
        );
        if let Some(passed) = &passed {
            self.series = first + passed.series.len().saturating_sub(1) as u32;
            self.step()?;
        }
        Ok(passed)
    }

    /// Returns the page with all rows of the current series, and the first series that has more
    /// pages.
    fn only_page(&self, group: &Group) -> Option<(usize, u32)> {
        let pages = group.pages_of(self.series);
        let (at, page) = (pages.start, group.pages.get(pages.start)?);
        let continues = group.continues() && self.series == 0;
        let goes_on = match group.pages.get(at + 1) {
            Some(next) => next.first_series == page.last_series(),
            None => group.continues_group(),
        };
        let end = (page.last_series() + 1).saturating_sub(u32::from(goes_on));
        (!continues && self.series < end).then_some((at, end))
    }
}
