//! Tests parts with production limits: long series, many series, wide pages and long text.

use super::*;
use crate::batch::column::{Column, Values as ColumnValues};
use crate::merge::cursor::{Columns, PageColumn, PageKeys};
use crate::part::{PAGE_ROWS_MAX, VALUE_BYTES_MAX};
use tidemark_model::value::FieldType;

struct Made {
    keys: Vec<SeriesKey>,
    at: usize,
    is_read: bool,
    columns: Columns,
    times_ns: Rc<[i64]>,
    column: Rc<Column>,
}

impl Made {
    fn new(series: u32, rows: usize, columns: u32, column: Column) -> Self {
        let key = |at: u32| SeriesKey::new(MeasurementId(1), [format!("host{at:08}").as_str()]);
        let field_type = column.values.field_type();
        Self {
            keys: (0..series).map(key).collect(),
            at: 0,
            is_read: false,
            columns: (0..columns).map(|id| (ColumnId(id), field_type)).collect(),
            times_ns: (0..rows as i64).map(|at| at * 10).collect(),
            column: Rc::new(column),
        }
    }

    fn merge(self) -> Merge<Self> {
        Merge::new(vec![(1, self)], Direction::Ascending).unwrap()
    }
}

impl SeriesCursor for Made {
    fn key(&self) -> Option<&SeriesKey> {
        self.keys.get(self.at)
    }

    fn seek(&mut self, to: &SeriesKey) -> Result<(), ReadError> {
        self.at = self.keys.partition_point(|key| key < to).max(self.at);
        self.is_read = false;
        Ok(())
    }

    fn step(&mut self) -> Result<(), ReadError> {
        (self.at, self.is_read) = (self.at + 1, false);
        Ok(())
    }

    fn page(&mut self, time: TimeRange) -> Result<Option<PageKeys>, ReadError> {
        if std::mem::replace(&mut self.is_read, true) {
            return Ok(None);
        }
        let rows = 0..self.times_ns.len() as u32;
        let (columns, times_ns) = (Rc::clone(&self.columns), Rc::clone(&self.times_ns));
        Ok(PageKeys::new(self.at as u64, columns, times_ns, rows).within(time))
    }

    fn has_rows(&mut self, time: TimeRange) -> Result<bool, ReadError> {
        Ok(self.times_ns.iter().any(|&time_ns| time.contains(time_ns)))
    }

    fn column(&mut self, _: &PageKeys, _: ColumnId) -> Result<Option<PageColumn>, ReadError> {
        Ok(Some(PageColumn::Wide(Rc::clone(&self.column))))
    }
}

fn whole(made: Made) -> (Vec<Value>, Written, (u64, usize)) {
    let mut writer = PartWriter::new(Limits::default(), SEED);
    writer.begin(1, Sequences { lo: 1, hi: 1, applied: 0 });
    let limits = Limits::default();
    let mut groups = Groups::new(made.merge(), limits, TimeRange::ALL, None).unwrap();
    let mut largest = (0, 0);
    while let Some(group) = groups.next(&mut tag_order).unwrap() {
        largest = (largest.0.max(group.cells()), largest.1.max(group.bytes()));
        writer.add(&group);
    }
    let part = writer.end().unwrap();
    let values = writer.finish();
    for value in &values {
        assert!(value.head(u64::MAX).len() + value.body.len() <= VALUE_BYTES_MAX);
        assert!(
            value.directory.groups.iter().all(|group| {
                group.pages.iter().all(|page| page.rows as usize <= PAGE_ROWS_MAX)
            })
        );
    }
    (values, part, largest)
}

fn random(rows: usize) -> Column {
    let mut rng = Rng::with_seed(1);
    Column::full(ColumnValues::Float((0..rows).map(|_| rng.f64()).collect()))
}

fn rows_of(values: &[Value], part: &Written, columns: u32) -> usize {
    let of = Bytes::new(values).of(part);
    let mut cursor = PartCursor::new(of, part.id, Direction::Ascending, None).unwrap();
    let mut rows = 0;
    while cursor.key().is_some() {
        while let Some(page) = cursor.page(TimeRange::ALL).unwrap() {
            rows += page.times_ns().len();
            for id in 0..columns {
                let column = cursor.column(&page, ColumnId(id)).unwrap().unwrap().into_column();
                assert_eq!(column.len() as u32, page.page_rows());
            }
        }
        cursor.step().unwrap();
    }
    rows
}

#[test]
fn part_writer_bounds_work_per_group() {
    // An event may process 2 million cells and 4 MB, so another group fits into the event.
    for (series, rows, columns) in
        [(40, 5_000, 10), (1, 100_000, 1), (30_000, 1, 1), (60, 100, 900)]
    {
        let (values, part, (cells, bytes)) = whole(Made::new(series, rows, columns, random(rows)));
        assert_eq!(part.rows, u64::from(series) * rows as u64);
        assert_eq!(part.series, u64::from(series));
        assert_eq!(rows_of(&values, &part, columns), part.rows as usize);
        assert!(cells < 1_000_000 && bytes < 5_300_000, "{cells} {bytes}");
    }
}

#[test]
fn oversized_row_spans_several_values() {
    let text = "x".repeat(700_000);
    let column = Column::full(ColumnValues::String([text.as_str()].into_iter().collect()));
    let (values, part, _) = whole(Made::new(3, 1, 9, column));
    assert!(values.len() > 9 && part.values == (0..values.len()));
    assert_eq!((part.rows, part.series), (3, 3));
    let of = Bytes::new(&values).of(&part);
    for direction in [Direction::Ascending, Direction::Descending] {
        for from in [None, Some(SeriesKey::new(MeasurementId(1), ["host00000001"]))] {
            let mut cursor = PartCursor::new(of.clone(), 1, direction, from.as_ref()).unwrap();
            let mut series = 0;
            while cursor.key().is_some() {
                let page = cursor.page(TimeRange::ALL).unwrap().unwrap();
                for id in (0..9).rev() {
                    let column = cursor.column(&page, ColumnId(id)).unwrap().unwrap().into_column();
                    let expected = Some(FieldValue::String(text.as_str().into()));
                    assert_eq!(column.get(0), expected);
                }
                assert_eq!(cursor.column(&page, ColumnId(9)), Ok(None));
                series += 1;
                cursor.step().unwrap();
            }
            assert_eq!(series, if from.is_some() { 2 } else { 3 });
        }
    }
}

#[test]
fn strings_limit_page_and_stay_encoded() {
    let long = "y".repeat(1_000);
    let texts = (0..1_000).map(|at| if at % 2 == 0 { long.as_str() } else { "z" });
    let (values, part, _) =
        whole(Made::new(2, 1_000, 1, Column::full(ColumnValues::String(texts.collect()))));
    assert!(values[0].directory.groups[0].pages.len() >= 4);
    let of = Bytes::new(&values).of(&part);
    let mut cursor = PartCursor::new(of, 1, Direction::Ascending, None).unwrap();
    let page = cursor.page(TimeRange::ALL).unwrap().unwrap();
    let column = cursor.column(&page, ColumnId(0)).unwrap().unwrap().into_column();
    assert_eq!(column.values.field_type(), FieldType::String);
    assert!(column.bytes() < 10_000, "{}", column.bytes());
}

#[test]
fn seek_to_series_reads_few_blocks() {
    let (values, part, _) = whole(Made::new(30_000, 20, 4, random(20)));
    let bytes = Bytes::new(&values).of(&part);
    let reads = Rc::new(Cell::new((0, 0)));
    let counted = Counted { bytes, reads: Rc::clone(&reads) };
    let key = SeriesKey::new(MeasurementId(1), ["host00012345"]);
    let mut cursor = PartCursor::new(counted, 1, Direction::Ascending, Some(&key)).unwrap();
    assert_eq!(cursor.key(), Some(&key));
    assert_eq!(rows(&mut cursor, TimeRange::ALL, Direction::Ascending).len(), 20);
    assert!(values.len() > 4);
    let (directories, blocks) = reads.get();
    // At most two directories, a series block, the keys of two pages, and the pages' columns.
    assert!(directories <= 2 && blocks <= 11, "{directories} {blocks}");
}

#[test]
fn row_with_too_much_text_is_not_merged() {
    let text = "x".repeat(1_000_000);
    let part = |first: u32| {
        let column = Column::full(ColumnValues::String([text.as_str()].into_iter().collect()));
        let mut made = Made::new(1, 1, 0, column);
        made.columns = (first..first + 12).map(|id| (ColumnId(id), FieldType::String)).collect();
        let (values, part, _) = whole(made);
        let values = Bytes::new(&values).of(&part);
        PartCursor::new(values, part.id, Direction::Ascending, None).unwrap()
    };
    for (parts, expected) in [(2, Ok(())), (3, Err(ReadError::TooMuchText))] {
        let cursors = (1..).zip((0..parts).map(|number| part(12 * number))).collect();
        let merge = Merge::new(cursors, Direction::Ascending).unwrap();
        let mut groups = Groups::new(merge, Limits::default(), TimeRange::ALL, None).unwrap();
        assert_eq!(groups.next(&mut tag_order).map(drop), expected, "{parts} parts");
    }
}
