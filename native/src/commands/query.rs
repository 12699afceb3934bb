//! Implements `tidemark query`: runs InfluxQL statements, either once or in a shell.

use std::io::{IsTerminal as _, Read as _, stdin};
use std::process::ExitCode;

use super::command_line::Arguments;
use super::http_client::{JSON, Server};
use super::result_text;
use super::shell::shell;
use super::{CONNECTION, Command, print_piece};
use crate::Failure;

pub const COMMAND: Command = Command {
    name: "query",
    help: include_str!("query.txt"),
    connection: CONNECTION,
    values: &["database", "format", "epoch"],
    switches: &[],
    run,
};

const STATEMENTS_BYTES_MAX: u64 = 64 << 20;
const PIECE_BYTES: usize = 64 << 10;

#[derive(Clone, Copy)]
pub enum Format {
    /// One table for each series.
    Table,
    /// The CSV response, which is unchanged unless a terminal shows it.
    Csv,
    /// The JSON response, which is unchanged unless a terminal shows it.
    Json,
}

impl Format {
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "table" => Self::Table,
            "csv" => Self::Csv,
            "json" => Self::Json,
            _ => return None,
        })
    }
}

pub struct Settings {
    /// The database for statements that specify no database.
    pub database: Option<String>,
    pub format: Format,
    /// The unit of numeric times, or `None` means that times are text.
    pub epoch: Option<String>,
}

fn run(line: &Arguments) -> Result<ExitCode, Failure> {
    if line.words.len() > 1 {
        return Err(line.invalid("Put the statements into one pair of quotes"));
    }
    let format = line.value("format").unwrap_or("table");
    let format = Format::named(format)
        .ok_or_else(|| Failure(format!("--format is \"{format}\": choose table, csv or json.")))?;
    let owned = |name: &str| line.value(name).map(str::to_owned);
    let settings = Settings { database: owned("database"), format, epoch: owned("epoch") };
    let server = Server::of(line)?;
    let succeeded = match line.words.first() {
        Some(statements) => show(&server, statements, &settings)?,
        None if stdin().is_terminal() => {
            shell(&server, settings)?;
            true
        }
        None => show(&server, &standard_input()?, &settings)?,
    };
    Ok(if succeeded { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs statements and prints the results. Returns whether every statement succeeded. Errors of
/// statements are detected only with [`Format::Table`].
pub fn show(server: &Server, statements: &str, settings: &Settings) -> Result<bool, Failure> {
    let accept = match settings.format {
        Format::Csv => "application/csv",
        Format::Table | Format::Json => JSON,
    };
    let (database, epoch) = (settings.database.as_deref(), settings.epoch.as_deref());
    let response = server.query(statements, database, epoch, accept)?;
    if let Format::Table = settings.format {
        return result_text::show(&response.json()?);
    }
    let mut reader = response.reader();
    let mut piece = vec![0; PIECE_BYTES];
    // The number of bytes at the start of `piece` that belong to an incomplete character of the
    // previous read.
    let mut kept = 0;
    loop {
        let read = reader.read(piece.get_mut(kept..).unwrap_or_default());
        let read =
            read.map_err(|reason| Failure(format!("The response is incomplete: {reason}.")))?;
        let text = piece.get(..kept + read).unwrap_or_default();
        let complete = if read == 0 { kept } else { complete_length(text) };
        let is_open = print_piece(text.get(..complete).unwrap_or_default())?;
        if read == 0 || !is_open {
            return Ok(true);
        }
        piece.copy_within(complete..kept + read, 0);
        kept += read - complete;
    }
}

/// Returns the length of a text. An incomplete character at the end of the text does not count.
/// [`print_piece`] would replace the parts of a divided character on a terminal.
fn complete_length(text: &[u8]) -> usize {
    match std::str::from_utf8(text) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        _ => text.len(),
    }
}

fn standard_input() -> Result<String, Failure> {
    let mut text = String::new();
    let read = stdin().take(STATEMENTS_BYTES_MAX + 1).read_to_string(&mut text);
    read.map_err(|reason| Failure(format!("Standard input cannot be read: {reason}.")))?;
    if text.len() as u64 > STATEMENTS_BYTES_MAX {
        return Err(Failure::of("The statements on standard input are larger than 64 MiB."));
    }
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_end_between_characters() {
        assert_eq!(complete_length("aé温".as_bytes()), 6);
        assert_eq!(complete_length(&"aé".as_bytes()[..2]), 1);
        assert_eq!(complete_length(&"a温".as_bytes()[..3]), 1);
        // Bytes that no further piece completes are not kept.
        assert_eq!(complete_length(b"a\xff"), 2);
    }
}
