//! Reads the contents of a shard row by row.

use tidemark_engine::merge::cursor::{Direction, ReadError};
use tidemark_engine::merge::key::SeriesKey;
use tidemark_engine::scan::reader::Reader;
use tidemark_model::ids::{ColumnId, MeasurementId};
use tidemark_model::time::TimeRange;
use tidemark_model::value::FieldValue;

/// The non-empty tags of the series in ascending order of id, the time, and the values.
pub(crate) type Row<'a> = (&'a [(ColumnId, String)], i64, Vec<(ColumnId, FieldValue)>);

/// Calls `see` with each row of the measurement that has a value in `columns`.
pub(crate) fn every_row(
    reader: &dyn Reader,
    measurement: MeasurementId,
    time: TimeRange,
    columns: &[ColumnId],
    see: &mut dyn FnMut(Row<'_>),
) -> Result<(), ReadError> {
    let order = reader.tag_order(measurement)?;
    for stretch in reader.stretches(time)? {
        let from = SeriesKey::new(measurement, []);
        let mut merge = reader.merge(&[measurement], stretch, Direction::Ascending, &from)?;
        while let Some(key) = merge.next_series()? {
            if key.measurement() != measurement {
                break;
            }
            let values = key.values().map(|value| value.into_owned());
            let mut tags: Vec<(ColumnId, String)> = order.iter().copied().zip(values).collect();
            tags.retain(|(_, value)| !value.is_empty());
            tags.sort();
            let mut before = i64::MIN;
            while let Some(rows) = merge.next_rows(stretch)? {
                let mut read = Vec::new();
                for &id in columns {
                    read.extend(merge.column(&rows, id)?.map(|column| (id, column)));
                }
                for (row, &time_ns) in rows.times_ns().iter().enumerate() {
                    assert!(stretch.contains(time_ns) && before < time_ns, "{before} {time_ns}");
                    before = time_ns;
                    let value = |(id, column): &(ColumnId, _)| {
                        let column: &std::rc::Rc<tidemark_engine::batch::column::Column> = column;
                        Some((*id, column.get(row)?))
                    };
                    see((&tags, time_ns, read.iter().filter_map(value).collect()));
                }
            }
        }
    }
    Ok(())
}

/// Returns the number of parts with rows of the measurement inside `time`. The memtable counts as
/// one part.
pub(crate) fn part_count(
    reader: &dyn Reader,
    measurement: MeasurementId,
    time: TimeRange,
) -> Result<usize, ReadError> {
    let stored = reader.stored(measurement, time)?;
    Ok(stored.files as usize + usize::from(stored.cached_rows > 0))
}
