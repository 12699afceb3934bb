//! Checks references in pages. The linked files and headings, and the named tests, must exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const FOLDERS: &[&str] = &[
    "src", "crates", "docs", "tests", "benches", "examples", "fuzz", "scripts", "sql", "www",
    "packages",
];
/// Folders with generated files.
const MADE: &[&str] = &["node_modules", "target", "build", ".cache", ".wrangler"];
/// The endings of files with tests.
const ENDINGS: &[&str] = &[".md", ".rs", ".mjs", ".js", ".http", ".test", ".sh", ".toml"];
/// The minimum number of words in an identifier on a page for the identifier to count as the name
/// of a test.
const TEST_NAME_WORDS: usize = 5;
/// The same minimum for docs/EVIDENCE.md, the page that lists tests.
const EVIDENCE_NAME_WORDS: usize = 3;

struct File {
    path: String,
    text: String,
}

#[test]
fn page_links_have_targets() {
    let mut faults = Vec::new();
    let mut followed = 0;
    for page in files().iter().filter(|file| file.path.ends_with(".md")) {
        for target in links(&page.text) {
            followed += 1;
            let (path, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let folder = root().join(&page.path).parent().unwrap().to_owned();
            let there = if path.is_empty() { root().join(&page.path) } else { folder.join(path) };
            let has_anchor = || {
                let text = fs::read_to_string(&there).unwrap_or_default();
                has_heading(&text, anchor)
            };
            if !there.exists() || !(anchor.is_empty() || has_anchor()) {
                faults.push(format!("{}: {target}", page.path));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    assert!(followed > 100, "only {followed} links were found");
}

#[test]
fn tests_named_on_pages_exist() {
    let files = files();
    let tests = tests(&files);
    let mut faults = Vec::new();
    let mut named = 0;
    for page in files.iter().filter(|file| file.path.ends_with(".md")) {
        let words_min = match page.path.as_str() {
            "docs/EVIDENCE.md" => EVIDENCE_NAME_WORDS,
            _ => TEST_NAME_WORDS,
        };
        for word in quoted(&page.text).into_iter().filter(|word| is_test_name(word, words_min)) {
            named += 1;
            if !tests.contains(word) {
                faults.push(format!("{}: {word}", page.path));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    assert!(named > 50, "only {named} tests are named");
}

/// A row contains names of native tests, or a file with a test title or a comment in this file.
#[test]
fn every_threat_names_a_test() {
    let files = files();
    let tests = tests(&files);
    let page = read("docs/design/threats.md");
    let mut numbers = BTreeSet::new();
    for row in numbered_rows(&page) {
        let [number, _, _, proofs] = row.as_slice() else { panic!("four cells: {row:?}") };
        let (mut last, mut proven) = (String::new(), 0);
        for word in quoted(proofs) {
            if ENDINGS.iter().any(|ending| word.ends_with(ending)) {
                last = read(word);
                continue;
            }
            let is_there = tests.contains(word) || last.contains(word);
            assert!(is_there, "threat {number}: {word}");
            proven += 1;
        }
        assert!(proven > 0, "threat {number} names no test");
        assert!(numbers.insert(number.parse().unwrap()), "threat {number} twice");
    }
    let last = numbers.last().copied().unwrap_or_default();
    assert_eq!(numbers, (1..=last).collect(), "threats are numbered without a gap");
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    let bytes = fs::read(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Returns the pages and tests. The changelog is omitted, because it contains former names.
fn files() -> Vec<File> {
    let mut found = Vec::new();
    let mut folders: Vec<String> = FOLDERS.iter().map(|name| format!("{name}/")).collect();
    folders.push(String::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let path = format!("{folder}{name}");
            let is_folder = entry.file_type().unwrap().is_dir();
            if is_folder && !folder.is_empty() && !MADE.contains(&name.as_str()) {
                folders.push(path + "/");
            } else if !is_folder && (name.ends_with(".md") || name.ends_with(".rs")) {
                found.push(File { text: read(&path), path });
            }
        }
    }
    found.retain(|file| file.path != "CHANGELOG.md");
    found
}

fn outside_fences(page: &str) -> Vec<&str> {
    let mut fenced = false;
    let is_outside = |line: &&str| {
        let is_fence = line.trim_start().starts_with("```");
        fenced ^= is_fence;
        !fenced && !is_fence
    };
    page.lines().filter(is_outside).collect()
}

fn links(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in outside_fences(page) {
        let words: String = line.split('`').step_by(2).collect();
        let targets = words.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        found.extend(targets.filter(|target| !target.contains("://")).map(str::to_owned));
    }
    found
}

fn slug(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || " -_".contains(*c);
    heading.to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-")
}

fn has_heading(page: &str, anchor: &str) -> bool {
    let lines = outside_fences(page).into_iter().filter_map(|line| line.strip_prefix('#'));
    lines.map(|line| line.trim_start_matches('#').trim()).any(|heading| slug(heading) == anchor)
}

fn quoted(text: &str) -> Vec<&str> {
    let lines = outside_fences(text).into_iter();
    lines.flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
}

fn numbered_rows(page: &str) -> Vec<Vec<&str>> {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let cells = rows.map(|row| row.split(" | ").map(str::trim).collect::<Vec<_>>());
    cells.filter(|row| row.first().is_some_and(|cell| cell.parse::<u32>().is_ok())).collect()
}

fn tests(files: &[File]) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    for file in files.iter().filter(|file| file.path.ends_with(".rs")) {
        for after in file.text.split("#[test]").skip(1) {
            let name = after.split("fn ").nth(1).and_then(|rest| rest.split('(').next());
            found.extend(name);
        }
    }
    found
}

/// Whether the word is the name of a test. Metrics also have long names, but are not tests.
fn is_test_name(word: &str, words_min: usize) -> bool {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let is_metric_or_label = word.starts_with("tidemark_") || word.starts_with("__");
    !is_metric_or_label && word.chars().all(is_part) && word.split('_').count() >= words_min
}
