//! Cuts the rows of a group into pages.

use super::Rows;
use crate::batch::column_bytes;
use crate::codec::draft::Draft;
use crate::merge::kway::SourcePage;
use crate::part::writer::encode::has_value;

#[derive(Clone, Debug, Default)]
pub(in crate::part::writer) struct Cut {
    pub(in crate::part::writer) rows: std::ops::Range<usize>,
    pub(in crate::part::writer) first_series: u32,
    /// The number of rows of each series, starting with `first_series`.
    pub(in crate::part::writer) counts: Vec<i64>,
    pub(in crate::part::writer) stored: Option<SourcePage>,
}

impl Rows {
    /// A remainder that is too small for a page remains open, unless it ends the group.
    pub(super) fn cut(&mut self, is_end_of_series: bool, is_last: bool) {
        let (most, runs) = (self.page_rows_max(), std::mem::take(&mut self.runs));
        let mut page = Cut { rows: self.cut_rows..self.cut_rows, ..Cut::default() };
        let (mut row, mut bytes) = (0, 0);
        for (at, &(series, rows)) in runs.iter().enumerate() {
            let is_whole = at + 1 < runs.len() || is_end_of_series;
            bytes += self.keys.get(series as usize).map_or(0, |key| key.as_bytes().len());
            let mut left = rows as usize;
            while left > 0 {
                let room = most - page.rows.len();
                let taken = self.fitting(row, left.min(room), &mut bytes);
                if page.counts.is_empty() {
                    page.first_series = series;
                }
                let place = (series - page.first_series) as usize;
                page.counts.resize(place + 1, 0);
                if let Some(count) = page.counts.last_mut() {
                    *count += taken as i64;
                }
                (row, left) = (row + taken, left - taken);
                page.rows.end += taken;
                let is_full = page.rows.len() >= most || bytes >= self.limits.page_text_bytes;
                if is_full
                    || left == 0 && is_whole && page.rows.len() >= self.limits.page_rows_enough
                {
                    let next = page.rows.end..page.rows.end;
                    self.close(std::mem::replace(&mut page, Cut { rows: next, ..Cut::default() }));
                    (row, bytes) = (0, 0);
                }
            }
        }
        if is_last && !page.rows.is_empty() {
            self.close(page);
            bytes = 0;
        } else {
            let counts = (page.first_series..).zip(&page.counts);
            self.runs = counts.map(|(series, &rows)| (series, rows as u32)).collect();
        }
        self.open_bytes = bytes;
    }

    /// Returns the number of rows, at least 1, that fit into a page with `bytes` bytes of text.
    fn fitting(&self, first: usize, rows: usize, bytes: &mut usize) -> usize {
        if self.text_bytes.is_empty() {
            return rows;
        }
        for taken in 1..=rows {
            *bytes += self.text_bytes.get(first + taken - 1).map_or(0, |&bytes| bytes as usize);
            if *bytes >= self.limits.page_text_bytes {
                return taken;
            }
        }
        rows
    }

    fn close(&mut self, page: Cut) {
        let rows = page.rows.len();
        let rest: Vec<u32> = (rows as u32..self.open_rows as u32).collect();
        for text in &mut self.texts {
            text.drafts.push(match has_value(&text.open, 0..rows) {
                true => column_bytes::draft_rows(&text.open, 0..rows),
                false => Draft::default(),
            });
            text.open = text.open.gather(&rest);
        }
        self.text_bytes.drain(..rows.min(self.text_bytes.len()));
        self.open_rows -= rows;
        self.cut_rows += rows;
        self.cuts.push(page);
    }
}
