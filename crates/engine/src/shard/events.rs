//! Handles the events of a shard. A shard calls no other object. The shard handles every message
//! immediately ([`Shard::handle`]), except requests for a page of a query, and writes before which
//! the log is flushed.

use std::rc::Rc;

use super::Shard;
use super::page_queue::{PageQueue, Pages};
use crate::protocol::call::{Address, Call, Platform, Reply, Step};
use crate::protocol::envelope;
use crate::protocol::event::{EventHandler, EventId, Unavailable};
use crate::protocol::live_queries::Precedence;
use crate::protocol::shard::{FromShard, FurtherPage, ToShard};
use crate::store::Store;
use tidemark_model::time::S_NS;

/// The number of tasks after which an event ends. Another alarm continues the work. 100 merge steps
/// process at least twenty million cells (`STEP_CELLS`).
const TASKS_PER_RUN: u32 = 100;
/// The pause between two tasks, in milliseconds: about as long as a task. Without the pauses, a
/// write that arrives in many pieces would wait for a task at each piece.
const TASK_PAUSE_MS: u32 = 20;
/// The delay after which an alarm checks whether the work after a reply has ended or was
/// interrupted by an eviction. A bulk load sets an alarm for about this time anyway, so the check
/// costs no additional row.
const WATCH_NS: i64 = 12 * S_NS;

/// A [`Shard`] with its waiting page requests and its next alarm.
pub struct ShardEvents<S: Store> {
    shard: Shard<S>,
    due_ns: Option<i64>,
    queue: PageQueue,
    /// The waiting messages, each with its event and its protocol version.
    waiting: Vec<(EventId, u8, ToShard)>,
    next_event_id: u64,
    task_run: Option<TaskRun>,
    works_after_replies: bool,
}

/// A run of due tasks, after a reply or in an alarm.
#[derive(Clone, Copy)]
struct TaskRun {
    event_id: EventId,
    tasks_done: u32,
    /// For work after a reply: the time of the alarm that checks whether this work still runs.
    /// `None` if the work runs inside an alarm, because the runtime waits for an alarm to end and
    /// repeats it after a failure.
    watched_ns: Option<i64>,
    has_begun: bool,
}

impl<S: Store> ShardEvents<S> {
    /// Handles the events of a shard. All shards of the isolate share `pages`. Before the first
    /// event, [`EventHandler::next_alarm_ns`] returns `None`, and an alarm that was set earlier
    /// remains set.
    pub fn new(shard: Shard<S>, pages: Rc<Pages>) -> Self {
        Self {
            shard,
            due_ns: None,
            queue: PageQueue::new(pages),
            waiting: Vec::new(),
            next_event_id: 0,
            task_run: None,
            works_after_replies: false,
        }
    }

    /// Makes due tasks run after replies, so that a write needs no alarm. The caller must call
    /// [`EventHandler::run_due_work`]. Otherwise, an alarm would be set twice per flush, and the
    /// platform bills each setting as a row.
    #[must_use]
    pub fn with_work_after_replies(mut self) -> Self {
        self.works_after_replies = true;
        self
    }

    fn new_event(&mut self) -> EventId {
        self.next_event_id += 1;
        EventId(self.next_event_id)
    }

    fn run_task(&mut self, platform: &dyn Platform, task_run: TaskRun) -> Step<Vec<u8>> {
        let now_ns = platform.now_ns();
        self.due_ns = self.shard.alarm(now_ns);
        let tasks_done = task_run.tasks_done + 1;
        let continues = self.is_due(now_ns) && tasks_done < TASKS_PER_RUN;
        let watched_ns = task_run.watched_ns.map(|_| now_ns.saturating_add(WATCH_NS));
        self.task_run = continues.then_some(TaskRun { tasks_done, watched_ns, ..task_run });
        if continues { pause(TASK_PAUSE_MS) } else { Step::Done(Vec::new()) }
    }

    fn is_due(&self, now_ns: i64) -> bool {
        self.due_ns.is_some_and(|due_ns| due_ns <= now_ns)
    }

    fn handle_message(
        &mut self,
        platform: &dyn Platform,
        version: u8,
        message: &ToShard,
    ) -> Step<Vec<u8>> {
        let reply = self.shard.handle(message, platform.now_ns());
        let now_ns = platform.now_ns();
        if let Some(query) = page_of(message) {
            let query = Precedence::from_number(query);
            self.queue.on_page(query, is_last(&reply), work_of(&reply), now_ns);
        }
        self.due_ns = self.shard.next_due(now_ns);
        if self.works_after_replies && self.task_run.is_none() && self.is_due(now_ns) {
            let watched_ns = Some(now_ns.saturating_add(WATCH_NS));
            let event_id = self.new_event();
            self.task_run = Some(TaskRun { event_id, tasks_done: 0, watched_ns, has_begun: false });
        }
        Step::Done(envelope::encode_as(version, &reply))
    }
}

/// Returns [`Precedence::number`], 0 for a first page, or `None` if the message requests no page.
fn page_of(message: &ToShard) -> Option<u64> {
    let (query, continues) = match message {
        ToShard::Scan { query, request, .. } => (*query, request.resume.is_continuation()),
        ToShard::Summarise { query, request, .. } => (*query, request.resume.is_some()),
        ToShard::Explain { .. } | ToShard::Verify { .. } => (0, false),
        _ => return None,
    };
    Some(if continues { query } else { 0 })
}

fn is_last(reply: &FromShard) -> bool {
    match reply {
        FromShard::Scanned { until, position, further, .. } => {
            let continues = |page: &FurtherPage| page.until.is_some() || page.position.is_some();
            until.is_none() && position.is_none() && !further.iter().any(continues)
        }
        FromShard::Summary(page) => page.resume.is_none(),
        _ => true,
    }
}

/// Returns the work of a reply's pages ([`ReadStats::work`](crate::scan::read_stats::ReadStats::work)).
fn work_of(reply: &FromShard) -> u64 {
    match reply {
        FromShard::Scanned { stats, further, .. } => {
            stats.work() + further.iter().map(|page| page.stats.work()).sum::<u64>()
        }
        FromShard::Summary(page) => page.stats.work(),
        // Other replies do not report their work, so this code assumes the maximum.
        _ => u64::MAX,
    }
}

fn pause(ms: u32) -> Step<Vec<u8>> {
    let to = Address::Timer { ms };
    Step::Calls(vec![Call { id: 0, to, location: None, message: Vec::new() }])
}

impl<S: Store> EventHandler for ShardEvents<S> {
    fn begin(&mut self, platform: &dyn Platform, message: &[u8]) -> (EventId, Step<Vec<u8>>) {
        let event_id = self.new_event();
        let (version, message) = match envelope::decode::<ToShard>(message) {
            Ok(decoded) => decoded,
            Err(error) => {
                let reason = Unavailable::Unreachable(error.to_string());
                return (event_id, Step::Done(envelope::encode(&FromShard::Unavailable(reason))));
            }
        };
        let now_ns = platform.now_ns();
        self.shard.begin_event(now_ns);
        let queued = match page_of(&message) {
            Some(query) => self.queue.enqueue(event_id, Precedence::from_number(query), now_ns),
            None => {
                self.queue.on_write(now_ns);
                Ok(self.shard.make_room_for(&message, now_ns).then_some(0))
            }
        };
        let step = match queued {
            Ok(None) => self.handle_message(platform, version, &message),
            Ok(Some(ms)) => {
                self.waiting.push((event_id, version, message));
                pause(ms)
            }
            Err(reason) => {
                Step::Done(envelope::encode_as(version, &FromShard::Unavailable(reason)))
            }
        };
        (event_id, step)
    }

    fn resume(&mut self, platform: &dyn Platform, event_id: EventId, _: Reply) -> Step<Vec<u8>> {
        if let Some(task_run) = self.task_run.filter(|task_run| task_run.event_id == event_id) {
            return self.run_task(platform, task_run);
        }
        let Some(at) = self.waiting.iter().position(|(waiting, ..)| *waiting == event_id) else {
            return Step::Calls(Vec::new());
        };
        let is_killed = self.waiting.get(at).is_some_and(|(_, _, message)| {
            page_of(message).is_some_and(|query| self.shard.is_killed(query))
        });
        if let Some(ms) = self.queue.check_again(event_id, platform.now_ns()).filter(|_| !is_killed)
        {
            return pause(ms);
        }
        let (_, version, message) = self.waiting.remove(at);
        self.queue.leave(event_id);
        self.handle_message(platform, version, &message)
    }

    fn alarm(&mut self, platform: &dyn Platform) -> (EventId, Step<Vec<u8>>) {
        self.shard.begin_event(platform.now_ns());
        if let Some(task_run) = self.task_run.as_mut().filter(|task_run| task_run.has_begun) {
            // The next alarm checks the active run again.
            task_run.watched_ns = Some(platform.now_ns().saturating_add(WATCH_NS));
            return (self.new_event(), Step::Done(Vec::new()));
        }
        let event_id = self.new_event();
        let task_run = TaskRun { event_id, tasks_done: 0, watched_ns: None, has_begun: true };
        (event_id, self.run_task(platform, task_run))
    }

    fn run_due_work(&mut self) -> Option<(EventId, Step<Vec<u8>>)> {
        let task_run = self.task_run.as_mut().filter(|task_run| !task_run.has_begun)?;
        task_run.has_begun = true;
        Some((task_run.event_id, pause(TASK_PAUSE_MS)))
    }

    fn next_alarm_ns(&self) -> Option<i64> {
        match self.task_run {
            Some(task_run) => task_run.watched_ns,
            None => self.due_ns,
        }
    }

    fn abandon(&mut self, event_id: EventId) {
        self.queue.leave(event_id);
        self.waiting.retain(|(waiting, ..)| *waiting != event_id);
        self.task_run = self.task_run.filter(|task_run| task_run.event_id != event_id);
    }
}
