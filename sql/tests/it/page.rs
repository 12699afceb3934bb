//! Checks the statements and limits in `docs/SQL.md`.

use std::fs;
use std::path::Path;

use tidemark_sql::limits;
use tidemark_sql::output::Format;

use super::database::{Database, Layout, written};

fn path() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/SQL.md")
}

/// With `UPDATE=1`, the test writes the current results to the page. Review these results before
/// the commit.
#[test]
fn sql_page_examples_match_results() {
    let page = fs::read_to_string(path()).unwrap();
    let mut database = Database::default();
    let mut made = String::new();
    let mut statement: Option<String> = None;
    let mut asked = 0;
    let mut is_after_command = false;
    for (at, part) in page.split("```").enumerate() {
        let (language, text) = part.split_once('\n').unwrap_or((part, ""));
        let mut part = part.to_owned();
        match (at % 2 == 1, language) {
            (true, "sql") => statement = Some(text.to_owned()),
            (true, "text") => match (statement.take(), text.strip_prefix("write\n")) {
                (Some(statement), None) => {
                    let answered = database.ask(&statement, Layout::PLAIN).unwrap();
                    let table = written(&answered, Format::Pretty).unwrap();
                    part = format!("text\n{}\n", String::from_utf8(table).unwrap());
                    asked += 1;
                }
                (_, Some(lines)) => database.write(lines),
                // This block contains the output of a command. The end-to-end test compares this
                // output.
                (None, None) if is_after_command => is_after_command = false,
                (None, None) => panic!("an answer to nothing: {text}"),
            },
            // `tests/edge/sql.test.mjs` runs the command.
            (true, "sh") => is_after_command = true,
            (true, other) => panic!("a block of {other}"),
            (false, _) => {}
        }
        made += if at == 0 { "" } else { "```" };
        made += &part;
    }
    assert!(statement.is_none(), "a statement without an answer");
    assert!(asked > 4, "only {asked} statements");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(path(), made).unwrap();
    } else {
        assert_eq!(page, made);
    }
}

#[test]
fn sql_page_limits_match_code() {
    let page = fs::read_to_string(path()).unwrap();
    let values = [
        ("POOL_BYTES_MAX", limits::POOL_BYTES_MAX as i128),
        ("WINDOW_ROWS_MAX", limits::WINDOW_ROWS_MAX as i128),
        ("WINDOW_BYTES_MAX", limits::WINDOW_BYTES_MAX as i128),
        ("WINDOW_LIST_PAIRS_MAX", limits::WINDOW_LIST_PAIRS_MAX as i128),
        ("WINDOW_REPEATED_PAIRS_MAX", limits::WINDOW_REPEATED_PAIRS_MAX as i128),
        ("MADE_ROWS_MAX", limits::MADE_ROWS_MAX as i128),
        ("PAIRS_MAX", limits::PAIRS_MAX as i128),
        ("TURN_ROWS_MAX", limits::TURN_ROWS_MAX as i128),
        ("RECURSION_ROWS_MAX", limits::RECURSION_ROWS_MAX as i128),
        ("GAPFILL_ROWS_MAX", limits::GAPFILL_ROWS_MAX as i128),
        ("TURN_BYTES_MAX", limits::TURN_BYTES_MAX as i128),
        ("TURN_CALLS_MAX", limits::TURN_CALLS_MAX as i128),
        ("JOIN_CONSTANT_BYTES_MAX", limits::JOIN_CONSTANT_BYTES_MAX as i128),
        ("CENTROIDS_MAX", limits::CENTROIDS_MAX.into()),
        ("FIXED_SIZE_MAX", limits::FIXED_SIZE_MAX as i128),
        ("PATTERNS_MAX", limits::PATTERNS_MAX as i128),
        ("PATTERN_BYTES_MAX", limits::PATTERN_BYTES_MAX as i128),
        ("PUSHED_TEXT_BYTES_MAX", limits::PUSHED_TEXT_BYTES_MAX as i128),
        ("CACHED_PLANS_MAX", limits::CACHED_PLANS_MAX as i128),
        ("CACHED_TEXT_BYTES_MAX", limits::CACHED_TEXT_BYTES_MAX as i128),
        ("CACHED_COLUMNS_MAX", limits::CACHED_COLUMNS_MAX as i128),
        ("CACHED_CONSTANT_BYTES_MAX", limits::CACHED_CONSTANT_BYTES_MAX as i128),
        ("PLANNED_COLUMNS_MAX", limits::PLANNED_COLUMNS_MAX as i128),
        ("WHOLE_ANSWER_BYTES_MAX", limits::WHOLE_ANSWER_BYTES_MAX as i128),
        ("GROUPING_KEYS_MAX", limits::GROUPING_KEYS_MAX as i128),
        ("TABLES_MAX", limits::TABLES_MAX as i128),
        ("WINDOWS_MAX", limits::WINDOWS_MAX as i128),
        ("DEPTH_MAX", limits::DEPTH_MAX as i128),
        ("PARENTHESES_DEPTH_MAX", limits::PARENTHESES_DEPTH_MAX as i128),
        ("REPEATED_DEPTH_MAX", limits::REPEATED_DEPTH_MAX as i128),
        ("COPYING_DEPTH_MAX", limits::COPYING_DEPTH_MAX as i128),
        ("CTE_DEPTH_MAX", limits::CTE_DEPTH_MAX as i128),
        ("COPIES_MAX", limits::COPIES_MAX as i128),
        ("TOKENS_MAX", limits::TOKENS_MAX as i128),
        ("TEXT_BYTES_MAX", limits::TEXT_BYTES_MAX as i128),
        ("PARAMETERS_MAX", limits::PARAMETERS_MAX as i128),
    ];
    for (name, value) in values {
        assert!(page.contains(&format!("| `{name}` | {value} |")), "{name} is {value}");
    }
    assert_eq!(page.matches("_MAX` |").count(), values.len());
}
