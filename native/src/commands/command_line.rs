//! Parses the arguments and options of a command.

use std::collections::BTreeMap;
use std::env;

use lexopt::{Arg, Parser, ValueExt as _};

use super::Command;
use crate::Failure;

/// The arguments and options of a command.
pub struct Arguments {
    command: &'static Command,
    values: BTreeMap<&'static str, String>,
    switches: Vec<&'static str>,
    pub words: Vec<String>,
}

impl Arguments {
    /// Parses the rest of the command line. Returns `None` if the command line contains `--help`.
    pub fn read(command: &'static Command, parser: &mut Parser) -> Result<Option<Self>, Failure> {
        let mut line =
            Self { command, values: BTreeMap::new(), switches: Vec::new(), words: Vec::new() };
        while let Some(argument) =
            parser.next().map_err(|reason| line.invalid(&reason.to_string()))?
        {
            let name = match argument {
                Arg::Value(word) => {
                    line.words.push(word.to_string_lossy().into_owned());
                    continue;
                }
                Arg::Long("help") | Arg::Short('h') => return Ok(None),
                Arg::Short(letter) => {
                    return Err(line.invalid(&format!("Unknown option '-{letter}'")));
                }
                Arg::Long(name) => name.to_owned(),
            };
            let known =
                |names: &[&'static str]| names.iter().find(|known| **known == name).copied();
            if let Some(known) = known(command.switches) {
                line.switches.push(known);
            } else if let Some(known) = known(command.values).or_else(|| known(command.connection))
            {
                let value = value_of(parser, known);
                let value = value.map_err(|reason| line.invalid(&reason.to_string()))?;
                line.values.insert(known, value);
            } else {
                return Err(line.invalid(&format!("Unknown option '--{name}'")));
            }
        }
        Ok(Some(line))
    }

    /// Returns the value of an option, or `None` if the option is missing or its value is empty.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.given(name).filter(|value| !value.is_empty())
    }

    /// Returns the value of an option, which may be empty.
    pub fn given(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// Returns the value of an option. If the option is missing, returns the value of the
    /// environment variable.
    pub fn value_or_variable(&self, name: &str, variable: &str) -> Option<String> {
        self.value(name).map(str::to_owned).or_else(|| {
            let value = env::var(variable).ok();
            value.filter(|value| !value.is_empty())
        })
    }

    pub fn has(&self, name: &str) -> bool {
        self.switches.contains(&name)
    }

    /// Returns the only argument, which is the name of a `thing`.
    pub fn only_word(&self, thing: &str) -> Result<&str, Failure> {
        match &self.words[..] {
            [] => Err(self.incomplete()),
            [word] => Ok(word),
            [_, more, ..] => {
                Err(self.invalid(&format!("Unexpected argument \"{more}\": name only one {thing}")))
            }
        }
    }

    /// Returns the failure for a command line without a required part. The failure's text is the
    /// command's help.
    pub fn incomplete(&self) -> Failure {
        Failure::of(self.command.help.trim_end())
    }

    pub fn unknown(&self, word: &str) -> Failure {
        Failure(format!(
            "Unexpected argument \"{word}\". See tidemark {} --help.",
            self.command.name
        ))
    }

    /// Returns the failure with the text `sentence` and a reference to the help.
    pub fn invalid(&self, sentence: &str) -> Failure {
        Failure(format!("{sentence}. See tidemark {} --help.", self.command.name))
    }
}

/// Returns the value of the option `--name`. The parser must have read this option immediately
/// before.
///
/// # Errors
/// Returns [`lexopt::Error`] if the value is absent. A value that looks like an option must follow
/// `=`.
fn value_of(parser: &mut Parser, name: &str) -> Result<String, lexopt::Error> {
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
