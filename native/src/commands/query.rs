//! Implements `tidemark query`: runs InfluxQL statements, either once or in a shell.

use std::io::{IsTerminal as _, Read as _, stdin, stdout};
use std::process::ExitCode;

use super::command_line::Line;
use super::http_client::{JSON, Server};
use super::result_text;
use super::shell::shell;
use super::{CONNECTION, Command, print, print_piece};
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

fn run(line: &Line) -> Result<ExitCode, Failure> {
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
    if stdout().is_terminal() {
        // Within one text, no character is split between two pieces.
        return print(response.text()?).map(|()| true);
    }
    let mut reader = response.reader();
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = reader.read(&mut piece);
        let length =
            read.map_err(|reason| Failure(format!("The response is incomplete: {reason}.")))?;
        if length == 0 || !print_piece(piece.get(..length).unwrap_or_default())? {
            return Ok(true);
        }
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
