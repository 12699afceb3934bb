//! Runs the command that the command line names, and parses values that several commands have.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::process::ExitCode;

use lexopt::{Arg, Parser};

use crate::{Failure, commands, log};

/// The argument that starts the SQL process. Only this program uses the argument.
pub const SQL_PROCESS: &str = "sql-process";

/// Runs the command of a command line.
pub fn run(mut parser: Parser) -> Result<ExitCode, Failure> {
    let early = |option: String| {
        Failure(format!(
            "Unexpected option \"{option}\": write options after the command, as tidemark --help \
             shows."
        ))
    };
    let name = match parser.next().map_err(invalid)? {
        None | Some(Arg::Long("help") | Arg::Short('h')) => return print(&overview()),
        Some(Arg::Long("version") | Arg::Short('V')) => {
            return print(concat!("tidemark ", env!("CARGO_PKG_VERSION")));
        }
        Some(Arg::Long(name)) => return Err(early(format!("--{name}"))),
        Some(Arg::Short(name)) => return Err(early(format!("-{name}"))),
        Some(Arg::Value(word)) => word.to_string_lossy().into_owned(),
    };
    match (name.as_str(), named(&name)) {
        ("help", _) => {
            let of = parser.value().ok().and_then(|word| named(&word.to_string_lossy()));
            print(&of.map_or_else(overview, |command| command.help.to_owned()))
        }
        #[cfg(feature = "sql")]
        (SQL_PROCESS, _) => crate::sql::child::run().map(|()| ExitCode::SUCCESS),
        (_, Some(command)) => commands::run(command, &mut parser),
        (_, None) => Err(unknown_command(&name)),
    }
}

fn print(text: &str) -> Result<ExitCode, Failure> {
    log::line(text.trim_end());
    Ok(ExitCode::SUCCESS)
}

fn named(name: &str) -> Option<&'static commands::Command> {
    commands::ALL.iter().find(|command| command.name == name)
}

fn overview() -> String {
    let mut text = format!(
        "Tidemark {}, an InfluxDB-compatible time-series database.\n\n\
         usage: tidemark COMMAND …\n\n",
        env!("CARGO_PKG_VERSION")
    );
    for command in commands::ALL {
        // The first line of each help text is its summary.
        let summary = command.help.lines().next().unwrap_or_default();
        text += &format!("  {:<8}  {summary}\n", command.name);
    }
    text += "
tidemark COMMAND --help describes the options of a command. To begin:

  tidemark serve                          # starts the server; use another terminal below
  tidemark query 'CREATE DATABASE demo'
  echo 'weather,city=Oslo temperature=12.5' | tidemark import --database demo -
  tidemark query --database demo 'SELECT * FROM weather'
";
    text
}

fn unknown_command(name: &str) -> Failure {
    let known: Vec<_> = commands::ALL.iter().map(|command| command.name).collect();
    let known = known.join(", ");
    Failure(format!("Unknown command \"{name}\": use one of {known}, or see tidemark --help."))
}

pub fn tls_files(
    cert: Option<String>,
    key: Option<String>,
) -> Result<Option<(PathBuf, PathBuf)>, Failure> {
    match (cert, key) {
        (None, None) => Ok(None),
        (Some(cert), Some(key)) => Ok(Some((cert.into(), key.into()))),
        _ => Err(Failure::of("--tls-cert and --tls-key belong together: use both.")),
    }
}

pub fn address(option: &str, text: &str) -> Result<SocketAddr, Failure> {
    let found = text.to_socket_addrs().ok().and_then(|mut found| found.next());
    found.ok_or_else(|| {
        Failure(format!(
            "{option} is \"{text}\": expected an address such as 127.0.0.1:8787 or [::1]:8787."
        ))
    })
}

fn invalid(reason: lexopt::Error) -> Failure {
    Failure(reason.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_follow_the_command() {
        let Failure(reason) = run(Parser::from_args(["--database", "d", "query"])).unwrap_err();
        let early = "Unexpected option \"--database\": write options after the command";
        assert!(reason.starts_with(early), "{reason}");
    }
}
