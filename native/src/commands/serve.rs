//! Implements `tidemark serve`: runs the database. Environment variables replace missing options.

use std::path::PathBuf;
use std::process::ExitCode;
use std::thread::available_parallelism;
use std::time::Duration;

use super::Command;
use super::command_line::Arguments;
use crate::Failure;
use crate::limits::{
    MEMORY_BYTES, SQL_PROCESS_BYTES_MAX, SQL_TURN_MS_MAX, SQL_UNUSED_MS_MAX, THREAD_MEMORY_BYTES,
    THREADS_MAX,
};
use crate::listen::{self, Options};
use crate::options::{address, tls_files};
use crate::sql::ProcessLimits;

pub const COMMAND: Command = Command {
    name: "serve",
    help: include_str!("serve.txt"),
    connection: &[],
    values: &["data", "listen", "flight", "tls-cert", "tls-key", "backups"],
    switches: &[],
    run,
};

fn run(line: &Arguments) -> Result<ExitCode, Failure> {
    if let Some(word) = line.words.first() {
        return Err(line.unknown(word));
    }
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    listen::serve(options(line, variable)?)?;
    Ok(ExitCode::SUCCESS)
}

fn options(
    line: &Arguments,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Options, Failure> {
    // An option with an empty value is not a missing option: with empty values for --tls-cert and
    // --tls-key, for example, the server must not start without TLS.
    let given =
        |option: &str, name: &str| line.given(option).map(str::to_owned).or_else(|| variable(name));
    let host = variable("HOST").unwrap_or_else(|| "127.0.0.1".to_owned());
    let place = |port: &str| match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    };
    let listen = match line.given("listen") {
        Some(listen) => address("--listen", listen)?,
        None => {
            let port = variable("PORT").unwrap_or_else(|| "8787".to_owned());
            address("The address of HOST and PORT", &place(&port))?
        }
    };
    let flight = match (line.given("flight"), variable("FLIGHT_PORT")) {
        (Some(flight), _) => Some(address("--flight", flight)?),
        (None, Some(port)) => Some(address("The address of HOST and FLIGHT_PORT", &place(&port))?),
        (None, None) => None,
    };
    let number =
        |name: &str, fallback: usize, most: usize| number(name, variable(name), fallback, most);
    let turn_ms = number("SQL_TURN_MS", SQL_TURN_MS_MAX, SQL_TURN_MS_MAX)?;
    let process_bytes = number("SQL_PROCESS_BYTES", SQL_PROCESS_BYTES_MAX, SQL_PROCESS_BYTES_MAX)?;
    let unused_ms = number("SQL_UNUSED_MS", SQL_UNUSED_MS_MAX, SQL_UNUSED_MS_MAX)?;
    let processors = available_parallelism().map_or(1, |number| number.get());
    let threads = number("THREADS", processors, THREADS_MAX)?;
    let memory_bytes = MEMORY_BYTES.max(threads * THREAD_MEMORY_BYTES);
    Ok(Options {
        data: given("data", "TIDEMARK_DATA").unwrap_or_else(|| "tidemark-data".to_owned()).into(),
        listen: std::iter::once(listen).chain(flight).collect(),
        tls: tls_files(given("tls-cert", "TLS_CERT"), given("tls-key", "TLS_KEY"))?,
        backups: given("backups", "BACKUP_FOLDER").map(PathBuf::from),
        threads,
        memory_bytes: number("MEMORY_BYTES", memory_bytes, usize::MAX)?,
        sql_limits: ProcessLimits {
            turn: Duration::from_millis(turn_ms as u64),
            memory_bytes: process_bytes as u64,
            unused: Duration::from_millis(unused_ms as u64),
        },
    })
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

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use lexopt::Parser;

    use super::*;

    fn options_of(
        words: &[&'static str],
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Options, Failure> {
        let line = Arguments::read(&COMMAND, &mut Parser::from_args(words.iter().copied()))?;
        options(&line.unwrap(), variable)
    }

    fn failure_of(words: &[&'static str], variable: impl Fn(&str) -> Option<String>) -> String {
        let Failure(reason) = options_of(words, variable).unwrap_err();
        reason
    }

    #[test]
    fn option_value_cannot_be_option() {
        let reason = failure_of(&["--data", "--listen", "127.0.0.1:1"], |_| None);
        let start = "Option '--data' has no value: use --data=--listen ";
        assert!(reason.starts_with(start), "{reason}");
        assert!(options_of(&["--data=--listen"], |_| None).is_ok());
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
        let options = options_of(&[], variable).unwrap();
        let listen: Vec<String> = options.listen.iter().map(SocketAddr::to_string).collect();
        assert_eq!(listen, ["[::1]:1", "[::1]:2"]);
        assert_eq!((options.data, options.memory_bytes), ("elsewhere".into(), 7));
        failure_of(&["--data", "here", "--tls-cert", "c"], variable);
        failure_of(&["--listen", "nowhere"], |_| None);
        failure_of(&[], |_| Some("x".to_owned()));
        let reason = failure_of(&[], |name| (name == "PORT").then(|| "x".to_owned()));
        let start = "The address of HOST and PORT is \"127.0.0.1:x\": expected";
        assert!(reason.starts_with(start), "{reason}");
        let tls = options_of(&["--tls-cert=", "--tls-key="], |_| None).unwrap().tls;
        assert_eq!(tls, Some(("".into(), "".into())));
        let unknown = "Unknown option '--no'. See tidemark serve --help.";
        assert_eq!(failure_of(&["--no"], |_| None), unknown);
    }
}
