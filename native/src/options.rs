//! Parses the command line. Environment variables replace missing options.

use std::env;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::thread::available_parallelism;
use std::time::Duration;

use lexopt::{Arg, Parser, ValueExt as _};

use crate::limits::{
    MEMORY_BYTES, SQL_TURN_MS_MAX, SQL_UNUSED_MS_MAX, THREAD_MEMORY_BYTES, THREADS_MAX,
};
use crate::sql::Times;
use crate::{Failure, commands};

pub const HELP: &str = include_str!("commands/serve.txt");

/// The argument that starts the SQL process. Only this program uses the argument.
pub const SQL_PROCESS: &str = "sql-process";

#[derive(Debug)]
pub struct Options {
    pub data: PathBuf,
    pub listen: Vec<SocketAddr>,
    pub tls: Option<(PathBuf, PathBuf)>,
    pub backups: Option<PathBuf>,
    /// `THREADS`: the number of engine threads.
    pub threads: usize,
    /// `MEMORY_BYTES`: the total memory of all threads for memtables and decoded values, in bytes.
    pub memory_bytes: usize,
    /// `SQL_TURN_MS` and `SQL_UNUSED_MS`, for tests.
    pub sql_times: Times,
}

pub enum Command {
    Serve(Options),
    #[cfg(feature = "sql")]
    SqlProcess,
    /// A command that sends requests to a server, and its part of the command line.
    Client(&'static commands::Command, Parser),
    /// `--help`, for the program or for one command
    Help(String),
    Version,
}

/// Reads the command line of this process.
pub fn read() -> Result<Command, Failure> {
    parse(Parser::from_env())
}

/// Returns the value of the option `--name`. The parser must have read this option immediately
/// before.
///
/// # Errors
/// Returns [`lexopt::Error`] if the value is absent. A value that looks like an option must follow
/// `=`.
pub fn value_of(parser: &mut Parser, name: &str) -> Result<String, lexopt::Error> {
    if let Some(joined) = parser.optional_value() {
        return joined.string();
    }
    let value = parser.value()?.string()?;
    match value.starts_with("--") {
        true => Err(format!(
            "Option '--{name}' has no value: use --{name}={value} for a value that begins with --"
        )
        .into()),
        false => Ok(value),
    }
}

fn parse(mut parser: Parser) -> Result<Command, Failure> {
    let mut command_line = CommandLine::default();
    let mut first_option = None;
    let mut is_serve = false;
    while let Some(argument) = parser.next().map_err(invalid)? {
        match argument {
            Arg::Value(word) if word == "serve" && !is_serve => is_serve = true,
            Arg::Value(word) if word == "help" && !is_serve => {
                let of = parser.value().ok().and_then(|word| help_of(&word.to_string_lossy()));
                return Ok(Command::Help(of.unwrap_or_else(overview)));
            }
            #[cfg(feature = "sql")]
            Arg::Value(word) if word == SQL_PROCESS => return Ok(Command::SqlProcess),
            Arg::Long("help") | Arg::Short('h') => {
                return Ok(Command::Help(if is_serve { HELP.to_owned() } else { overview() }));
            }
            Arg::Long("version") | Arg::Short('V') => return Ok(Command::Version),
            Arg::Long(name) => {
                let name = name.to_owned();
                let option = command_line
                    .option_mut(&name)
                    .ok_or_else(|| unknown(&format!("--{name}"), is_serve))?;
                *option = Some(value_of(&mut parser, &name).map_err(invalid)?);
                first_option.get_or_insert(name);
            }
            Arg::Short(name) => return Err(unknown(&format!("-{name}"), is_serve)),
            Arg::Value(word) if is_serve => return Err(unknown(&word.to_string_lossy(), true)),
            Arg::Value(word) => {
                let name = word.to_string_lossy();
                let command = commands::ALL.iter().find(|command| command.name == name);
                let command = command.ok_or_else(|| unknown_command(&name))?;
                if let Some(option) = first_option {
                    return Err(Failure(format!(
                        "Write --{option} after the command: tidemark {name} --{option} …"
                    )));
                }
                return Ok(Command::Client(command, parser));
            }
        }
    }
    if !is_serve {
        return Ok(Command::Help(overview()));
    }
    command_line
        .options(|name| env::var(name).ok().filter(|value| !value.is_empty()))
        .map(Command::Serve)
}

fn helps() -> impl Iterator<Item = (&'static str, &'static str)> {
    let serve = std::iter::once(("serve", HELP));
    serve.chain(commands::ALL.iter().map(|command| (command.name, command.help)))
}

fn help_of(name: &str) -> Option<String> {
    helps().find(|(known, _)| *known == name).map(|(_, help)| help.to_owned())
}

fn overview() -> String {
    let mut text = format!(
        "Tidemark {}, an InfluxDB-compatible time-series database.\n\n\
         usage: tidemark COMMAND …\n\n",
        env!("CARGO_PKG_VERSION")
    );
    for (name, help) in helps() {
        // The first line of each help text is its summary.
        let summary = help.lines().next().unwrap_or_default();
        text += &format!("  {name:<8}  {summary}\n");
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
    let known: Vec<_> = helps().map(|(name, _)| name).collect();
    let known = known.join(", ");
    Failure(format!("Unknown command \"{name}\": use one of {known}, or see tidemark --help."))
}

#[derive(Debug, Default)]
struct CommandLine {
    data: Option<String>,
    listen: Option<String>,
    flight: Option<String>,
    tls_cert: Option<String>,
    tls_key: Option<String>,
    backups: Option<String>,
}

impl CommandLine {
    fn option_mut(&mut self, name: &str) -> Option<&mut Option<String>> {
        Some(match name {
            "data" => &mut self.data,
            "listen" => &mut self.listen,
            "flight" => &mut self.flight,
            "tls-cert" => &mut self.tls_cert,
            "tls-key" => &mut self.tls_key,
            "backups" => &mut self.backups,
            _ => return None,
        })
    }

    fn options(self, variable: impl Fn(&str) -> Option<String>) -> Result<Options, Failure> {
        let host = variable("HOST").unwrap_or_else(|| "127.0.0.1".to_owned());
        let place = |port: &str| match host.contains(':') {
            true => format!("[{host}]:{port}"),
            false => format!("{host}:{port}"),
        };
        let listen = match self.listen {
            Some(listen) => address("--listen", &listen)?,
            None => {
                let port = variable("PORT").unwrap_or_else(|| "8787".to_owned());
                address("The address of HOST and PORT", &place(&port))?
            }
        };
        let flight = match (self.flight, variable("FLIGHT_PORT")) {
            (Some(flight), _) => Some(address("--flight", &flight)?),
            (None, Some(port)) => {
                Some(address("The address of HOST and FLIGHT_PORT", &place(&port))?)
            }
            (None, None) => None,
        };
        let cert = self.tls_cert.or_else(|| variable("TLS_CERT"));
        let key = self.tls_key.or_else(|| variable("TLS_KEY"));
        let tls = tls_files(cert, key)?;
        let data = self.data.or_else(|| variable("TIDEMARK_DATA"));
        let turn_ms = variable("SQL_TURN_MS");
        let turn_ms = number("SQL_TURN_MS", turn_ms, SQL_TURN_MS_MAX, SQL_TURN_MS_MAX)?;
        let unused_ms = variable("SQL_UNUSED_MS");
        let unused_ms = number("SQL_UNUSED_MS", unused_ms, SQL_UNUSED_MS_MAX, SQL_UNUSED_MS_MAX)?;
        let processors = available_parallelism().map_or(1, |number| number.get());
        let threads = number("THREADS", variable("THREADS"), processors, THREADS_MAX)?;
        Ok(Options {
            data: data.unwrap_or_else(|| "tidemark-data".to_owned()).into(),
            listen: std::iter::once(listen).chain(flight).collect(),
            tls,
            backups: self.backups.or_else(|| variable("BACKUP_FOLDER")).map(PathBuf::from),
            threads,
            memory_bytes: number(
                "MEMORY_BYTES",
                variable("MEMORY_BYTES"),
                MEMORY_BYTES.max(threads * THREAD_MEMORY_BYTES),
                usize::MAX,
            )?,
            sql_times: Times {
                turn: Duration::from_millis(turn_ms as u64),
                unused: Duration::from_millis(unused_ms as u64),
            },
        })
    }
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

fn number(
    name: &str,
    text: Option<String>,
    fallback: usize,
    most: usize,
) -> Result<usize, Failure> {
    let Some(text) = text else { return Ok(fallback.min(most)) };
    let number = text.trim().parse().ok().filter(|number| (1..=most).contains(number));
    number.ok_or_else(|| {
        Failure(format!("the setting {name} is \"{text}\", which is not a number from 1 to {most}"))
    })
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

fn unknown(word: &str, is_serve: bool) -> Failure {
    Failure(match is_serve {
        true => format!("Unknown argument \"{word}\": see tidemark serve --help."),
        false => format!(
            "Unknown option \"{word}\": write options after the command, as tidemark --help shows."
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure_of(words: &[&str]) -> String {
        match parse(Parser::from_args(words.iter().copied())) {
            Ok(_) => String::new(),
            Err(Failure(reason)) => reason,
        }
    }

    #[test]
    fn client_options_follow_the_command() {
        assert_eq!(failure_of(&["query", "--data", "a"]), "");
        assert_eq!(failure_of(&["--data", "a", "serve", "--help"]), "");
        let reason = failure_of(&["--data", "a", "query"]);
        assert_eq!(reason, "Write --data after the command: tidemark query --data …");
    }

    #[test]
    fn option_value_cannot_be_option() {
        let reason = failure_of(&["serve", "--data", "--listen", "127.0.0.1:1"]);
        assert!(
            reason.starts_with("Option '--data' has no value: use --data=--listen "),
            "{reason}"
        );
        assert_eq!(failure_of(&["serve", "--data=--listen", "--help"]), "");
    }

    #[test]
    fn environment_supplies_missing_options() {
        let variable = |name: &str| match name {
            "HOST" => Some("::1".to_owned()),
            "PORT" => Some("1".to_owned()),
            "FLIGHT_PORT" => Some("2".to_owned()),
            "TIDEMARK_DATA" => Some("elsewhere".to_owned()),
            "MEMORY_BYTES" => Some("7".to_owned()),
            _ => None,
        };
        let options = CommandLine::default().options(variable).unwrap();
        let listen: Vec<String> = options.listen.iter().map(SocketAddr::to_string).collect();
        assert_eq!(listen, ["[::1]:1", "[::1]:2"]);
        assert_eq!((options.data, options.memory_bytes), ("elsewhere".into(), 7));
        let data = Some("here".to_owned());
        let command_line =
            CommandLine { data, tls_cert: Some("c".to_owned()), ..CommandLine::default() };
        assert!(command_line.options(variable).is_err());
        let command_line =
            CommandLine { listen: Some("nowhere".to_owned()), ..CommandLine::default() };
        assert!(command_line.options(|_| None).is_err());
        assert!(CommandLine::default().options(|_| Some("x".to_owned())).is_err());
        let port = |name: &str| (name == "PORT").then(|| "x".to_owned());
        let Failure(reason) = CommandLine::default().options(port).unwrap_err();
        assert!(
            reason.starts_with("The address of HOST and PORT is \"127.0.0.1:x\": expected"),
            "{reason}"
        );
        let unknown = "Unknown argument \"--no\": see tidemark serve --help.";
        assert_eq!(failure_of(&["serve", "--no"]), unknown);
        let early = failure_of(&["--database", "d", "query"]);
        assert!(early.starts_with("Unknown option \"--database\": write options after"), "{early}");
    }
}
