//! Controls the SQL process from the parent: starts the process on demand, monitors it during each
//! call, and kills it if a call exceeds a limit.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::sleep;

use super::ProcessLimits;
use super::frame::{HEAD_BYTES, Head, Kind};
use crate::limits::{SQL_CHECK, SQL_WALL_MAX};
use crate::log;
use crate::options::SQL_PROCESS;

/// The signals with which a user or the system usually ends a process. Any other signal means that
/// the process has crashed.
const ENDING_SIGNALS: [i32; 4] = [1, 2, 9, 15];
/// The unit of CPU times in `/proc`, in milliseconds. Linux uses the same unit on all machines.
const TICK_MS: u64 = 10;

#[derive(Debug)]
pub struct Process {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
    id: u32,
    limits: ProcessLimits,
}

/// The reply, and whether it is the last reply of the session.
pub type Reply = (Vec<u8>, bool);

impl Process {
    /// Starts the process. The process receives no environment variables, and therefore no secrets.
    ///
    /// # Errors
    /// Returns the operating system's error.
    pub fn start(limits: ProcessLimits) -> io::Result<Self> {
        let mut command = Command::new(own_program()?);
        command.arg0("tidemark").arg(SQL_PROCESS).env_clear().kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let missing = || io::Error::other("the SQL process has no standard input or output");
        let input = child.stdin.take().ok_or_else(missing)?;
        let output = child.stdout.take().ok_or_else(missing)?;
        let id = child.id().ok_or_else(missing)?;
        Ok(Self { child, input, output, id, limits })
    }

    /// Sends a message to a session and returns its reply. Kills the process if the call takes more
    /// time or memory than the limits allow.
    ///
    /// # Errors
    /// Returns an error text for `tidemark_engine::protocol::sql::error_reply`. The process then no longer
    /// exists.
    pub async fn call(&mut self, head: Head, message: &[u8]) -> Result<Reply, String> {
        let (id, limits) = (self.id, self.limits);
        let exceeded = tokio::select! {
            biased;
            reply = self.exchange(head, message) => match reply {
                Ok(reply) => return Ok(reply),
                Err(_) => None,
            },
            reason = watch(id, &limits) => Some(reason),
        };
        match exceeded {
            Some((reason, memory_bytes)) => {
                log::event(
                    "sql_stopped",
                    &[("why", json!(reason)), ("memory_bytes", json!(memory_bytes))],
                );
                let _ = self.child.kill().await;
                Err(format!(
                    "stopped: the statement was stopped: {reason}; use simpler functions, or fewer rows"
                ))
            }
            None => Err(self.crashed().await),
        }
    }

    /// Ends the process and waits until its memory is freed.
    pub async fn end(mut self) {
        let _ = self.child.kill().await;
    }

    /// Returns the size, in bytes, of the memory that the process does not share with files.
    /// Returns 0 if the system does not report it.
    pub fn memory_bytes(&self) -> u64 {
        memory_bytes(self.id)
    }

    async fn exchange(&mut self, head: Head, message: &[u8]) -> io::Result<Reply> {
        self.input.write_all(&head.to_bytes()).await?;
        self.input.write_all(message).await?;
        self.input.flush().await?;
        let mut bytes = [0; HEAD_BYTES];
        self.output.read_exact(&mut bytes).await?;
        let reply = Head::parse(bytes).filter(|reply| reply.session == head.session);
        let reply =
            reply.ok_or_else(|| io::Error::other("the reply belongs to another session"))?;
        let mut message = vec![0; reply.length];
        self.output.read_exact(&mut message).await?;
        Ok((message, reply.kind == Kind::Over))
    }

    async fn crashed(&mut self) -> String {
        // A process that has closed its output ends by itself, so the kill is needed only after an
        // invalid frame.
        let ended = tokio::time::timeout(SQL_CHECK, self.child.wait()).await;
        let _ = self.child.kill().await;
        let status: Option<ExitStatus> = ended.ok().and_then(Result::ok);
        let (code, signal) = status.map_or((None, None), |status| (status.code(), status.signal()));
        log::event("sql_crashed", &[("code", json!(code)), ("signal", json!(signal))]);
        match signal.filter(|signal| ENDING_SIGNALS.contains(signal)) {
            Some(signal) => format!("lost: the SQL process ended (signal {signal})"),
            None => "a query exhausted its stack or its memory".to_owned(),
        }
    }
}

/// Returns the path of the running program. The path works even if the program's file was replaced
/// after the start.
fn own_program() -> io::Result<PathBuf> {
    if cfg!(target_os = "linux") {
        return Ok("/proc/self/exe".into());
    }
    std::env::current_exe()
}

/// Waits until the call exceeds a limit. Returns the reason and the used memory. The time limit
/// also considers CPU time, so that a busy machine does not cause a statement to be stopped.
async fn watch(id: u32, limits: &ProcessLimits) -> (String, u64) {
    let (began, before) = (Instant::now(), cpu_time(id));
    loop {
        sleep(SQL_CHECK.min(limits.turn)).await;
        let memory_bytes = memory_bytes(id);
        let computed = match (before, cpu_time(id)) {
            (Some(before), Some(now)) => now.saturating_sub(before),
            _ => began.elapsed(),
        };
        if began.elapsed() >= limits.turn && computed >= limits.turn {
            let seconds = limits.turn.as_secs_f64();
            let reason = format!("it computed for more than {seconds} seconds without a pause");
            return (reason, memory_bytes);
        }
        if began.elapsed() >= SQL_WALL_MAX {
            let seconds = SQL_WALL_MAX.as_secs();
            return (format!("it took more than {seconds} seconds without a pause"), memory_bytes);
        }
        if memory_bytes > limits.memory_bytes {
            let mib = limits.memory_bytes >> 20;
            return (format!("it used more than {mib} MiB of memory"), memory_bytes);
        }
    }
}

fn memory_bytes(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse().ok());
    kib.map_or(0, |kib: u64| kib << 10)
}

/// Returns the CPU time of all threads of a process, or `None` if the system does not report it.
fn cpu_time(id: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The second field is the name in parentheses, which may contain spaces. `utime` is field 14.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let ticks = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    Some(Duration::from_millis(ticks * TICK_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_memory_and_time_are_measured() {
        if cfg!(target_os = "linux") {
            let id = std::process::id();
            assert!(memory_bytes(id) > 100_000, "{}", memory_bytes(id));
            let before = cpu_time(id).unwrap();
            let began = Instant::now();
            while began.elapsed() < Duration::from_millis(50) {}
            assert!(cpu_time(id).unwrap() > before);
            assert_eq!(cpu_time(u32::MAX), None);
        }
    }
}
