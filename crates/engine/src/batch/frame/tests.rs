//! Tests that frames preserve their rows, and that damaged bytes cause no panic.

use std::collections::BTreeMap;

use super::*;
use crate::batch::bitmap::Validity;
use crate::batch::column::{Column, Values};
use crate::batch::selection::Selection;
use crate::batch::series_table::{SeriesTable, TagColumn};
use crate::batch::{Block, FrameTable};
use tidemark_model::ids::{ColumnId, MeasurementId};
use tidemark_model::value::{FieldType, FieldValue};

type Row = (Vec<(u32, String)>, i64, Vec<(u32, FieldValue)>);

fn rows_of(tag_ids: &[ColumnId], field_ids: &[ColumnId], block: &Block, rows: &[u32]) -> Vec<Row> {
    rows.iter()
        .map(|&row| {
            let row = row as usize;
            let series = block.row_series[row] as usize;
            let tags = tag_ids.iter().zip(&block.series.tags);
            let fields = field_ids.iter().zip(&block.fields);
            (
                tags.map(|(id, tag)| (id.0, tag.get(series).to_owned()))
                    .filter(|(_, value)| !value.is_empty())
                    .collect(),
                block.times_ns[row],
                fields.filter_map(|(id, column)| Some((id.0, column.get(row)?))).collect(),
            )
        })
        .collect()
}

fn random_block(random: &mut fastrand::Rng) -> Block {
    let n_series = random.u32(1..20);
    let tags = (0..random.usize(0..4))
        .map(|_| TagColumn {
            dictionary: ["a", "bb", "ü", "d"].into_iter().collect(),
            codes: (0..n_series).map(|_| random.u32(0..=4)).collect(),
        })
        .collect();
    let rows = random.usize(0..300);
    let fields = (0..random.u8(0..7))
        .map(|_| {
            let mut column = Column::new(FieldType::from_code(random.u8(0..5)).unwrap());
            let nulls = random.u8(0..4) * 80;
            for _ in 0..rows {
                if random.u8(..) < nulls {
                    column.push_null();
                    continue;
                }
                let value = match column.values.field_type() {
                    FieldType::Float => Values::Float(vec![random.i32(0..999).into()]),
                    FieldType::Integer => Values::Integer(vec![random.i64(-9..9)]),
                    FieldType::Unsigned => Values::Unsigned(vec![random.u64(..)]),
                    FieldType::String => Values::String(["x", ""].into_iter().collect()),
                    FieldType::Boolean => Values::Boolean(vec![random.bool()]),
                };
                column.push_from(&Column::full(value), 0);
            }
            column
        })
        .collect();
    Block {
        series: SeriesTable { tags, len: n_series },
        row_series: (0..rows).map(|_| random.u32(0..n_series)).collect(),
        times_ns: (0..rows).map(|_| random.i64(0..40) * 1_000_000).collect(),
        fields,
    }
}

fn ids(n: usize) -> Vec<ColumnId> {
    (0..n as u32).map(|id| ColumnId(id * 3 + 1)).collect()
}

type Overlaid = BTreeMap<(Vec<(u32, String)>, i64), BTreeMap<u32, FieldValue>>;

fn overlaid(rows: impl IntoIterator<Item = Row>) -> Overlaid {
    let mut all = Overlaid::new();
    for (tags, time_ns, fields) in rows {
        all.entry((tags, time_ns)).or_default().extend(fields);
    }
    all
}

/// Returns the rows in order of their series numbers, but the rows of a repeated series last.
fn expected(block: &Block, rows: &Selection) -> Vec<Row> {
    let mut rows = rows.to_rows(block.rows());
    rows.sort_by_key(|&row| block.row_series[row as usize]);
    rows_of(&ids(block.series.tags.len()), &ids(block.fields.len()), block, &rows)
}

fn found(table: &FrameTable) -> Vec<Row> {
    let all = Selection::All.to_rows(table.block.rows());
    rows_of(&table.tag_ids, &table.field_ids, &table.block, &all)
}

#[test]
fn frame_round_trips_selected_rows() {
    let mut random = fastrand::Rng::with_seed(11);
    let mut split = 0;
    for _ in 0..400 {
        let blocks = [random_block(&mut random), random_block(&mut random)];
        let selections = blocks.each_ref().map(|block| match random.bool() {
            true => Selection::All,
            false => {
                let rows = 0..block.rows() as u32;
                Selection::Rows(rows.filter(|_| random.u8(..) > 100).collect())
            }
        });
        let tag_ids = blocks.each_ref().map(|block| ids(block.series.tags.len()));
        let field_ids = blocks.each_ref().map(|block| ids(block.fields.len()));
        let tables: Vec<TableRef<'_>> = (0..2)
            .map(|i| TableRef {
                measurement: MeasurementId(i as u32 + 5),
                tag_ids: &tag_ids[i],
                field_ids: &field_ids[i],
                block: &blocks[i],
                rows: &selections[i],
            })
            .collect();
        let mut bytes = Vec::new();
        encode(&tables, &mut bytes);
        let header = FrameHeader::read(&bytes).unwrap();
        let decoded = decode(&bytes).unwrap();
        for (table, header) in decoded.iter().zip(&header.tables) {
            check_table(table, header);
        }
        for source in &tables {
            let of_it = |table: &&FrameTable| table.measurement == source.measurement;
            let tables: Vec<&FrameTable> = decoded.iter().filter(of_it).collect();
            let expected = overlaid(expected(source.block, source.rows));
            assert_eq!(overlaid(tables.iter().flat_map(|table| found(table))), expected);
            if tables.len() > 1 {
                split += 1;
                let backwards = tables.iter().rev().flat_map(|table| found(table));
                assert_eq!(overlaid(backwards), expected, "the order of tables decides");
            }
        }
        for cut in [0, 3, bytes.len() / 2, bytes.len() - 1] {
            assert!(decode(&bytes[..cut]).is_err());
        }
        damage(&bytes, &mut random);
    }
    assert!(split > 20, "{split} blocks were padded too much");
}

fn check_table(table: &FrameTable, header: &TableHeader) {
    let block = &table.block;
    let rows = block.rows();
    let times = &block.times_ns;
    assert_eq!(header.min_time_ns, *times.iter().min().unwrap());
    assert_eq!(header.max_time_ns, *times.iter().max().unwrap());
    assert_eq!(header.rows as usize, rows);
    assert!(block.row_series.is_sorted(), "grouped by series");
    let types = block.fields.iter().map(|column| column.values.field_type());
    let fields: Vec<_> = table.field_ids.iter().copied().zip(types).collect();
    assert_eq!(header.fields, fields);
    assert!(block.fields.iter().all(|column| column.validity.nulls(rows) < rows));
    assert!(block.series.tags.iter().all(|tag| tag.codes.iter().any(|&code| code > 0)));
    assert!((0..block.series.len).all(|series| block.row_series.contains(&series)));
}

fn damage(bytes: &[u8], random: &mut fastrand::Rng) {
    for _ in 0..20 {
        let mut bytes = bytes.to_vec();
        let at = random.usize(0..bytes.len());
        bytes[at] ^= random.u8(1..);
        // The header has a checksum. The decoder may miss a change in the payload.
        let start = FrameHeader::read(&bytes).map(|header| header.payload_start as usize);
        assert!(start.is_err() || at >= start.unwrap());
        let _ = decode(&bytes);
    }
}

#[test]
fn frame_header_decodes_without_payload() {
    let block = Block {
        series: SeriesTable { tags: Vec::new(), len: 1 },
        row_series: vec![0, 0],
        times_ns: vec![30, 20],
        fields: vec![Column::full(Values::Boolean(vec![true, false]))],
    };
    let table = TableRef {
        measurement: MeasurementId(7),
        tag_ids: &[],
        field_ids: &[ColumnId(2)],
        block: &block,
        rows: &Selection::All,
    };
    let mut bytes = Vec::new();
    encode(&[table], &mut bytes);
    let header = FrameHeader::read(&bytes).unwrap();
    bytes.truncate(header.payload_start as usize);
    assert_eq!(FrameHeader::read(&bytes).as_ref(), Ok(&header));
    assert_eq!((header.tables[0].min_time_ns, header.tables[0].max_time_ns), (20, 30));
    assert_eq!(header.tables[0].fields, [(ColumnId(2), FieldType::Boolean)]);
    assert_eq!(decode(&bytes), Err(FrameError::PayloadDamaged));
    bytes[0] = 2;
    assert_eq!(FrameHeader::read(&bytes), Err(FrameError::Version(2)));
}

#[test]
fn large_measurement_splits_into_ordered_tables() {
    let rows = encode::ROWS_PER_TABLE_MAX + 1;
    let block = Block {
        series: SeriesTable { tags: Vec::new(), len: 2 },
        row_series: (0..rows as u32).map(|row| row % 2).collect(),
        times_ns: (0..rows as i64).collect(),
        fields: vec![Column::full(Values::Integer((0..rows as i64).collect()))],
    };
    let (field_ids, rows) = (ids(1), Selection::All);
    let table = TableRef {
        measurement: MeasurementId(7),
        tag_ids: &[],
        field_ids: &field_ids,
        block: &block,
        rows: &rows,
    };
    let mut bytes = vec![9];
    encode(&[table], &mut bytes);
    let tables = decode(&bytes[1..]).unwrap();
    let times = |table: &FrameTable| table.block.times_ns.clone();
    assert_eq!(tables.iter().map(|table| times(table).len()).collect::<Vec<_>>(), [1 << 15, 1]);
    assert_eq!((times(&tables[0])[1], times(&tables[1])), (2, vec![1 << 15]));
    assert!(tables.iter().all(|table| table.measurement == MeasurementId(7)));

    let (tables, mut stepwise) = ([table], vec![9]);
    let mut encoder = Encoder::new(&tables, &mut stepwise);
    let steps: Vec<usize> = std::iter::from_fn(|| encoder.encode_next()).collect();
    encoder.finish();
    assert_eq!((steps, stepwise), (vec![1 << 15, 1], bytes));
}

#[test]
fn frame_separates_wide_and_narrow_rows() {
    const NARROW: usize = 1_000;
    let wide = |field: i64| {
        let mut column = Column::full(Values::Integer(vec![field]));
        column.extend_nulls(NARROW);
        column
    };
    let mut fields: Vec<Column> = (0..500).map(wide).collect();
    fields[7] = Column::full(Values::Integer((0..=NARROW as i64).collect()));
    let block = Block {
        series: SeriesTable { tags: Vec::new(), len: 1 },
        row_series: vec![0; NARROW + 1],
        times_ns: (0..=NARROW as i64).collect(),
        fields,
    };
    let (field_ids, rows) = (ids(500), Selection::All);
    let table = TableRef {
        measurement: MeasurementId(7),
        tag_ids: &[],
        field_ids: &field_ids,
        block: &block,
        rows: &rows,
    };
    let mut bytes = Vec::new();
    encode(&[table], &mut bytes);
    let tables = decode(&bytes).unwrap();
    let mut shapes: Vec<_> =
        tables.iter().map(|table| (table.block.rows(), table.field_ids.len())).collect();
    shapes.sort_unstable();
    assert_eq!(shapes, [(1, 500), (NARROW, 1)]);
    assert!(tables.iter().flat_map(|t| &t.block.fields).all(|c| c.validity == Validity::All));
}
