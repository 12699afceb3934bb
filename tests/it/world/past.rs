//! As the platform does, stores a copy of each object's storage after every change. An object can
//! then start with an earlier state.

use std::collections::BTreeMap;

use tidemark_engine::protocol::call::{Address, Call, CallFailure};
use tidemark_engine::protocol::envelope;
use tidemark_engine::protocol::recovery::{FromStorage, ToStorage};
use tidemark_engine::store::memory::MemoryStore;
use tidemark_model::time::S_NS;

use super::World;

/// The time after its creation before an object has a first recovery point, as measured on the
/// platform.
const BEGINS_LATER_NS: i64 = 50 * S_NS;

/// The earlier states of all objects except the Catalog, which is never reset.
#[derive(Default)]
pub(super) struct Past {
    was: BTreeMap<Address, Vec<(i64, MemoryStore)>>,
    instances: BTreeMap<Address, u64>,
    /// The time to which each object is reset when it starts next.
    selected_ns: BTreeMap<Address, i64>,
    /// The number of starts with an earlier state.
    pub(super) count: u64,
    /// Whether an object can be reset to a time before its creation. The object is then empty.
    pub(super) is_endless: bool,
    /// A time to which shards can no longer be reset.
    pub(super) lost_ns: Option<i64>,
}

impl World {
    pub(crate) fn keep_past(&mut self) {
        self.past = Some(Past::default());
    }

    pub(crate) fn keep_endless_past(&mut self) {
        self.past = Some(Past { is_endless: true, ..Past::default() });
    }

    /// Makes shards reject a recovery to this time.
    pub(crate) fn lose_past(&mut self, time_ns: i64) {
        self.past.iter_mut().for_each(|past| past.lost_ns = Some(time_ns));
    }

    pub(crate) fn went_back(&self) -> u64 {
        self.past.as_ref().map_or(0, |past| past.count)
    }

    pub(super) fn note(&mut self, address: &Address) {
        if self.past.is_none() || *address == Address::Catalog {
            return;
        }
        let store = match address {
            Address::Shard(id) => self.shard(id).stored(),
            _ => Some(self.store(address).inner.snapshot()),
        };
        let now_ns = self.platform.time_ns();
        if let (Some(past), Some(store)) = (&mut self.past, store) {
            let was = past.was.entry(address.clone()).or_default();
            if was.last().is_some_and(|(time_ns, _)| *time_ns == now_ns) {
                was.pop();
            }
            was.push((now_ns, store));
        }
    }

    /// Handles a message about earlier states. Returns `None` for any other message.
    pub(super) fn ask_past(&mut self, call: &Call) -> Option<Result<Vec<u8>, CallFailure>> {
        let (_, message) = envelope::decode::<ToStorage>(&call.message).ok()?;
        assert_ne!(call.to, Address::Catalog, "the Catalog never goes back");
        let past = self.past.as_mut()?;
        let own = past.instances.get(&call.to).copied().unwrap_or(0);
        let made_ns = past.was.get(&call.to).and_then(|was| was.first()).map(|(at_ns, _)| *at_ns);
        let begins_ns = made_ns.map_or(i64::MAX, |made_ns| made_ns + BEGINS_LATER_NS);
        let lacks_history = |time_ns: i64| time_ns < begins_ns && !past.is_endless;
        let answer = match message {
            ToStorage::CheckHistory { time_ns } if lacks_history(time_ns) => no_history(),
            ToStorage::SelectState { instance, time_ns }
                if instance == own && lacks_history(time_ns) =>
            {
                no_history()
            }
            ToStorage::CheckHistory { time_ns }
                if past.lost_ns == Some(time_ns) && matches!(call.to, Address::Shard(_)) =>
            {
                FromStorage::Failed("too long ago".to_owned())
            }
            ToStorage::CheckHistory { .. } => FromStorage::HasHistory { instance: own },
            ToStorage::SelectState { instance, .. } | ToStorage::Restart { instance }
                if instance != own =>
            {
                FromStorage::OtherInstance
            }
            ToStorage::SelectState { time_ns, .. } => {
                past.selected_ns.insert(call.to.clone(), time_ns);
                FromStorage::StateSelected
            }
            ToStorage::Restart { .. } => {
                self.crash(&call.to);
                return Some(Err(CallFailure::Failed("the instance has ended".to_owned())));
            }
        };
        Some(Ok(envelope::encode(&answer)))
    }

    /// Must be called when an object's instance ends. If a time is selected for the object,
    /// replaces the object's storage with the state at this time.
    pub(super) fn end_instance(&mut self, address: &Address) {
        let Some(past) = &mut self.past else { return };
        *past.instances.entry(address.clone()).or_default() += 1;
        let Some(time_ns) = past.selected_ns.remove(address) else { return };
        past.count += 1;
        let was = past.was.get(address).into_iter().flatten();
        let then = was.take_while(|(at_ns, _)| *at_ns <= time_ns).last();
        let store = then.map_or_else(MemoryStore::new, |(_, store)| store.snapshot());
        match address {
            Address::Shard(id) => self.shard(id).go_back(store),
            _ => {
                let mut own = self.store(address);
                own.inner = store;
                self.stores.insert(address.clone(), own);
            }
        }
        self.note(address);
    }
}

fn no_history() -> FromStorage {
    FromStorage::LacksHistory("Requested time is before this database existed.".to_owned())
}
