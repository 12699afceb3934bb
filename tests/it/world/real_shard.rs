//! The product's shard with an in-memory store.

use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use tidemark_engine::protocol::envelope;
use tidemark_engine::protocol::event::Unavailable;
use tidemark_engine::protocol::shard::{FromShard, ToShard};
use tidemark_engine::shard::Shard;
use tidemark_engine::shard::budget::Budget;
use tidemark_engine::store::memory::MemoryStore;
use tidemark_model::ids::ObjectId;
use tidemark_model::limits::MEMTABLE_BYTES_MAX;

use super::ShardObject;
use crate::fault_store::{After, FaultStore};

/// The number of messages, in all worlds, with which a split told a shard to reject writes.
pub(crate) static FENCES: AtomicU64 = AtomicU64::new(0);

struct RealShard {
    store: FaultStore,
    shard: Shard<FaultStore>,
}

pub(crate) fn make(_: &ObjectId) -> Box<dyn ShardObject> {
    let store = FaultStore::new(MemoryStore::new());
    Box::new(RealShard { shard: shard(&store), store })
}

fn shard(store: &FaultStore) -> Shard<FaultStore> {
    let budget: Rc<Budget> = Budget::new(MEMTABLE_BYTES_MAX, super::draw_seed());
    Shard::new(store.clone(), budget, u64::MAX)
}

impl ShardObject for RealShard {
    fn handle(&mut self, message: &[u8], now_ns: i64) -> Vec<u8> {
        match envelope::decode::<ToShard>(message) {
            Ok((version, message)) => {
                if let ToShard::Fence { from_ns: Some(_), .. } = message {
                    FENCES.fetch_add(1, Ordering::Relaxed);
                }
                envelope::encode_as(version, &self.shard.handle(&message, now_ns))
            }
            // Handles the error in the same way as `ShardEvents`.
            Err(error) => {
                let why = Unavailable::Unreachable(error.to_string());
                envelope::encode(&FromShard::Unavailable(why))
            }
        }
    }

    fn crash(&mut self) {
        self.shard = shard(&self.store);
    }

    fn stored(&self) -> Option<MemoryStore> {
        Some(self.store.inner.snapshot())
    }

    fn go_back(&mut self, store: MemoryStore) {
        self.store.inner = store;
    }

    fn break_storage(&mut self, at: u64, persisted: bool) {
        self.store.fail(at, persisted, After::Gone);
    }

    fn heal_storage(&mut self) -> bool {
        self.store.heal()
    }

    fn alarm(&mut self, now_ns: i64) -> Option<i64> {
        self.shard.alarm(now_ns)
    }

    fn next_alarm_ns(&mut self, now_ns: i64) -> Option<i64> {
        self.shard.next_due(now_ns)
    }
}
