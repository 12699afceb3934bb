//! Tests multi-page queries and writes that use one Shard object at the same time.

use std::rc::Rc;

use tidemark_engine::protocol::call::{Address, Call, Reply, Step};
use tidemark_engine::protocol::envelope;
use tidemark_engine::protocol::event::{EventHandler, EventId, Unavailable};
use tidemark_engine::protocol::shard::{FromShard, ShardRefusal, ToShard};
use tidemark_engine::scan::request::{Input, SummaryRequest, SummaryWant};
use tidemark_engine::shard::events::ShardEvents;
use tidemark_engine::store::memory::MemoryStore;
use tidemark_model::ids::MeasurementId;
use tidemark_model::limits::PAGES_WAITING_MAX;

use super::*;
use crate::world::platform::TestPlatform;

struct Object {
    host: ShardEvents<MemoryStore>,
    platform: TestPlatform,
}

impl Object {
    fn new() -> Self {
        let (_, shard) = opened();
        Self { host: ShardEvents::new(shard, Rc::default()), platform: TestPlatform::new(1) }
    }

    fn busy() -> Self {
        let mut object = Self::new();
        let verified = object.ask(&ToShard::Verify { resume: None });
        assert!(matches!(verified, Ok(FromShard::Verified(_))), "nobody waits: {verified:?}");
        object
    }

    /// Returns the reply, or the id of the event if the reply is still pending.
    fn ask(&mut self, message: &ToShard) -> Result<FromShard, EventId> {
        let (event_id, step) = self.host.begin(&self.platform, &envelope::encode(message));
        reply(step).ok_or(event_id)
    }

    fn wake(&mut self, event_id: EventId) -> Option<FromShard> {
        let over = Reply { id: 0, result: Ok(Vec::new()) };
        reply(self.host.resume(&self.platform, event_id, over))
    }
}

fn reply(step: Step<Vec<u8>>) -> Option<FromShard> {
    match step {
        Step::Done(bytes) => Some(envelope::decode_reply(Ok(bytes)).unwrap()),
        Step::Calls(calls) => {
            assert!(
                matches!(&calls[..], [] | [Call { to: Address::Timer { .. }, .. }]),
                "{calls:?}"
            );
            None
        }
    }
}

fn page(query: u64, is_first: bool) -> ToShard {
    let resume = (!is_first).then(|| (0, Vec::new()));
    let all = SummaryRequest::new(vec![MeasurementId(1)], SummaryWant::Measurements);
    let request = SummaryRequest { resume, ..all };
    ToShard::Summarise { query, stamp: STAMP, request }
}

fn write() -> ToShard {
    let fields = vec![(11, FieldValue::Integer(1))];
    let point = Point { measurement: 1, tags: Vec::new(), time_ns: 1, fields };
    ToShard::Append { stamp: STAMP, frame: encode(&[point]) }
}

#[test]
fn writes_and_kills_bypass_waiting_pages() {
    let mut object = Object::busy();
    assert!(matches!(object.ask(&write()), Ok(FromShard::Appended { .. })));
    let tickets: Vec<EventId> =
        (1..=9).map(|query| object.ask(&page(query, false)).unwrap_err()).collect();
    assert!(matches!(object.ask(&write()), Ok(FromShard::Appended { .. })));
    assert_eq!(object.ask(&ToShard::Kill { query: 9 }), Ok(FromShard::Done));
    let interrupted = FromShard::Refused(ShardRefusal::Interrupted);
    assert_eq!(object.wake(tickets[8]), Some(interrupted), "whether it has a turn or not");
    assert_eq!(object.wake(tickets[8]), None, "it is forgotten");
    assert_eq!(object.wake(tickets[7]), None);
    object.host.abandon(tickets[0]);
    assert_eq!(object.wake(tickets[1]), None, "another was answered during its pause");
    assert!(matches!(object.wake(tickets[1]), Some(FromShard::Summary(_))), "first of who is left");
    let mut left: Vec<EventId> = tickets[2..8].to_vec();
    for _ in 0..1_000 {
        left.retain(|&event_id| object.wake(event_id).is_none());
    }
    assert_eq!(left, [], "all are answered, one after the other");
}

#[test]
fn page_limit_does_not_block_writes() {
    let mut object = Object::busy();
    for query in 1..=PAGES_WAITING_MAX as u64 {
        assert!(object.ask(&page(query, false)).is_err());
    }
    let busy = Unavailable::Busy { waiting: PAGES_WAITING_MAX as u64 };
    let text = "1000 queries are waiting in the shard: repeat the query later";
    assert_eq!(busy.to_string(), text);
    assert_eq!(object.ask(&page(0, true)), Ok(FromShard::Unavailable(busy)));
    assert!(matches!(object.ask(&write()), Ok(FromShard::Appended { .. })));
}

/// An event ends before it has executed all scans, because their series take time.
#[test]
fn series_count_as_work_of_an_event() {
    let (_, mut shard) = opened();
    let point = |n: u32| Point {
        measurement: 1,
        tags: vec![(1, format!("h{n}"))],
        time_ns: 1,
        fields: vec![(11, FieldValue::Integer(1))],
    };
    let points: Vec<Point> = (0..1_000).map(point).collect();
    shard.append(&encode(&points), &STAMP, NOW_NS).unwrap();
    let fields = vec![Input { column: ColumnId(11), field_type: field_type(11), cast: None }];
    let output = Output::Rows { fields, tags: Vec::new(), limit: None, every_row: false };
    let further = vec![scan_of(output.clone()); 40];
    let message = ToShard::Scan { query: 0, stamp: STAMP, request: scan_of(output), further };
    let FromShard::Scanned { further, .. } = shard.handle(&message, NOW_NS) else { panic!() };
    assert!((4..10).contains(&further.len()), "{} pages", further.len());
}
