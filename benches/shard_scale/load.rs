//! A shard under load. As in the product, due work runs after each frame, and every alarm runs when
//! it is due.

use std::collections::BTreeMap;
use std::time::Duration;

use cpu_time::ThreadTime;
use tidemark::model::ids::{ObjectId, PolicyId};
use tidemark::model::time::TimeRange;
use tidemark::protocol::shard::{ShardSettings, Stamp};
use tidemark::shard::Shard;
use tidemark::shard::budget::Budget;
use tidemark::shard::manifest::{Manifest, Number};
use tidemark::store::{Store, Table};

use crate::S_NS;
use crate::allocator::{live, peak_since};
use crate::counting_store::{CountingStore, Written};

/// Long after the times of the data.
const NOW_NS: i64 = 1_700_000_000 * S_NS;
const GAP_NS: i64 = S_NS / 100;
/// The pauses after which a load counts as finished, and after which slots count as quiet.
const PAUSES_NS: [i64; 2] = [12 * S_NS, 3_600 * S_NS];

/// The maximum number of duties in one run, and the delay of the next alarm (`shard/events.rs`).
const DUTIES_PER_RUN: u32 = 100;
const WATCH_NS: i64 = 12 * S_NS;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Job {
    Append,
    Flush,
    Merge,
    Tidy,
}

pub(crate) struct Load {
    store: CountingStore,
    pub(crate) shard: Shard<CountingStore>,
    settings: ShardSettings,
    now_ns: i64,
    alarm_ns: Option<i64>,
    pub(crate) runs: u64,
    times: BTreeMap<Job, Vec<Duration>>,
    jobs: BTreeMap<Job, Written>,
    pub(crate) merges: u64,
    pub(crate) parts_most: u64,
    /// The peak memory of each job without the stored data, in bytes.
    held: BTreeMap<Job, isize>,
    base: isize,
}

impl Load {
    pub(crate) fn new(window_ns: i64) -> Self {
        let base = live();
        let store = CountingStore::default();
        let mut shard = Shard::new(store.clone(), Budget::new(256_000_000, 7), u64::MAX);
        let settings = settings(window_ns);
        shard.open(&settings).unwrap();
        Self {
            store,
            shard,
            settings,
            now_ns: NOW_NS,
            alarm_ns: None,
            runs: 0,
            times: BTreeMap::new(),
            jobs: BTreeMap::new(),
            merges: 0,
            parts_most: 0,
            held: BTreeMap::new(),
            base,
        }
    }

    pub(crate) fn stamp(&self) -> Stamp {
        let generation = self.settings.generation;
        Stamp {
            policy: PolicyId(9),
            generation,
            schema_version: 1,
            fresh: false,
            access: 0,
            meter: None,
        }
    }

    /// Corresponds to `ALTER RETENTION POLICY … SHARD DURATION`.
    pub(crate) fn alter(&mut self, window_ns: i64) {
        self.settings.window_ns = window_ns;
        self.settings.generation += 1;
        self.shard.configure(&self.settings).unwrap();
    }

    pub(crate) fn append(&mut self, frame: &[u8]) {
        let (stamp, now_ns) = (self.stamp(), self.now_ns);
        self.event(|shard| {
            shard.append(frame, &stamp, now_ns).unwrap();
            Job::Append
        });
        if self.is_due() {
            self.arm(self.now_ns + WATCH_NS);
            self.duties();
        }
        self.alarms();
        self.now_ns += GAP_NS;
    }

    pub(crate) fn rest(&mut self) {
        for pause_ns in PAUSES_NS {
            self.now_ns += pause_ns;
            self.alarms();
        }
        // Some work is due later, such as the retry of a job.
        for _ in 0..100 {
            let Some(due_ns) = self.shard.next_due(self.now_ns) else { return };
            self.now_ns = self.now_ns.max(due_ns);
            self.alarms();
        }
    }

    /// Runs the alarm until it is set for a later time or not set.
    fn alarms(&mut self) {
        self.arm_for_what_is_due();
        while self.alarm_ns.is_some_and(|alarm_ns| alarm_ns <= self.now_ns) {
            self.alarm_ns = None;
            self.runs += 1;
            self.duties();
            self.arm_for_what_is_due();
        }
        let stats = self.shard.stats().unwrap();
        (self.merges, self.parts_most) =
            (stats.counters.compactions, self.parts_most.max(stats.parts));
    }

    fn duties(&mut self) {
        let mut done = 0;
        while done <= DUTIES_PER_RUN && self.is_due() {
            self.duty();
            done += 1;
        }
    }

    fn arm_for_what_is_due(&mut self) {
        if let Some(due_ns) = self.shard.next_due(self.now_ns) {
            self.arm(due_ns);
        }
    }

    /// Sets the alarm as `edge/hosted.rs` does: only if no earlier alarm is set.
    fn arm(&mut self, due_ns: i64) {
        if self.alarm_ns.is_none_or(|alarm_ns| alarm_ns > due_ns) {
            self.alarm_ns = Some(due_ns);
            self.store.count_alarm();
        }
    }

    fn is_due(&mut self) -> bool {
        self.shard.next_due(self.now_ns).is_some_and(|due_ns| due_ns <= self.now_ns)
    }

    fn duty(&mut self) {
        let (store, now_ns) = (self.store.clone(), self.now_ns);
        let before = (store.written(), self.shard.stats().unwrap().counters);
        self.event(|shard| {
            shard.alarm(now_ns);
            let after = shard.stats().unwrap().counters;
            let written = store.written().since(&before.0);
            if after.flushes > before.1.flushes {
                Job::Flush
            } else if after.compactions == before.1.compactions
                && written.rows(Table::Wal) + written.rows(Table::Value) > 0
                && written.bytes(Table::Value) == 0
            {
                Job::Tidy
            } else {
                Job::Merge
            }
        });
    }

    fn event(&mut self, work: impl FnOnce(&mut Shard<CountingStore>) -> Job) {
        let (stored, before) = (self.store.bytes().unwrap() as isize, self.store.written());
        live();
        let started = ThreadTime::now();
        let job = work(&mut self.shard);
        self.times.entry(job).or_default().push(started.elapsed());
        let held = self.held.entry(job).or_default();
        *held = (*held).max(peak_since() - stored - self.base);
        let written = self.store.written().since(&before);
        self.jobs.entry(job).or_default().add(&written);
    }

    pub(crate) fn written(&self) -> Written {
        self.store.written()
    }

    pub(crate) fn value_bytes_written(&self) -> u64 {
        self.written().bytes(Table::Value)
    }

    pub(crate) fn manifest(&self) -> Manifest {
        let (_, body) = self.store.inner.row(Table::State, 0).unwrap();
        Manifest::decode(&body).unwrap()
    }

    /// Counts the heads and bodies of all values that the parts and the running job reference.
    pub(crate) fn live_value_bytes(&self) -> u64 {
        let manifest = self.manifest();
        let keys = manifest.numbers().filter_map(|number: Number| manifest.key_of(number));
        keys.map(|key| self.row_bytes(key)).sum()
    }

    pub(crate) fn dead_value_bytes(&self) -> u64 {
        let keys = self.store.inner.keys().into_iter();
        let all = keys.filter(|(table, _)| *table == Table::Value);
        all.map(|(_, key)| self.row_bytes(key)).sum::<u64>() - self.live_value_bytes()
    }

    fn row_bytes(&self, key: u64) -> u64 {
        let row = self.store.inner.row(Table::Value, key);
        row.map_or(0, |(head, body)| (head.len() + body.len()) as u64)
    }

    pub(crate) fn manifest_bytes(&self) -> usize {
        self.store.inner.row(Table::State, 0).unwrap().1.len()
    }

    /// Excludes the stored data.
    pub(crate) fn held_mb(&self) -> f64 {
        self.held.values().max().copied().unwrap_or_default() as f64 / 1e6
    }

    pub(crate) fn percentile_ms(&self, job: Job, percent: usize) -> f64 {
        let mut times = self.times.get(&job).cloned().unwrap_or_default();
        times.sort();
        let last = times.len().saturating_sub(1);
        let time = times.get((times.len() * percent / 100).min(last)).copied().unwrap_or_default();
        time.as_secs_f64() * 1e3
    }

    /// Returns the time of the first response in ms, and the number of rows that the shard reads.
    pub(crate) fn wake(&mut self) -> (f64, u64) {
        self.reopen();
        let before = self.store.row_counts();
        let started = ThreadTime::now();
        self.shard.stats().unwrap();
        let ms = started.elapsed().as_secs_f64() * 1e3;
        (ms, self.store.row_counts().since(before).read)
    }

    pub(crate) fn reopen(&mut self) {
        self.shard = Shard::new(self.store.clone(), Budget::new(256_000_000, 8), u64::MAX);
    }

    pub(crate) fn print_jobs(&self, million: f64) {
        for (job, written) in &self.jobs {
            let times = self.times.get(job).map_or(&[][..], Vec::as_slice);
            let ms = times.iter().sum::<Duration>().as_secs_f64() * 1e3;
            let [wal, value, state] =
                [Table::Wal, Table::Value, Table::State].map(|t| written.rows(t) as f64 / million);
            println!(
                "  {:<8} {:>8} events {:>9.1} ms/M   rows/M: wal {wal:>6.1} value {value:>6.1} \
                 state {state:>6.1}   value MB {:>8.1} state MB {:>7.2} held MB {:>6.1}",
                format!("{job:?}"),
                times.len(),
                ms / million,
                written.bytes(Table::Value) as f64 / 1e6,
                written.bytes(Table::State) as f64 / 1e6,
                self.held.get(job).copied().unwrap_or_default() as f64 / 1e6,
            );
        }
        println!("  alarm runs {}", self.runs);
        let manifest = self.manifest();
        let mut by_size: BTreeMap<u32, (u64, u64, u64)> = BTreeMap::new();
        for part in manifest.parts().values() {
            let at = by_size.entry(part.bytes.max(1).ilog10()).or_default();
            *at = (at.0 + 1, at.1 + part.bytes, at.2 + part.values.len());
        }
        for (power, (parts, bytes, values)) in by_size {
            let mb = bytes as f64 / 1e6;
            println!("  parts of 1e{power} bytes: {parts}, {mb:.1} MB, values listed {values}");
        }
        println!(
            "  width {} s, values {}, free keys {}",
            manifest.width_ns / S_NS,
            manifest.numbers().count(),
            manifest.unused().iter().count()
        );
    }
}

fn settings(window_ns: i64) -> ShardSettings {
    ShardSettings {
        database: ObjectId("1".repeat(64)),
        policy: PolicyId(9),
        group: 1,
        shard: 0,
        range: TimeRange::ALL,
        duration_ns: 0,
        retired: Vec::new(),
        window_ns,
        generation: 1,
        access: 0,
    }
}
