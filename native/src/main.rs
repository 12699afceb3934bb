//! Runs Tidemark as a program that does not need Cloudflare.
//!
//! The engine is the library `tidemark`. On Cloudflare, the Workers runtime provides connections,
//! storage, alarms, a clock and random numbers. On other machines, this program provides the same
//! services. `docs/design/native-host.md` explains the design.

mod address;
mod alarms;
mod backups;
mod body;
mod calls;
mod commands;
mod connection;
mod connection_permits;
mod console;
mod crashes;
mod engine;
mod failed_commits;
mod folder;
mod grpc;
mod head_memory;
mod limits;
mod listen;
mod log;
mod object;
mod options;
mod platform;
mod printable;
mod reply;
mod request_line;
mod request_task;
mod scheduling;
mod sql;
mod store;
mod unsent;

use std::fmt::Display;
use std::path::Path;
use std::process::ExitCode;

// Without this reference, the crate is not linked.
#[cfg(target_env = "musl")]
use musl_memory as _;

#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The reason why the program cannot start, as a sentence for the user.
#[derive(Debug)]
struct Failure(String);

impl Failure {
    fn of(sentence: &str) -> Self {
        Self(sentence.to_owned())
    }

    /// Returns the failure to use a file or folder. `verb` is a participle, such as "written".
    fn file(verb: &str, path: &Path, reason: impl Display) -> Self {
        Self(format!("{} cannot be {verb}: {reason}", path.display()))
    }

    fn thread(reason: std::io::Error) -> Self {
        Self(format!("a thread could not be started: {reason}"))
    }
}

fn main() -> ExitCode {
    // A panic is a bug and ends the program. If the program continued, other threads would wait for
    // the failed thread. After a restart, the program continues with the data in its files.
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |about| {
        report(about);
        crashes::record();
        std::process::abort();
    }));
    options::run(lexopt::Parser::from_env()).unwrap_or_else(|Failure(sentence)| {
        log::message(&sentence);
        ExitCode::FAILURE
    })
}
