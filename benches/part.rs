//! Native benchmark of writing, merging and reading parts, in bytes and CPU time per value. Run
//! `cargo bench --bench part`. `flush` writes the rows of one flush, and `merge` merges eight
//! parts.
#![expect(clippy::unwrap_used, reason = "a benchmark stops at the first surprise")]

mod points;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use cpu_time::ThreadTime;
use tidemark::batch::FrameTable;
use tidemark::batch::from_lines::from_lines;
use tidemark::line_protocol::{Options, TimestampUnit};
use tidemark::memtable::Memtable;
use tidemark::memtable::cursor::{Sorted, tag_order};
use tidemark::merge::cursor::{Direction, ReadError, SeriesCursor};
use tidemark::merge::kway::Merge;
use tidemark::merge::sequences::Sequences;
use tidemark::model::ids::{ColumnId, MeasurementId};
use tidemark::model::time::{Precision, TimeRange};
use tidemark::part::block::Error;
use tidemark::part::cursor::PartCursor;
use tidemark::part::directory::Directory;
use tidemark::part::values::{Decoded, DecodedAt, Values};
use tidemark::part::writer::{Groups, Limits, PartWriter, Written};

/// The number of bodies in a flush. `FLUSHES` is the number of flushes in a merge.
const BODIES: usize = 20;
const FLUSHES: usize = 8;

type Orders = BTreeMap<MeasurementId, Vec<ColumnId>>;

fn main() {
    let columns = ["B/value", "write ns", "read ns"];
    println!("{:<22} {:>9} {}", "shape", "values", columns.map(|c| format!("{c:>11}")).concat());
    for (name, _, mut bodies) in points::shapes() {
        let (mut values, mut parts, mut orders) = (0, Vec::new(), Orders::new());
        for flush in 0..FLUSHES {
            let (mut memtable, before) = (Memtable::new(7), values);
            for _ in 0..BODIES {
                append(&bodies(), &mut values, &mut memtable);
            }
            for (measurement, table) in memtable.tables() {
                let known = orders.remove(&measurement).unwrap_or_default();
                orders.insert(measurement, tag_order(&known, table));
            }
            let order = |measurement, _: &_| orders[&measurement].clone();
            let (time, part) = time(|| {
                let sorted = Sorted::new(memtable.tables(), order);
                let cursor = sorted.cursor(Direction::Ascending);
                write(vec![(1, cursor)], &orders)
            });
            if flush == 0 {
                report(&format!("{name}, flush"), values - before, &part, time);
            }
            parts.push(part);
        }
        let (time, merged) = time(|| {
            let cursor = |(at, part): (u64, &Part)| (at, part.cursor());
            write((0..).zip(&parts).map(cursor).collect(), &orders)
        });
        report(&format!("{name}, merge"), values, &merged, time);
    }
}

fn report(name: &str, values: usize, part: &Part, written: Duration) {
    let read = time(|| read_part(part)).0;
    let per = |number: f64| number / values as f64;
    let ns = |time: Duration| format!("{:>11.2}", per(time.as_nanos() as f64));
    let bytes = part.values.iter().map(|(_, head, body)| head + body.len()).sum::<usize>();
    println!("{name:<22} {values:>9} {:>11.3}{}{}", per(bytes as f64), ns(written), ns(read));
}

fn append(body: &str, values: &mut usize, memtable: &mut Memtable) {
    let options = Options::new(TimestampUnit::Fixed(Precision::Nanosecond), 0);
    let (batch, _) = from_lines(body.as_bytes(), options, 7).unwrap();
    for table in batch.measurements {
        let ids = |first: u32, count: usize| (first..).take(count).map(ColumnId).collect();
        let fields = &table.block.fields;
        *values += fields.iter().map(|c| c.len() - c.validity.nulls(c.len())).sum::<usize>();
        let table = FrameTable {
            measurement: MeasurementId(table.name.bytes().map(u32::from).sum()),
            tag_ids: ids(0, table.tag_keys.len()),
            field_ids: ids(64, table.field_keys.len()),
            block: table.block,
        };
        memtable.append(&table);
    }
}

/// The directory, the length of the head, and the body of each value.
type Stored = Vec<(Rc<Directory>, usize, Vec<u8>)>;

type Tables = BTreeMap<(usize, usize), Vec<(DecodedAt, Decoded)>>;

struct Part {
    values: Rc<Stored>,
    written: Written,
}

impl Part {
    fn cursor(&self) -> PartCursor<InMemory> {
        let values = InMemory { values: Rc::clone(&self.values), tables: RefCell::default() };
        PartCursor::new(values, self.written.id, Direction::Ascending, None).unwrap()
    }
}

struct InMemory {
    values: Rc<Stored>,
    /// A merge keeps the code tables of the current group.
    tables: RefCell<Tables>,
}

impl Values for InMemory {
    fn count(&self) -> usize {
        self.values.len()
    }

    fn directory(&mut self, value: usize) -> Result<Rc<Directory>, ReadError> {
        Ok(Rc::clone(&self.values[value].0))
    }

    fn with<T>(
        &mut self,
        value: usize,
        bytes: Range<u32>,
        read: impl FnOnce(&[u8]) -> Result<T, Error>,
    ) -> Result<T, ReadError> {
        let bytes = &self.values[value].2[bytes.start as usize..bytes.end as usize];
        read(bytes).map_err(|error| self.damaged(value, error))
    }

    fn damaged(&self, value: usize, error: Error) -> ReadError {
        ReadError::Damaged { what: format!("value {value}: {error}") }
    }

    fn cached(&self, value: usize, group: usize, at: DecodedAt) -> Option<Decoded> {
        let tables = self.tables.borrow();
        let found = tables.get(&(value, group))?.iter().find(|(of, _)| *of == at)?;
        Some(found.1.clone())
    }

    fn keep(&self, value: usize, group: usize, at: DecodedAt, decoded: &Decoded) {
        if let Decoded::Table(_) = decoded {
            let mut tables = self.tables.borrow_mut();
            tables.retain(|of, _| *of == (value, group));
            tables.entry((value, group)).or_default().push((at, decoded.clone()));
        }
    }
}

fn write<C: SeriesCursor>(sources: Vec<(u64, C)>, orders: &Orders) -> Part {
    let merge = Merge::new(sources, Direction::Ascending).unwrap();
    let limits = Limits::default();
    let mut groups = Groups::new(merge, limits, TimeRange::ALL, None).unwrap();
    let mut writer = PartWriter::new(limits, 0);
    writer.begin(1, Sequences { lo: 1, hi: 1, applied: 0 });
    while let Some(group) =
        groups.next(&mut |measurement| Ok(orders[&measurement].clone())).unwrap()
    {
        writer.add(&group);
    }
    let written = writer.end().unwrap();
    let values = writer.finish().into_iter().map(|value| {
        let head = value.head(u64::MAX);
        (Rc::new(Directory::decode(&head).unwrap().1), head.len(), value.body)
    });
    Part { values: Rc::new(values.collect()), written }
}

fn read_part(part: &Part) {
    let mut cursor = part.cursor();
    while cursor.key().is_some() {
        while let Some(page) = cursor.page(TimeRange::ALL).unwrap() {
            // The first series of a page reads the columns of the whole page.
            if page.rows().start == 0 {
                for &(id, _) in page.columns().iter() {
                    black_box(cursor.column(&page, id).unwrap());
                }
            }
        }
        cursor.step().unwrap();
    }
}

fn time<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let start = ThreadTime::now();
    let result = work();
    (start.elapsed(), result)
}
