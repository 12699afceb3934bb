//! Combines frames with different tags and columns in one table.

use super::*;
use crate::batch::order::Distinct;
use crate::batch::slabs::Layout;
use tidemark_model::ids::ColumnId;
use tidemark_model::time::TimeRange;
use tidemark_model::value::FieldValue;

const MEASUREMENT: MeasurementId = MeasurementId(3);

/// The tags, the time and the fields, whose ids must belong to integers.
type Row<'a> = (&'a [(u32, &'a str)], i64, &'a [(u32, i64)]);

/// Builds a frame with one row per series.
fn frame(rows: &[Row<'_>]) -> FrameTable {
    let ids = |pick: fn(&Row<'_>) -> Vec<u32>| {
        let mut ids: Vec<u32> = rows.iter().flat_map(pick).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    };
    let tag_ids = ids(|row| row.0.iter().map(|tag| tag.0).collect());
    let field_ids = ids(|row| row.2.iter().map(|field| field.0).collect());
    let row = |(tags, time_ns, fields): &Row<'_>| {
        let tags = tags.iter().map(|&(id, value)| (id, value.to_owned())).collect();
        let fields = fields.iter().map(|&(id, value)| (id, FieldValue::Integer(value))).collect();
        (tags, *time_ns, fields)
    };
    let rows: Vec<_> = rows.iter().map(row).collect();
    cursor::tests::frame(MEASUREMENT.0, &tag_ids, &field_ids, &rows)
}

#[test]
fn memtable_reports_known_series() {
    let mut memtable = Memtable::new(1);
    memtable
        .append(&frame(&[(&[(1, "a")], 10, &[(11, 1)]), (&[(1, "b"), (2, "x")], 1, &[(11, 2)])]));
    memtable.append(&frame(&[(&[], 10, &[(11, 1)])]));
    let known_series =
        |rows: &[Row<'_>]| memtable.table(MEASUREMENT).unwrap().known_series(&frame(rows));
    let rows: [Row<'_>; 7] = [
        (&[(2, "x"), (1, "b")], 1, &[(6, 1)]),
        (&[(1, "a")], 1, &[(11, 1)]),
        (&[(1, "b")], 1, &[(11, 1)]),
        (&[(1, "a"), (2, "x")], 1, &[(11, 1)]),
        (&[(1, "a"), (3, "new")], 1, &[(11, 1)]),
        (&[(1, "c")], 1, &[(11, 1)]),
        (&[], 1, &[(11, 1)]),
    ];
    assert_eq!(known_series(&rows), [true, true, false, false, false, false, true]);
}

#[test]
fn frames_with_different_tags_share_series() {
    let mut memtable = Memtable::new(1);
    memtable.append(&frame(&[(&[(1, "a")], 10, &[(11, 1)]), (&[(1, "b")], 11, &[(11, 2)])]));
    memtable.append(&frame(&[
        (&[(2, "x")], 5, &[(6, 3)]),
        (&[(1, "b")], 12, &[(6, 4)]),
        (&[(1, "a"), (2, "x")], 13, &[(11, 5), (6, 6)]),
    ]));
    let table = memtable.table(MEASUREMENT).unwrap();
    assert_eq!(table.tag_ids(), [ColumnId(1), ColumnId(2)]);
    let series = table.series();
    let tags = |s| (series.tags[0].get(s), series.tags[1].get(s));
    let all: Vec<_> = (0..series.len as usize).map(tags).collect();
    assert_eq!(all, [("a", ""), ("b", ""), ("", "x"), ("a", "x")]);
    assert!(table.row_series().iter().eq(&[0, 1, 2, 1, 3]));
    assert_eq!(table.time(), TimeRange::new(5, 14));
    let rows = Distinct::of_distinct((0..5).collect());
    let layout = Layout::new(table.fields(), rows);
    let values = |id: u32| -> Vec<Option<i64>> {
        let column = layout.field(ColumnId(id)).unwrap().gather(0..5);
        (0..5)
            .map(|row| match column.get(row) {
                Some(FieldValue::Integer(value)) => Some(value),
                _ => None,
            })
            .collect()
    };
    assert_eq!(values(11), [Some(1), Some(2), None, None, Some(5)]);
    assert_eq!(values(6), [None, None, Some(3), Some(4), Some(6)]);
    assert!(memtable.bytes() > 6 * 8 * 3);
}

#[test]
fn size_equals_sum_of_measurements() {
    let mut memtable = Memtable::new(1);
    for measurement in [3, 4, 3, 5, 3] {
        let mut frame = frame(&[(&[(1, "a")], 10, &[(11, 1)]), (&[(1, "b")], 11, &[(6, 2)])]);
        frame.measurement = MeasurementId(measurement);
        memtable.append(&frame);
    }
    let bytes: usize = memtable.tables().map(|(_, table)| TABLE_BYTES + table.bytes()).sum();
    assert_eq!((memtable.bytes(), memtable.series()), (bytes, 6));
}
