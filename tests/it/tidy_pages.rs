//! Checks references in pages and comments. The files, headings, tests, rules and threats must
//! exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const FOLDERS: &[&str] = &[
    "src", "crates", "docs", "tests", "benches", "examples", "fuzz", "scripts", "sql", "www",
    "packages",
];
/// Folders with generated files.
const MADE: &[&str] = &[
    "node_modules",
    "target",
    "dist",
    "dist-static",
    "screenshots",
    ".git",
    ".cache",
    ".wrangler",
    "artifacts",
    "corpus",
    "__pycache__",
];
/// The file name endings in comments and pages. `.go` is the ending of InfluxDB's files.
const ENDINGS: &[&str] =
    &[".md", ".rs", ".mjs", ".js", ".http", ".test", ".toml", ".css", ".html", ".py", ".sh"];
/// If an identifier on a page has at least this number of words, it is the name of a test.
const TEST_NAME_WORDS: usize = 5;
/// The number of words that marks a test's name on the page that lists tests.
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
fn files_named_in_text_exist() {
    let known = every_path();
    let mut faults = Vec::new();
    let mut named = 0;
    for file in &files() {
        for (number, line) in prose(file) {
            for name in file_names(line) {
                named += 1;
                if !is_known(name, &known) {
                    faults.push(format!("{}:{number}: {name}", file.path));
                }
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    assert!(named > 300, "only {named} files are named");
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

#[test]
fn every_protocol_rule_names_a_test() {
    let files = files();
    let tests = tests(&files);
    let page = read("crates/engine/src/protocol/PROTOCOL.md");
    let mut numbers = BTreeSet::new();
    let evidence = read("docs/EVIDENCE.md");
    let evidence = evidence.split("## Rules of the protocol\n").nth(1).unwrap();
    let rows = numbered_rows(evidence.split("\n## ").next().unwrap());
    for rule in page.split("\n## Rule ").skip(1) {
        let (number, _) = rule.split_once(": ").unwrap();
        let row = rows.iter().find(|row| row[0] == number);
        let row = row.unwrap_or_else(|| panic!("docs/EVIDENCE.md has no row for rule {number}"));
        let names = quoted(row[1]).into_iter().any(|word| tests.contains(word));
        assert!(names, "docs/EVIDENCE.md names no test of rule {number}");
        assert!(numbers.insert(number.parse().unwrap()), "rule {number} twice");
    }
    assert_eq!(numbers, (1..=12).collect());
    for test in tests.iter().filter_map(|test| test.strip_prefix("rule_")) {
        let number = test.split('_').next().unwrap().parse().unwrap();
        assert!(numbers.contains(&number), "rule_{test}");
    }
    let cited = citations(&files, "PROTOCOL.md rule", &numbers);
    assert!(cited > 10, "only {cited} citations");
}

#[test]
fn page_checks_detect_faults() {
    let page = "[`a`](b.md) [c](https://d) ![e](f.png#x) `[x](y)`\n```\n[z](z)\n```\n## The x\n";
    assert_eq!(links(page), ["b.md", "f.png#x"]);
    assert!(has_heading(page, "the-x") && !has_heading(page, "x"));
    assert_eq!(slug("The free plan, `x`"), "the-free-plan-x");
    let found = file_names(
        "as `shard/turns.rs`, crates/engine/src/shard and A.md say, not b/c.go or *.md.",
    );
    assert_eq!(found.collect::<Vec<_>>(), ["shard/turns.rs", "crates/engine/src/shard", "A.md"]);
    let known = BTreeSet::from(["crates/engine/src/shard/turns.rs".to_owned()]);
    assert!(
        ["shard/turns.rs", "crates/engine/src/shard/", "../shard/turns.rs"]
            .iter()
            .all(|n| is_known(n, &known))
    );
    assert!(["urns.rs", "src/shar", "shard/turn"].iter().all(|n| !is_known(n, &known)));
    assert_eq!(numbers_of("s 3, 4 and 51. 6 do"), [3, 4, 51, 6]);
    assert_eq!(numbers_of(" 4: it"), [4]);
    assert_eq!(numbered_rows("| # | b |\n|---|---|\n| 1 | `c` |\n"), [["1", "`c`"]]);
    assert!(is_test_name("a_test_has_five_words", 5) && !is_test_name("not_a_test", 5));
    assert!(!is_test_name("tidemark_a_test_has_five_words", 5) && is_test_name("not_a_test", 3));
    let file = File { path: "x.rs".into(), text: "let a; // b\n\"c\"\n/// d".into() };
    let lines: Vec<_> = prose(&file).iter().map(|(_, line)| line.trim()).collect();
    assert_eq!(lines, ["// b", "/// d"]);
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    let bytes = fs::read(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    String::from_utf8_lossy(&bytes).into_owned()
}

fn files() -> Vec<File> {
    let is_text = |path: &String| ENDINGS.iter().any(|ending| path.ends_with(ending));
    let is_ours = |path: &String| match path.split_once('/') {
        Some((folder, _)) => FOLDERS.contains(&folder),
        // The changelog contains former names.
        None => path.ends_with(".md") && path != "CHANGELOG.md",
    };
    let paths = every_path().into_iter().filter(is_text).filter(is_ours);
    paths.map(|path| File { text: read(&path), path }).collect()
}

fn every_path() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let path = format!("{folder}{name}");
            if !entry.file_type().unwrap().is_dir() {
                found.insert(path);
            } else if !MADE.contains(&name.as_str()) {
                folders.push(path + "/");
            }
        }
    }
    found
}

/// Omits drawings and code of a page. In a source, only comments are included.
fn prose(file: &File) -> Vec<(usize, &str)> {
    let numbered = file.text.lines().enumerate().map(|(at, line)| (at + 1, line));
    let ending = file.path.rsplit('.').next().unwrap();
    let mark = match ending {
        "md" => return outside_fences(&file.text),
        "rs" | "mjs" | "js" => "//",
        "toml" | "http" | "test" => "#",
        _ => return Vec::new(),
    };
    let comment = |line: &'_ str| {
        let whole = line.trim_start().starts_with(mark).then(|| line.find(mark));
        whole.unwrap_or_else(|| line.find(&format!(" {mark} ")))
    };
    numbered.filter_map(|(number, line)| Some((number, line.get(comment(line)?..)?))).collect()
}

fn outside_fences(page: &str) -> Vec<(usize, &str)> {
    let mut fenced = false;
    let is_outside = |(_, line): &(usize, &str)| {
        let is_fence = line.trim_start().starts_with("```");
        fenced ^= is_fence;
        !fenced && !is_fence
    };
    page.lines().enumerate().map(|(at, line)| (at + 1, line)).filter(is_outside).collect()
}

/// Returns the words in a line that are file names or that begin with one of [`FOLDERS`].
fn file_names(line: &str) -> impl Iterator<Item = &str> {
    let is_part = |c: char| c.is_alphanumeric() || "/._-…*<>$".contains(c);
    let words = line.split(move |c: char| !is_part(c)).map(|word| word.trim_matches('.'));
    words.filter(|word| {
        let stem = ENDINGS.iter().find_map(|ending| word.strip_suffix(ending));
        let is_file = stem.is_some_and(|stem| !stem.is_empty() && !stem.starts_with('/'));
        let is_inside = |(first, rest): (&str, &str)| FOLDERS.contains(&first) && !rest.is_empty();
        let is_path = word.split_once('/').is_some_and(is_inside);
        (is_file || is_path) && !word.contains(['…', '*', '<', '$'])
    })
}

/// Whether a file or folder with this name exists, relative to the root or to any folder.
fn is_known(name: &str, known: &BTreeSet<String>) -> bool {
    let name = name.trim_start_matches("../").trim_start_matches("./").trim_end_matches('/');
    let (ending, start, middle) = (format!("/{name}"), format!("{name}/"), format!("/{name}/"));
    let is_it = |path: &String| {
        path.ends_with(&ending) || path.starts_with(&start) || path.contains(&middle)
    };
    known.contains(name) || known.iter().any(is_it)
}

fn links(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (_, line) in outside_fences(page) {
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
    let lines = outside_fences(page).into_iter().filter_map(|(_, line)| line.strip_prefix('#'));
    lines.map(|line| line.trim_start_matches('#').trim()).any(|heading| slug(heading) == anchor)
}

fn quoted(text: &str) -> Vec<&str> {
    let lines = outside_fences(text).into_iter();
    lines.flat_map(|(_, line)| line.split('`').skip(1).step_by(2)).collect()
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

/// Metrics also have long names, but are not tests.
fn is_test_name(word: &str, words_min: usize) -> bool {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let is_metric = word.starts_with("tidemark_");
    !is_metric && word.chars().all(is_part) && word.split('_').count() >= words_min
}

/// Returns how often `mark` is followed by a number.
fn citations(files: &[File], mark: &str, numbers: &BTreeSet<u32>) -> usize {
    let mut found = 0;
    for file in files {
        for (line_number, line) in prose(file) {
            for rest in line.split(mark).skip(1) {
                for number in numbers_of(rest) {
                    let is_there = numbers.contains(&number);
                    assert!(is_there, "{}:{line_number}: {mark} {number}", file.path);
                    found += 1;
                }
            }
        }
    }
    found
}

/// Returns the numbers at the start of a text such as `s 3, 4 and 6` or `s 4 to 6`.
fn numbers_of(text: &str) -> Vec<u32> {
    let text = text.strip_prefix('s').unwrap_or(text);
    let words = text.split([' ', ',', ')', '.', ':', ';', '`']).filter(|word| !word.is_empty());
    let words = words.take_while(|word| {
        ["and", "to"].contains(word) || word.chars().all(|c| c.is_ascii_digit())
    });
    words.filter_map(|word| word.parse().ok()).collect()
}
