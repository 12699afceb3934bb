//! Runs the scripts of `tests/data`, which contain statements and their results.
//!
//! ```text
//! # a comment
//! write
//! cpu,host=a usage=1.5 1000
//!
//! sql SELECT * FROM cpu
//! | the result, up to an empty line |
//!
//! csv SELECT 1
//! ...
//!
//! error 400 SELECT nope
//! a part of the error message
//! ```
//! Lines that start with two spaces continue a statement. Each statement runs on 1, 2 and 7 shards
//! with several page sizes. All results must be equal. Without ORDER BY, the order of rows is
//! ignored. `UPDATE=1` writes the current results to the scripts. Review these results before the
//! commit.

use std::fs;
use std::path::{Path, PathBuf};

use tidemark_sql::output::Format;

use super::database::{Answered, Database, Layout, written};

const LAYOUTS: &[Layout] = &[
    Layout::PLAIN,
    Layout { shards: 1, page_rows: 1 },
    Layout { shards: 2, page_rows: 3 },
    Layout { shards: 7, page_rows: 2 },
];

#[test]
fn sql_scripts_return_expected_results() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut asked = 0;
    let mut faults = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let (made, count) = run(&text);
        asked += count;
        if made == text {
            continue;
        }
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&file, made).unwrap();
        } else {
            faults.push(format!("{}:\n{}", file.display(), difference(&text, &made)));
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    assert!(asked > 200, "only {asked} statements");
}

/// Returns the first lines that differ.
fn difference(a: &str, b: &str) -> String {
    let same = a.lines().zip(b.lines()).take_while(|(a, b)| a == b).count();
    let from = |text: &str| text.lines().skip(same).take(12).collect::<Vec<_>>().join("\n");
    format!("line {}, expected:\n{}\nmade:\n{}", same + 1, from(a), from(b))
}

/// Returns the script with the current results, and its number of statements.
fn run(script: &str) -> (String, usize) {
    let mut database = Database::default();
    let mut made = String::new();
    let mut asked = 0;
    for block in script.split("\n\n") {
        let block = block.trim_end_matches('\n');
        let is_comment = |line: &&str| line.starts_with('#');
        let comments: Vec<&str> = block.lines().take_while(is_comment).collect();
        let mut lines = block.lines().skip_while(is_comment);
        let Some(head) = lines.next() else {
            made += &format!("{}\n\n", comments.join("\n"));
            continue;
        };
        if head == "write" {
            database.write(&lines.collect::<Vec<_>>().join("\n"));
            made += &format!("{block}\n\n");
            continue;
        }
        let more: Vec<&str> = lines.take_while(|line| line.starts_with("  ")).collect();
        let head = std::iter::once(head).chain(more).collect::<Vec<_>>().join("\n");
        asked += 1;
        let comments: String = comments.iter().map(|line| format!("{line}\n")).collect();
        made += format!("{comments}{head}\n{}", answer(&database, &head)).trim_end();
        made += "\n\n";
    }
    (format!("{}\n", made.trim_end()), asked)
}

fn answer(database: &Database, head: &str) -> String {
    let (form, statement) = head.split_once(' ').unwrap();
    if let ("error", Some((status, statement))) = (form, statement.split_once(' ')) {
        let error = database.ask(statement, Layout::PLAIN).err();
        let error = error.unwrap_or_else(|| panic!("no error: {statement}"));
        assert_eq!(error.status().to_string(), status, "{statement}: {error}");
        return format!("{error}\n");
    }
    let format = match form {
        "sql" => Format::Pretty,
        other => Format::from_name(other).unwrap_or_else(|| panic!("{head}")),
    };
    let ask = |layout| {
        let answered: Answered =
            database.ask(statement, layout).unwrap_or_else(|error| panic!("{statement}: {error}"));
        String::from_utf8(written(&answered, format).unwrap()).unwrap()
    };
    let first = ask(LAYOUTS[0]);
    // EXPLAIN shows the number of pages, and may show its rows in another order.
    if !statement.contains("EXPLAIN") {
        let is_ordered = statement.contains("ORDER BY");
        for layout in &LAYOUTS[1..] {
            let again = ask(*layout);
            match is_ordered {
                true => assert_eq!(first, again, "{statement}: {layout:?}"),
                false => assert_eq!(sorted(&first), sorted(&again), "{statement}: {layout:?}"),
            }
        }
    }
    let lines: Vec<&str> = first.lines().map(str::trim_end).collect();
    format!("{}\n", lines.join("\n"))
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}
