//! Prevents an object whose code panics from ending the program again and again.
//!
//! A panic ends the program, and a supervisor starts it again. An alarm that panics would fire
//! again after each start, and clients repeat a request that panics. The panic hook therefore adds
//! a line with the time, the work and the object to the file `crashes`. After [`CRASHES_MAX`] lines
//! within a day, the next start postpones the object's alarms or refuses the requests to the
//! object. The other objects continue.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use serde_json::json;
use tidemark_engine::protocol::call::Address;

use crate::limits::{CRASH_REMEMBERED_NS, CRASH_WAIT_NS, CRASH_WAIT_NS_MAX, CRASHES_MAX};
use crate::platform::now_ns;
use crate::{Failure, address, log};

/// The work of an object during a panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Work {
    /// The alarm, and the work that the object continues after a reply.
    Alarm,
    Request,
}

impl Work {
    const fn name(self) -> &'static str {
        match self {
            Self::Alarm => "alarm",
            Self::Request => "request",
        }
    }
}

thread_local! {
    /// The object whose code runs on this thread.
    static RUNNING: RefCell<Option<(Arc<str>, Work)>> = const { RefCell::new(None) };
}

static FILE: OnceLock<File> = OnceLock::new();

/// Records that the code of an object starts on this thread.
pub fn begin(name: &Arc<str>, work: Work) {
    RUNNING.replace(Some((Arc::clone(name), work)));
}

/// Records that no code of an object runs on this thread.
pub fn end() {
    RUNNING.take();
}

/// Stores which object has panicked. Only the panic hook calls this function.
pub fn record() {
    let running = RUNNING.try_with(|running| running.try_borrow().ok()?.clone());
    let (Ok(Some((name, work))), Some(mut file)) = (running, FILE.get()) else { return };
    // The write reaches the system before the program ends. A power failure may lose the line.
    let _ = file.write_all(line(now_ns(), work, &name).as_bytes());
}

fn line(at_ns: i64, work: Work, name: &str) -> String {
    format!("{at_ns} {} {name}\n", work.name())
}

fn parse(line: &str) -> Option<(i64, Work, &str)> {
    let mut words = line.split(' ');
    let at_ns = words.next()?.parse().ok()?;
    let work = words.next()?;
    let work = [Work::Alarm, Work::Request].into_iter().find(|known| known.name() == work)?;
    Some((at_ns, work, words.next()?))
}

/// The work that waits after crashes, and the time at which it may run again, in nanoseconds since
/// the epoch.
#[derive(Clone, Debug, Default)]
pub struct Refused(BTreeMap<(Address, Work), i64>);

impl Refused {
    /// Opens the file `crashes`, to which [`record`] adds lines.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let cannot = |reason: std::io::Error| Failure::file("used", path, reason);
        let text = match fs::read(path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(reason) if reason.kind() == ErrorKind::NotFound => String::new(),
            Err(reason) => return Err(cannot(reason)),
        };
        let now_ns = now_ns();
        let is_recent = |at_ns: i64| at_ns > now_ns.saturating_sub(CRASH_REMEMBERED_NS);
        let recent = text.lines().filter_map(parse).filter(|(at_ns, ..)| is_recent(*at_ns));
        // If the clock was ahead at a crash, the line has a time in the future. Such a line would
        // never be forgotten, so it gets the current time.
        let past = |(at_ns, work, name): (i64, Work, &str)| line(at_ns.min(now_ns), work, name);
        let kept: String = recent.map(past).collect();
        let mut options = OpenOptions::new();
        let mut file = options.append(true).create(true).mode(0o600).open(path).map_err(cannot)?;
        if kept != text {
            file.set_len(0).and_then(|()| file.write_all(kept.as_bytes())).map_err(cannot)?;
        }
        let _ = FILE.set(file);
        Ok(Self::read(&kept, now_ns))
    }

    pub fn log(&self) {
        for ((address, work), until_ns) in &self.0 {
            let object = address::name(address).unwrap_or_default();
            let more = [
                ("object", json!(object)),
                ("work", json!(work.name())),
                ("until", json!(rfc3339(*until_ns))),
            ];
            log::event("refused_after_crashes", &more);
        }
    }

    fn read(lines: &str, now_ns: i64) -> Self {
        let mut crashes: BTreeMap<(Address, Work), (u32, i64)> = BTreeMap::new();
        for (at_ns, work, name) in lines.lines().filter_map(parse) {
            let Some(address) = address::parse(name) else { continue };
            let (count, last_ns) = crashes.entry((address, work)).or_default();
            *count += 1;
            *last_ns = at_ns.max(*last_ns);
        }
        let until_ns = |count: u32, last_ns: i64| {
            let doublings = count.checked_sub(CRASHES_MAX)?.min(i64::BITS / 2);
            let wait_ns = CRASH_WAIT_NS.saturating_mul(1 << doublings).min(CRASH_WAIT_NS_MAX);
            // The clock may have been ahead at the last crash.
            Some(last_ns.min(now_ns).saturating_add(wait_ns)).filter(|until_ns| *until_ns > now_ns)
        };
        let refused = crashes
            .into_iter()
            .filter_map(|(of, (count, last_ns))| Some((of, until_ns(count, last_ns)?)));
        Self(refused.collect())
    }

    /// Returns the end of the time in which an object may not do this work, or `None` if it may do
    /// the work.
    pub fn until_ns(&self, address: &Address, work: Work) -> Option<i64> {
        if self.0.is_empty() {
            return None;
        }
        let until_ns = self.0.get(&(address.clone(), work))?;
        Some(*until_ns).filter(|until_ns| *until_ns > now_ns())
    }

    /// Returns the warning for `/health`, and the time at which the warning ends.
    pub fn warning(&self) -> Option<(String, i64)> {
        let until_ns = *self.0.values().max()?;
        let message = "an alarm or the requests of an object have ended the server repeatedly, so \
                       the server postpones this alarm or refuses these requests; the event \
                       refused_after_crashes in the log names the object";
        Some((message.to_owned(), until_ns))
    }
}

/// Returns the error of a refused request.
pub fn refusal(until_ns: i64) -> String {
    format!(
        "requests to it have ended the server repeatedly, so it accepts no requests until {}; see \
         the server's log",
        rfc3339(until_ns)
    )
}

/// Returns the time with seconds.
fn rfc3339(at_ns: i64) -> String {
    log::rfc3339(at_ns / 1_000_000_000 * 1_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const S_NS: i64 = 1_000_000_000;

    #[test]
    fn wait_doubles_with_each_crash() {
        let waits_s = |crashes: usize| {
            let lines = line(7, Work::Alarm, "catalog").repeat(crashes);
            let refused = Refused::read(&lines, 8);
            assert!(!refused.0.contains_key(&(Address::Catalog, Work::Request)));
            refused.0.get(&(Address::Catalog, Work::Alarm)).map(|until_ns| until_ns / S_NS)
        };
        let waits = [2, 3, 4, 5, 9, 100].map(waits_s);
        assert_eq!(waits, [None, Some(60), Some(120), Some(240), Some(3_600), Some(3_600)]);
    }

    #[test]
    fn passed_and_invalid_lines_are_ignored() {
        let lines = line(7, Work::Request, "shard-a").repeat(3);
        assert!(Refused::read(&lines, 61 * S_NS).0.is_empty());
        let invalid = "x\n7 alarm\n7 other catalog\n7 alarm ../x\n".repeat(3);
        assert!(Refused::read(&invalid, 8).0.is_empty());
        let ahead = line(i64::MAX, Work::Alarm, "catalog").repeat(3);
        assert_eq!(Refused::read(&ahead, 0).0.into_values().collect::<Vec<_>>(), [60 * S_NS]);
    }
}
