//! A shard that follows the protocol but has no store. Its rows are in a map that tests can
//! inspect.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use tidemark_engine::batch::FrameTable;
use tidemark_engine::batch::frame;
use tidemark_engine::protocol::envelope;
use tidemark_engine::protocol::shard::{FromShard, ShardSettings, Stamp, ToShard};
use tidemark_model::ids::{ColumnId, MeasurementId, ObjectId};
use tidemark_model::value::FieldValue;

use super::ShardObject;

/// The measurement, the tags by column, and the time.
pub(crate) type PointKey = (MeasurementId, Vec<(ColumnId, String)>, i64);

#[derive(Clone, Debug, Default)]
pub(crate) struct Stored {
    /// `None` before the shard is opened and after it is deleted.
    pub(crate) settings: Option<ShardSettings>,
    pub(crate) closed: bool,
    pub(crate) schema_version: u64,
    pub(crate) points: BTreeMap<PointKey, BTreeMap<ColumnId, FieldValue>>,
    pub(crate) opened: u32,
}

thread_local! {
    /// All stubs of the running test, so that the test can inspect them.
    static STORED: RefCell<BTreeMap<ObjectId, Rc<RefCell<Stored>>>> = RefCell::default();
}

pub(crate) fn reset() {
    STORED.take();
}

pub(crate) fn stored(id: &ObjectId) -> Rc<RefCell<Stored>> {
    STORED.with_borrow_mut(|all| Rc::clone(all.entry(id.clone()).or_default()))
}

struct StubShard(Rc<RefCell<Stored>>);

pub(crate) fn make(id: &ObjectId) -> Box<dyn ShardObject> {
    Box::new(StubShard(stored(id)))
}

impl ShardObject for StubShard {
    fn handle(&mut self, message: &[u8], _now_ns: i64) -> Vec<u8> {
        let (version, message) = envelope::decode::<ToShard>(message).expect("a message");
        let reply = self.0.borrow_mut().answer(message);
        envelope::encode_as(version, &reply)
    }

    fn crash(&mut self) {}
}

impl Stored {
    fn answer(&mut self, message: ToShard) -> FromShard {
        match message {
            ToShard::Wipe => {
                *self = Self { opened: self.opened, ..Self::default() };
                FromShard::Done
            }
            ToShard::Open(settings) if self.settings.is_none() => {
                self.settings = Some(settings);
                self.opened += 1;
                FromShard::Done
            }
            _ if self.closed || self.settings.is_none() => FromShard::Stale,
            ToShard::Open(new) | ToShard::Configure(new) => {
                let Some(known) = &mut self.settings else { return FromShard::Stale };
                let access = known.access.max(new.access);
                known.access = access;
                if new.generation > known.generation {
                    self.settings = Some(ShardSettings { access, ..new });
                }
                FromShard::Done
            }
            ToShard::Access { number } => {
                if let Some(known) = &mut self.settings {
                    known.access = known.access.max(number);
                }
                FromShard::Done
            }
            ToShard::Close { .. } => {
                self.closed = true;
                FromShard::Done
            }
            // Stubs are never split, because they report that they are empty.
            ToShard::Weigh => FromShard::Weighed { bytes: 0, at_ns: None },
            ToShard::Fence { .. } => FromShard::Done,
            ToShard::Append { stamp, frame } => self.append(stamp, &frame),
            _ => FromShard::Stale,
        }
    }

    fn append(&mut self, stamp: Stamp, bytes: &[u8]) -> FromShard {
        let Some(settings) = &self.settings else { return FromShard::Stale };
        let knows_less = stamp.generation < settings.generation || stamp.access < settings.access;
        if knows_less || stamp.policy != settings.policy {
            return FromShard::Stale;
        }
        let tables = frame::decode(bytes).expect("a frame");
        let mut times = tables.iter().flat_map(|table| &table.block.times_ns);
        if times.any(|&time_ns| !settings.range.contains(time_ns)) {
            return FromShard::OutOfRange;
        }
        self.schema_version = self.schema_version.max(stamp.schema_version);
        for table in &tables {
            for row in 0..table.block.rows() {
                let fields = self.points.entry(key(table, row)).or_default();
                let columns = table.field_ids.iter().zip(&table.block.fields);
                fields.extend(columns.filter_map(|(id, column)| Some((*id, column.get(row)?))));
            }
        }
        FromShard::appended(self.points.len() as u64)
    }
}

fn key(table: &FrameTable, row: usize) -> PointKey {
    let series = table.block.row_series[row] as usize;
    let tags = table.tag_ids.iter().zip(&table.block.series.tags);
    let mut tags: Vec<(ColumnId, String)> = tags
        .map(|(id, tag)| (*id, tag.get(series).to_owned()))
        .filter(|(_, value)| !value.is_empty())
        .collect();
    tags.sort();
    (table.measurement, tags, table.block.times_ns[row])
}
