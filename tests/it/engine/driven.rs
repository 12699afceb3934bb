//! Drives a shard's object in the same way as the edge does. Due work runs after the reply. The
//! alarm is only ever set to an earlier time, because each setting is billed as a row.

use tidemark_engine::protocol::call::{Address, Call, Reply, Step};
use tidemark_engine::protocol::envelope;
use tidemark_engine::protocol::event::{EventHandler, EventId};
use tidemark_engine::protocol::shard::{FromShard, ToShard};
use tidemark_engine::shard::events::ShardEvents;
use tidemark_engine::store::memory::MemoryStore;

use super::*;
use crate::world::platform::TestPlatform;

pub(super) struct Driven {
    pub(super) host: ShardEvents<MemoryStore>,
    pub(super) platform: TestPlatform,
    pub(super) alarm_ns: Option<i64>,
    pub(super) alarms_set: u64,
}

impl Driven {
    pub(super) fn new(shard: Shard<MemoryStore>) -> Self {
        let host = ShardEvents::new(shard, Rc::default()).with_work_after_replies();
        Self { host, platform: TestPlatform::new(1), alarm_ns: None, alarms_set: 0 }
    }

    pub(super) fn reply(&mut self, message: &ToShard) -> FromShard {
        let (event_id, step) = self.host.begin(&self.platform, &envelope::encode(message));
        envelope::decode_reply(Ok(self.finish(event_id, step))).unwrap()
    }

    /// Returns whether more work remains.
    pub(super) fn run_due_work(&mut self) -> bool {
        let work = self.host.run_due_work();
        let is_due = work.is_some();
        work.into_iter().for_each(|(event_id, step)| drop(self.finish(event_id, step)));
        is_due
    }

    pub(super) fn pass_to(&mut self, now_ns: i64) {
        while let Some(alarm_ns) = self.alarm_ns.take_if(|alarm_ns| *alarm_ns <= now_ns) {
            self.platform.advance_to(alarm_ns);
            let (event_id, step) = self.host.alarm(&self.platform);
            self.finish(event_id, step);
        }
        self.platform.advance_to(now_ns);
    }

    fn finish(&mut self, event_id: EventId, mut step: Step<Vec<u8>>) -> Vec<u8> {
        loop {
            self.arm();
            match step {
                Step::Done(reply) => return reply,
                Step::Calls(calls) => {
                    assert!(
                        matches!(&calls[..], [Call { to: Address::Timer { .. }, .. }]),
                        "{calls:?}"
                    )
                }
            }
            let over = Reply { id: 0, result: Ok(Vec::new()) };
            step = self.host.resume(&self.platform, event_id, over);
        }
    }

    fn arm(&mut self) {
        let Some(due_ns) = self.host.next_alarm_ns() else { return };
        if self.alarm_ns.is_none_or(|alarm_ns| alarm_ns > due_ns) {
            self.alarm_ns = Some(due_ns);
            self.alarms_set += 1;
        }
    }
}

fn opened() -> Driven {
    let mut shard = reopen(MemoryStore::new());
    let week = ShardSettings { window_ns: 7 * 86_400_000_000_000, ..settings() };
    shard.open(&week).unwrap();
    Driven::new(shard)
}

fn flushes(object: &mut Driven) -> u64 {
    match object.reply(&ToShard::Stats) {
        FromShard::Stats(stats) => stats.counters.flushes,
        other => panic!("{other:?}"),
    }
}

#[test]
fn due_work_runs_after_reply() {
    let mut object = opened();
    let mut number = 0;
    let mut walk = [50; 10];
    loop {
        let frame = rows_written::batch(number, &mut walk);
        let reply = object.reply(&ToShard::Append { stamp: STAMP, frame });
        assert!(matches!(reply, FromShard::Appended { .. }));
        assert_eq!(flushes(&mut object), 0, "no reply waits for it");
        if object.run_due_work() {
            break;
        }
        number += 1;
        assert!(number < 100, "a flush is due at last");
    }
    assert_eq!(flushes(&mut object), 1);
    assert!(object.alarms_set <= 2, "none is set for at once: {}", object.alarms_set);
}

#[test]
fn alarm_runs_unfinished_due_work() {
    let mut object = opened();
    let mut walk = [50; 10];
    // The callers disconnect, so that the work after their reply is cancelled.
    for number in 0..100 {
        let frame = rows_written::batch(number, &mut walk);
        let reply = object.reply(&ToShard::Append { stamp: STAMP, frame });
        assert!(matches!(reply, FromShard::Appended { .. }));
        if object.alarms_set == 2 {
            break;
        }
    }
    let watched_ns = object.platform.time_ns() + 12_000_000_000;
    assert!(object.alarm_ns.is_some_and(|alarm_ns| alarm_ns <= watched_ns));
    assert_eq!(flushes(&mut object), 0);
    object.pass_to(watched_ns);
    assert_eq!(flushes(&mut object), 1);
}
