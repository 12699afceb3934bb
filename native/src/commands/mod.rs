//! Implements the commands. All of them except `serve` send requests to a server over HTTP. The
//! server can be any Tidemark deployment.
//!
//! The help of each command is a text file in this folder. `npm run reference` generates
//! docs/reference/cli.md from these files.

/// Writes lines to standard error, and escapes control characters for a terminal. Unlike
/// `eprintln!`, this macro does not panic if the reader has closed the pipe, so an import continues
/// without messages.
macro_rules! stderr_line {
    ($($text:tt)*) => { $crate::log::message(&format!($($text)*)) };
}

mod backup;
mod command_line;
mod deployment;
mod export;
mod flight;
mod http_client;
mod import;
mod json;
mod parquet;
mod query;
mod restore;
mod result_text;
pub mod serve;
mod shell;
mod steps;
mod table;
mod token;
mod verify;

use std::borrow::Cow;
use std::fs;
use std::io::{ErrorKind, IsTerminal as _, Write};
use std::path::Path;
use std::process::ExitCode;

use lexopt::Parser;

use crate::Failure;
use crate::printable::printable_lines;
use command_line::Arguments;

/// A command and its options.
pub struct Command {
    /// The name of the command on the command line.
    pub name: &'static str,
    /// The text of `--help`. The first line is the summary.
    pub help: &'static str,
    /// [`CONNECTION`], or no options if the command does not send requests itself.
    connection: &'static [&'static str],
    /// The other options that have a value.
    values: &'static [&'static str],
    /// The options that have no value.
    switches: &'static [&'static str],
    run: fn(&Arguments) -> Result<ExitCode, Failure>,
}

/// The options of commands that send requests: the server's address, and the data folder of a
/// server on this machine.
const CONNECTION: &[&str] = &["url", "data"];

/// The commands, in the order in which new users need them.
pub const ALL: &[Command] = &[
    serve::COMMAND,
    query::COMMAND,
    import::COMMAND,
    export::COMMAND,
    backup::COMMAND,
    restore::COMMAND,
    verify::COMMAND,
    token::COMMAND,
    flight::COMMAND,
];

/// Runs a command. `parser` contains the rest of the command line.
pub fn run(command: &'static Command, parser: &mut Parser) -> Result<ExitCode, Failure> {
    match Arguments::read(command, parser)? {
        Some(line) => (command.run)(&line),
        None => print(command.help).map(|()| ExitCode::SUCCESS),
    }
}

/// Writes to standard output. If the reader has closed the pipe, as in `… | head`, the command
/// continues silently, so that its exit code is still correct.
fn print(text: impl AsRef<[u8]>) -> Result<(), Failure> {
    print_piece(text).map(|_| ())
}

/// Writes a piece of a long output to standard output. Returns `false` if the reader has closed the
/// pipe.
fn print_piece(text: impl AsRef<[u8]>) -> Result<bool, Failure> {
    let mut out = std::io::stdout().lock();
    let text = output(text.as_ref(), out.is_terminal());
    write_piece(&mut out, &text)
}

/// Escapes control characters in a text for a terminal. A file or pipe receives the unchanged text.
fn output(text: &[u8], is_terminal: bool) -> Cow<'_, [u8]> {
    match is_terminal {
        true => printable_lines(&String::from_utf8_lossy(text)).into_owned().into_bytes().into(),
        false => text.into(),
    }
}

fn write_piece(out: &mut impl Write, text: &[u8]) -> Result<bool, Failure> {
    match out.write_all(text).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(reason) if reason.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(reason) => Err(Failure(format!("The output cannot be written: {reason}."))),
    }
}

/// Writes a file. The old file is replaced only by a complete new file, even if the program ends
/// unexpectedly.
fn replace_file(path: &Path, text: &str) -> Result<(), Failure> {
    let part = path.with_added_extension("part");
    let written = fs::write(&part, text).and_then(|()| fs::rename(&part, path));
    written.map_err(|reason| Failure::file("written", path, reason))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the options in a help text. Options have the format `  --name VALUE`.
    fn options_of(help: &str) -> Vec<(&str, bool)> {
        let lines = help.lines().filter_map(|line| line.strip_prefix("  --")?.split_once(' '));
        lines
            .map(|(name, rest)| (name, rest.starts_with(|c: char| c.is_ascii_uppercase())))
            .collect()
    }

    #[test]
    fn closed_pipe_is_no_failure() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        assert!(write_piece(&mut writer, b"a").unwrap());
        drop(reader);
        assert!(!write_piece(&mut writer, b"b").unwrap());
    }

    #[test]
    fn terminals_receive_no_control_characters() {
        let csv = b"name,v\nm,\x1b[2J\n";
        assert_eq!(output(csv, true), b"name,v\nm,\\u001b[2J\n".as_slice());
        assert_eq!(output(csv, false), csv.as_slice());
    }

    #[test]
    fn command_help_lists_exact_options() {
        for command in ALL {
            let mut listed = options_of(command.help);
            listed.retain(|(name, _)| *name != "help");
            let values = command.values.iter().chain(command.connection).map(|name| (*name, true));
            let mut known: Vec<_> = values.collect();
            known.extend(command.switches.iter().map(|name| (*name, false)));
            listed.sort_unstable();
            known.sort_unstable();
            assert_eq!(listed, known, "{}", command.name);
            assert!(command.help.contains(&format!("\nusage: tidemark {} ", command.name)));
            assert!(command.help.contains("\nExamples:\n"), "{}", command.name);
        }
    }
}
