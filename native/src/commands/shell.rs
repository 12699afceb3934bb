//! Implements the shell of `tidemark query`: an InfluxQL prompt with history and completion.

use std::cell::OnceCell;
use std::collections::{BTreeSet, VecDeque};
use std::env;
use std::fs::{DirBuilder, OpenOptions, read_to_string};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::time::Duration;

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::MemHistory;
use rustyline::validate::Validator;
use rustyline::{CompletionType, Config, Context, Editor, Helper};
use serde_json::Value;

use super::http_client::{JSON, Server};
use super::json::array;
use super::print;
use super::query::{Format, Settings, show};
use crate::Failure;

/// The maximum time until the server starts the response to a completion request, and between two
/// pieces of this response.
const COMPLETION_MAX: Duration = Duration::from_secs(2);
const HISTORY_LINES_MAX: usize = 1_000;

/// The words that the shell can complete: InfluxQL keywords and the commands of the shell.
const KEYWORDS: &str = "SELECT FROM WHERE GROUP BY ORDER LIMIT SLIMIT OFFSET SOFFSET DESC AND OR \
    INTO fill time now() SHOW DATABASES MEASUREMENTS SERIES FIELD TAG KEYS VALUES WITH KEY \
    RETENTION POLICIES SHARDS STATS USERS CREATE DROP DATABASE DELETE ALTER POLICY DURATION \
    REPLICATION DEFAULT ON EXPLAIN ANALYZE mean( count( sum( min( max( first( last( median( \
    percentile( derivative( difference( distinct( use format exit help";

const HELP: &str = "\
use DB        selects the database for queries
format NAME   prints results as table, csv or json
exit          ends the shell, like Ctrl-D
Everything else is InfluxQL. Tab completes words, databases, measurements and their fields.
";

/// The names in a database that the shell can complete. The first completion requests these names
/// from the server.
struct Names<'a> {
    server: &'a Server,
    database: Option<String>,
    known: OnceCell<BTreeSet<String>>,
}

impl Names<'_> {
    fn known(&self) -> &BTreeSet<String> {
        self.known.get_or_init(|| {
            let mut statements = vec!["SHOW DATABASES"];
            if self.database.is_some() {
                statements.extend(["SHOW MEASUREMENTS", "SHOW FIELD KEYS", "SHOW TAG KEYS"]);
            }
            // The terminal is blocked while the names are requested, so this code stops after the
            // first failed request.
            let columns = statements.into_iter().map_while(|q| self.first_column(q).ok());
            columns.flatten().collect()
        })
    }

    fn first_column(&self, q: &str) -> Result<BTreeSet<String>, Failure> {
        let response = self.server.query(q, self.database.as_deref(), None, JSON)?.json()?;
        let series = array(&response, "results").iter().flat_map(|result| array(result, "series"));
        let names = series.flat_map(|series| array(series, "values")).filter_map(|row| row.get(0));
        let names = names.filter_map(Value::as_str);
        // The terminal would execute control characters in its list of completions.
        Ok(names.filter(|name| !name.contains(char::is_control)).map(str::to_owned).collect())
    }
}

/// Returns the start of the last word in `line`, and the words to which it can be completed.
fn completions<'a>(line: &str, names: impl Iterator<Item = &'a str>) -> (usize, Vec<String>) {
    let is_end = |c: char| c.is_whitespace() || matches!(c, ',' | '(' | ')' | '"' | '\'');
    let start = line.rfind(is_end).map_or(0, |at| line.ceil_char_boundary(at + 1));
    let word = line.get(start..).unwrap_or_default().to_lowercase();
    if word.is_empty() {
        return (start, Vec::new());
    }
    let all = names.chain(KEYWORDS.split_ascii_whitespace());
    let found = all.filter(|name| name.to_lowercase().starts_with(&word));
    (start, found.map(str::to_owned).collect())
}

impl Completer for Names<'_> {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let before = line.get(..position).unwrap_or_default();
        Ok(completions(before, self.known().iter().map(String::as_str)))
    }
}

impl Hinter for Names<'_> {
    type Hint = String;
}

impl Highlighter for Names<'_> {}
impl Validator for Names<'_> {}
impl Helper for Names<'_> {}

/// The lines of earlier shell sessions. The most recent line is first, as in the file.
struct History {
    file: Option<PathBuf>,
    lines: VecDeque<String>,
}

impl History {
    fn read() -> Self {
        let variable = |name| env::var_os(name).filter(|value| !value.is_empty());
        let folder = variable("XDG_STATE_HOME").map(PathBuf::from);
        let folder =
            folder.or_else(|| Some(PathBuf::from(variable("HOME")?).join(".local").join("state")));
        let file = folder.map(|folder| folder.join("tidemark").join("history"));
        let text = file.as_ref().and_then(|file| read_to_string(file).ok()).unwrap_or_default();
        let lines = text.lines().filter(|line| !line.is_empty()).take(HISTORY_LINES_MAX);
        Self { lines: lines.map(str::to_owned).collect(), file }
    }

    /// Adds a line and writes the file. Statements may contain passwords. For this reason, only the
    /// current user can read the file, and lines with passwords are omitted. Errors are ignored.
    fn add(&mut self, line: &str) {
        if line.is_empty() || line.to_lowercase().contains("password") {
            return;
        }
        self.lines.retain(|known| known != line);
        self.lines.push_front(line.to_owned());
        self.lines.truncate(HISTORY_LINES_MAX);
        let Some(file) = &self.file else { return };
        let Some(folder) = file.parent() else { return };
        let _ = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        if let Ok(mut opened) = options.open(file) {
            let text: String = self.lines.iter().map(|line| format!("{line}\n")).collect();
            let _ = opened.write_all(text.as_bytes());
        }
    }
}

/// Reads and runs lines until the end of the input.
pub fn shell(server: &Server, mut settings: Settings) -> Result<(), Failure> {
    let broken = |reason: ReadlineError| Failure(format!("The terminal cannot be used: {reason}."));
    // The terminal returns a bracketed paste as one line, so several pasted statements would become
    // one statement.
    let config =
        Config::builder().completion_type(CompletionType::List).bracketed_paste(false).build();
    let mut editor = Editor::with_history(config, MemHistory::new()).map_err(broken)?;
    let completing = server.with_limit(COMPLETION_MAX);
    let names = |database| Names { server: &completing, database, known: OnceCell::new() };
    editor.set_helper(Some(names(settings.database.clone())));
    let mut history = History::read();
    for line in history.lines.iter().rev() {
        editor.add_history_entry(line).map_err(broken)?;
    }
    print(format!("Connected to {}. Type help for the commands.\n", server.url))?;
    loop {
        let prompt = format!("{}> ", settings.database.as_deref().unwrap_or("tidemark"));
        let line = match editor.readline(&prompt) {
            Ok(line) => line,
            Err(ReadlineError::Eof | ReadlineError::Interrupted) => return Ok(()),
            Err(reason) => return Err(broken(reason)),
        };
        let text = line.trim();
        editor.add_history_entry(text).map_err(broken)?;
        history.add(text);
        let text = text.strip_suffix(';').unwrap_or(text).trim_end();
        let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        match (word, Some(rest.trim()).filter(|rest| !rest.is_empty())) {
            ("exit" | "quit", _) => return Ok(()),
            ("help", _) => print(HELP)?,
            ("", _) => {}
            ("format", Some(name)) if Format::named(name).is_some() => {
                settings.format = Format::named(name).unwrap_or(settings.format);
            }
            (word, Some(database)) if word.eq_ignore_ascii_case("use") => {
                settings.database = Some(unquoted(database));
                editor.set_helper(Some(names(settings.database.clone())));
            }
            (word, _) => {
                if let Err(Failure(reason)) = show(server, text, &settings) {
                    stderr_line!("{reason}");
                }
                let changes = ["create", "drop", "delete", "alter"];
                if changes.iter().any(|change| word.eq_ignore_ascii_case(change)) {
                    editor.set_helper(Some(names(settings.database.clone())));
                }
            }
        }
    }
}

/// Returns a name without the quotes of InfluxQL.
fn unquoted(name: &str) -> String {
    let inside = name.strip_prefix('"').and_then(|name| name.strip_suffix('"'));
    let unescaped = |name: &str| name.replace("\\\"", "\"").replace("\\\\", "\\");
    inside.map_or_else(|| name.to_owned(), unescaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_contain_spaces_and_quotes() {
        for (given, name) in [
            ("demo", "demo"),
            ("my data", "my data"),
            ("\"my data\"", "my data"),
            (r#""for \"ever\" \\""#, r#"for "ever" \"#),
            ("\"", "\""),
        ] {
            assert_eq!(unquoted(given), name);
        }
    }

    #[test]
    fn completion_ignores_case() {
        let names = ["weather", "wind speed"];
        let of = |line| completions(line, names.into_iter());
        assert_eq!(of("sel"), (0, vec!["SELECT".to_owned()]));
        assert_eq!(of("SELECT * FROM \"Wea"), (15, vec!["weather".to_owned()]));
        assert_eq!(of("SELECT mea"), (7, vec!["MEASUREMENTS".to_owned(), "mean(".to_owned()]));
        assert_eq!(of("SELECT "), (7, Vec::new()));
        assert_eq!(of("SELECT \u{3000}é"), (10, Vec::new()));
    }
}
