//! Implements the read cache, which all shards of an isolate share. The cache contains decoded data
//! of queries.
//!
//! The key of an entry contains the number of a value. A number always identifies the same
//! contents, so entries are never outdated. The cache uses the S3-FIFO algorithm: data that was
//! requested once does not evict data that is requested often. Merges bypass the cache.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::hash::{BuildHasher, Hash};
use std::rc::Rc;

use foldhash::fast::FixedState;
use quick_cache::Weighter;
use quick_cache::unsync::{Cache, DefaultLifecycle};

use super::manifest::Number;
use crate::batch::narrow::Narrow;
use crate::merge::cursor::PageColumn;
use crate::part::directory::Directory;
use crate::part::values::{Decoded, DecodedAt};
use crate::scan::cached::{Cached, Version};
use tidemark_model::bug;

/// The memory of an entry in addition to its data.
const ENTRY_BYTES: u64 = 120;
/// The unit in which the cache's capacity changes.
const STEP_BYTES: usize = 1_000_000;
/// The assumed size of an entry, in bytes, which determines only the initial size of the hash
/// tables.
const TYPICAL_BYTES: u64 = 2_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    shard: u32,
    number: Number,
    of: EntryKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum EntryKind {
    Directory,
    Reads,
    /// Records that a result was requested. The number in this key is the hash of the result's
    /// name.
    Requested,
    Decoded {
        group: u32,
        at: DecodedAt,
    },
}

#[derive(Clone)]
enum CacheEntry {
    Directory(Rc<Directory>),
    Reads(u32),
    Requested,
    Decoded(Decoded),
}

struct CachedResult {
    name: Vec<u8>,
    version: Version,
    kept: Cached,
}

struct Bytes;

impl Weighter<Key, CacheEntry> for Bytes {
    fn weight(&self, _: &Key, kept: &CacheEntry) -> u64 {
        let bytes = match kept {
            CacheEntry::Directory(directory) => directory.bytes(),
            CacheEntry::Reads(_) | CacheEntry::Requested => 0,
            CacheEntry::Decoded(decoded) => decoded.bytes(),
        };
        bytes as u64 + ENTRY_BYTES
    }
}

/// The key of encoded bytes: the shard, the value, and the start of the bytes in the value's body.
type BytesKey = (u32, Number, u32);

/// A cache of encoded bytes from the bodies of values, because a query usually reads nearby bytes
/// soon. The most recently used bytes are first.
#[derive(Default)]
struct Bodies {
    entries: VecDeque<(BytesKey, Rc<Vec<u8>>)>,
    bytes: usize,
}

impl Bodies {
    fn get(&mut self, key: &BytesKey) -> Option<Rc<Vec<u8>>> {
        let at = self.entries.iter().position(|(known, _)| known == key)?;
        let found = self.entries.remove(at)?;
        let bytes = Rc::clone(&found.1);
        self.entries.push_front(found);
        Some(bytes)
    }

    fn put(&mut self, key: BytesKey, bytes: &Rc<Vec<u8>>, bytes_max: usize) {
        self.bytes += bytes.len();
        self.entries.push_front((key, Rc::clone(bytes)));
        self.shrink(bytes_max);
    }

    /// Removes the least recently used entries above `bytes_max`. The most recent entry always
    /// remains.
    fn shrink(&mut self, bytes_max: usize) {
        while self.bytes > bytes_max && self.entries.len() > 1 {
            let gone = self.entries.pop_back().map_or(0, |(_, bytes)| bytes.len());
            self.bytes = self.bytes.saturating_sub(gone);
        }
    }
}

/// The shard, and the hash of the result's name.
type ResultKey = (u32, u64);

impl Weighter<ResultKey, Rc<CachedResult>> for Bytes {
    fn weight(&self, _: &ResultKey, result: &Rc<CachedResult>) -> u64 {
        let bytes = result.name.len() + 8 * result.version.len() + result.kept.bytes();
        bytes as u64 + ENTRY_BYTES
    }
}

/// The share of the capacity that is reserved for results, as a divisor: a third. A query that
/// reads much data therefore does not evict results.
const RESULTS_SHARE: usize = 3;
/// The share of the capacity that is for encoded bytes, as a divisor: a sixth. The share is small,
/// because bytes are usually decoded only once.
const BODIES_SHARE: usize = 6;

/// The read cache of an isolate.
pub(super) struct ReadCache {
    steps: Cell<usize>,
    read: RefCell<Cache<Key, CacheEntry, Bytes, FixedState>>,
    bodies: RefCell<Bodies>,
    result_cache: RefCell<Cache<ResultKey, Rc<CachedResult>, Bytes, FixedState>>,
}

impl ReadCache {
    pub(super) fn new(bytes_max: usize) -> Self {
        let [read, _, result_cache] = shares(bytes_max);
        let steps = Cell::new(bytes_max / STEP_BYTES);
        Self {
            steps,
            read: cache(read),
            bodies: RefCell::default(),
            result_cache: cache(result_cache),
        }
    }

    /// Rounds `bytes_max` down to whole megabytes.
    pub(super) fn resize(&self, bytes_max: usize) {
        let steps = bytes_max / STEP_BYTES;
        if self.steps.replace(steps) == steps {
            return;
        }
        let [read, bodies, result_cache] = shares(steps * STEP_BYTES);
        self.read.borrow_mut().set_capacity(read as u64);
        self.bodies.borrow_mut().shrink(bodies);
        self.result_cache.borrow_mut().set_capacity(result_cache as u64);
    }

    pub(super) fn bytes_max(&self) -> usize {
        self.steps.get() * STEP_BYTES
    }

    pub(super) fn bytes(&self) -> usize {
        let decoded = self.read.borrow().weight() + self.result_cache.borrow().weight();
        decoded as usize + self.bodies.borrow().bytes
    }
}

/// Returns the capacities for decoded data, encoded bytes and results, in this order.
fn shares(bytes_max: usize) -> [usize; 3] {
    let (bodies, result_cache) = (bytes_max / BODIES_SHARE, bytes_max / RESULTS_SHARE);
    [bytes_max - bodies - result_cache, bodies, result_cache]
}

fn cache<K: Eq + Hash, V>(bytes_max: usize) -> RefCell<Cache<K, V, Bytes, FixedState>>
where
    Bytes: Weighter<K, V>,
{
    let bytes_max = bytes_max as u64;
    let items = usize::try_from(bytes_max / TYPICAL_BYTES + 1).unwrap_or(1);
    let (hasher, lifecycle) = (FixedState::default(), DefaultLifecycle::default());
    RefCell::new(Cache::with(items, bytes_max, Bytes, hasher, lifecycle))
}

/// The read cache, as one shard uses it.
#[derive(Clone)]
pub(super) struct ShardReads {
    cache: Rc<ReadCache>,
    shard: u32,
}

impl ShardReads {
    pub(super) fn new(cache: Rc<ReadCache>, shard: u32) -> Self {
        Self { cache, shard }
    }

    fn get(&self, number: Number, of: EntryKind) -> Option<CacheEntry> {
        self.cache.read.borrow().get(&Key { shard: self.shard, number, of }).cloned()
    }

    /// Adds an entry, unless a bug was reported: the entry could then contain a default value.
    fn put(&self, number: Number, of: EntryKind, kept: CacheEntry) {
        if bug::check().is_err() {
            return;
        }
        self.cache.read.borrow_mut().insert(Key { shard: self.shard, number, of }, kept);
    }

    pub(super) fn directory(&self, of: Number) -> Option<Rc<Directory>> {
        match self.get(of, EntryKind::Directory)? {
            CacheEntry::Directory(directory) => Some(directory),
            _ => None,
        }
    }

    pub(super) fn put_directory(&self, of: Number, directory: &Rc<Directory>) {
        self.put(of, EntryKind::Directory, CacheEntry::Directory(Rc::clone(directory)));
    }

    pub(super) fn bytes_from(&self, of: Number, start: u32) -> Option<Rc<Vec<u8>>> {
        self.cache.bodies.borrow_mut().get(&(self.shard, of, start))
    }

    pub(super) fn put_bytes(&self, of: Number, start: u32, bytes: &Rc<Vec<u8>>) {
        let [_, bodies_bytes, _] = shares(self.cache.bytes_max());
        self.cache.bodies.borrow_mut().put((self.shard, of, start), bytes, bodies_bytes);
        self.put(of, EntryKind::Reads, CacheEntry::Reads(self.reads(of) + 1));
    }

    pub(super) fn reads(&self, of: Number) -> u32 {
        match self.get(of, EntryKind::Reads) {
            Some(CacheEntry::Reads(reads)) => reads,
            _ => 0,
        }
    }

    pub(super) fn decoded(&self, of: Number, group: u32, at: DecodedAt) -> Option<Decoded> {
        match self.get(of, EntryKind::Decoded { group, at })? {
            CacheEntry::Decoded(decoded) => Some(decoded),
            _ => None,
        }
    }

    pub(super) fn put_decoded(&self, of: Number, group: u32, at: DecodedAt, decoded: &Decoded) {
        let kept = match decoded {
            Decoded::Column(PageColumn::Wide(column)) => {
                let narrow = Narrow::of(column).map(|narrow| PageColumn::Narrow(Rc::new(narrow)));
                narrow.map(Decoded::Column)
            }
            Decoded::Keys(keys) => Some(Decoded::Keys(keys.narrowed())),
            _ => None,
        };
        let kept = kept.unwrap_or_else(|| decoded.clone());
        self.put(of, EntryKind::Decoded { group, at }, CacheEntry::Decoded(kept));
    }

    pub(super) fn result(&self, name: &[u8], version: &Version) -> Option<Cached> {
        let result_cache = self.cache.result_cache.borrow();
        let result = result_cache.get(&(self.shard, hash(name)))?;
        (result.name == name && result.version == *version).then(|| result.kept.clone())
    }

    /// Whether the result with this name was requested recently. Also records this request.
    pub(super) fn was_requested(&self, name: &[u8]) -> bool {
        let of = Number(hash(name));
        let was_requested = self.get(of, EntryKind::Requested).is_some();
        if !was_requested {
            self.put(of, EntryKind::Requested, CacheEntry::Requested);
        }
        was_requested
    }

    /// Adds a result. The result replaces a result with the same name and another version.
    pub(super) fn put_result(&self, name: Vec<u8>, version: Version, kept: Cached) {
        if bug::check().is_err() {
            return;
        }
        let key = (self.shard, hash(&name));
        let result = Rc::new(CachedResult { name, version, kept });
        self.cache.result_cache.borrow_mut().insert(key, result);
    }
}

fn hash(name: &[u8]) -> u64 {
    FixedState::default().hash_one(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::column::{Column, Values};

    fn column(value: f64, rows: usize) -> Decoded {
        let values = Values::Float(vec![value / 3.0; rows]);
        Decoded::Column(PageColumn::Wide(Rc::new(Column::full(values))))
    }

    fn of_column(decoded: Decoded) -> Option<Rc<Column>> {
        match decoded {
            Decoded::Column(column) => Some(column.into_column()),
            _ => None,
        }
    }

    #[test]
    fn read_cache_remembers_lookups_per_shard() {
        let cache = Rc::new(ReadCache::new(1_000_000));
        let [a, b] = [1, 2].map(|shard| ShardReads::new(Rc::clone(&cache), shard));
        let requested = [(&a, "x"), (&a, "y"), (&b, "x"), (&a, "x"), (&b, "x"), (&b, "y")];
        let known = requested.map(|(of, name)| of.was_requested(name.as_bytes()));
        assert_eq!(known, [false, false, false, true, true, false]);
    }

    #[test]
    fn read_cache_separates_shards_and_values() {
        let cache = Rc::new(ReadCache::new(1_000_000));
        let [a, b] = [1, 2].map(|shard| ShardReads::new(Rc::clone(&cache), shard));
        let at = DecodedAt::Column(7);
        a.put_decoded(Number(1), 0, at, &column(1.0, 3));
        b.put_decoded(Number(1), 0, at, &column(2.0, 3));
        a.put_decoded(Number(2), 0, at, &column(3.0, 3));
        a.put_decoded(Number(1), 1, at, &column(4.0, 3));
        let read = |shard: &ShardReads, number, group| {
            of_column(shard.decoded(Number(number), group, at)?)
        };
        let expected = |value| of_column(column(value, 3));
        assert_eq!(read(&a, 1, 0), expected(1.0));
        assert_eq!(read(&b, 1, 0), expected(2.0));
        assert_eq!(read(&a, 2, 0), expected(3.0));
        assert_eq!(read(&a, 1, 1), expected(4.0));
        assert_eq!(read(&b, 2, 0), None);
    }

    #[test]
    fn reported_bug_prevents_caching() {
        let shard = ShardReads::new(Rc::new(ReadCache::new(1_000_000)), 1);
        let at = DecodedAt::Column(7);
        let put = || {
            bug::report();
            shard.put_decoded(Number(1), 0, at, &column(1.0, 3));
        };
        assert!(bug::tolerate(|| bug::catch(put)).is_err());
        assert!(shard.decoded(Number(1), 0, at).is_none());
    }

    #[test]
    fn read_cache_keeps_recent_within_limit() {
        let cache = Rc::new(ReadCache::new(100_000));
        let shard = ShardReads::new(Rc::clone(&cache), 1);
        let at = DecodedAt::Column;
        for round in 0..1_000 {
            shard.put_decoded(Number(2), 0, at(round), &column(1.0, 100));
            if round == 0 {
                shard.put_decoded(Number(1), 0, at(0), &column(1.0, 100));
            }
            assert!(shard.decoded(Number(1), 0, at(0)).is_some(), "{round}");
            assert!(cache.bytes() <= 100_000, "{}", cache.bytes());
        }
        assert!(cache.bytes() > 40_000, "{}", cache.bytes());
    }
}
