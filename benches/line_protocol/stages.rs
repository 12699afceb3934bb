//! The stages of a write in Tidemark's code. `shares.mjs` times each call in Node's V8.
//!
//! The caller copies a body into memory and then calls `inflate`, `parse`, `encode`, `append` and
//! `alarms`. Each stage uses the result of the previous stage. The shard uses the in-memory store.

use std::cell::RefCell;
use std::hint::black_box;

use tidemark_engine::batch::Batch;
use tidemark_engine::batch::frame::{self, TableRef};
use tidemark_engine::batch::selection::Selection;
use tidemark_engine::protocol::shard::{ShardSettings, Stamp};
use tidemark_engine::shard::Shard;
use tidemark_engine::shard::budget::Budget;
use tidemark_engine::store::memory::MemoryStore;
use tidemark_line_protocol::TimestampUnit;
use tidemark_model::configurable_limits::{Limit, Limits};
use tidemark_model::ids::{ColumnId, MeasurementId, ObjectId, PolicyId};
use tidemark_model::time::{Precision, TimeRange};
use tidemark_query::admission::Admission;
use tidemark_server::body_parser::BodyParser;
use tidemark_server::content_encoding::{Ceiling, Inflation};
use tidemark_server::params::{Dialect, WriteParams};

use crate::parsers;

const NOW_NS: i64 = 1_700_000_000_000_000_000;
const WEEK_NS: i64 = 7 * 86_400_000_000_000;

#[derive(Default)]
struct Stages {
    body: Vec<u8>,
    batch: Batch,
    frame: Vec<u8>,
    shard: Option<Shard<MemoryStore>>,
}

thread_local! {
    static STAGES: RefCell<Stages> = RefCell::default();
}

fn body_parser() -> BodyParser {
    let params = WriteParams {
        database: "b".into(),
        policy: None,
        precision: TimestampUnit::Fixed(Precision::Nanosecond),
        accept_partial: true,
    };
    let permit = Admission::default().permit_for("db");
    BodyParser::new(Dialect::V1, params.precision, permit, NOW_NS, 7, Limits::default())
}

/// Allocates `bytes` bytes, into which the caller copies a body.
// SAFETY: no other symbol has this name.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn body(bytes: usize) -> *mut u8 {
    STAGES.with_borrow_mut(|stages| {
        stages.body.resize(bytes, 0);
        stages.body.as_mut_ptr()
    })
}

/// Decompresses the body and parses its lines as a stream.
// SAFETY: no other symbol has this name.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn inflate() {
    STAGES.with_borrow(|stages| {
        let mut body_parser = body_parser();
        let bytes = Limits::default().get(Limit::BodyBytes);
        let ceiling = Ceiling { limit: Limit::BodyBytes, bytes };
        let mut sink =
            |waiting: &[u8], expected, bytes| body_parser.parse(waiting, expected, bytes);
        let mut inflation = Inflation::new(stages.body.clone(), ceiling);
        while !inflation.step(&mut sink).unwrap() {}
        black_box(body_parser.finish(inflation.into_rest()).unwrap());
    });
}

// SAFETY: no other symbol has this name.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn parse() {
    STAGES.with_borrow_mut(|stages| stages.batch = parsers::parse(&stages.body));
}

/// Returns the frame's size in bytes.
// SAFETY: no other symbol has this name.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn encode() -> usize {
    STAGES.with_borrow_mut(|stages| {
        let tag_ids: Vec<ColumnId> = (0..64).map(ColumnId).collect();
        let field_ids: Vec<ColumnId> = (64..128).map(ColumnId).collect();
        let tables: Vec<TableRef<'_>> = stages
            .batch
            .measurements
            .iter()
            .map(|table| TableRef {
                // The id depends on the name, because the order of measurements varies between
                // batches.
                measurement: MeasurementId(table.name.bytes().map(u32::from).sum()),
                tag_ids: &tag_ids,
                field_ids: &field_ids,
                block: &table.block,
                rows: &Selection::All,
            })
            .collect();
        stages.frame.clear();
        frame::encode(&tables, &mut stages.frame);
        stages.frame.len()
    })
}

// SAFETY: no other symbol has this name.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn append() {
    STAGES.with_borrow_mut(|stages| {
        let Stages { shard, frame, .. } = stages;
        let shard = shard.get_or_insert_with(new_shard);
        let stamp = Stamp {
            policy: PolicyId(9),
            generation: 1,
            schema_version: 1,
            fresh: false,
            access: 0,
            meter: None,
        };
        shard.append(frame, &stamp, NOW_NS).unwrap();
    });
}

// SAFETY: no other symbol has this name.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn alarms() {
    STAGES.with_borrow_mut(|stages| {
        let Some(shard) = &mut stages.shard else { return };
        while shard.next_due(NOW_NS).is_some_and(|due| due <= NOW_NS) {
            shard.alarm(NOW_NS);
        }
    });
}

fn new_shard() -> Shard<MemoryStore> {
    let mut shard = Shard::new(MemoryStore::new(), Budget::new(256_000_000, 7), u64::MAX);
    let settings = ShardSettings {
        database: ObjectId("1".repeat(64)),
        policy: PolicyId(9),
        group: 1,
        shard: 0,
        range: TimeRange::ALL,
        duration_ns: 0,
        retired: Vec::new(),
        window_ns: WEEK_NS,
        generation: 1,
        access: 0,
    };
    shard.open(&settings).unwrap();
    shard
}
