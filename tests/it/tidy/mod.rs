//! The house rules that a machine can check: who may use whom, sizes, banned names and calls.

mod circles;

use std::fs;
use std::path::{Path, PathBuf};

/// Each module and what it may `use crate::…`. The only copy: `lib.rs` points here.
/// A module may always use itself. `*` is everything but what follows it.
const LAYERS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("admission", &["model"]),
    ("codec", &[]),
    ("store", &["codec"]),
    ("line_protocol", &["model"]),
    ("batch", &["model", "codec", "line_protocol"]),
    ("wal", &["model", "batch", "codec", "store"]),
    ("memtable", &["model", "batch", "merge"]),
    ("merge", &["model", "batch"]),
    ("part", &["model", "codec", "batch", "merge"]),
    ("scan", &["model", "batch", "codec", "merge"]),
    ("protocol", &["model", "batch", "codec", "scan"]),
    (
        "shard",
        &[
            "model", "batch", "codec", "store", "wal", "memtable", "merge", "part", "scan",
            "protocol",
        ],
    ),
    ("influxql", &["model"]),
    ("query", &["model", "admission", "batch", "influxql", "merge", "scan"]),
    ("response", &["model", "query"]),
    ("catalog", &["model", "store", "protocol"]),
    ("database", &["model", "batch", "store", "scan", "protocol"]),
    ("coordinator", &["model", "admission", "batch", "influxql", "query", "scan", "protocol"]),
    (
        "api",
        &[
            "model",
            "admission",
            "line_protocol",
            "batch",
            "influxql",
            "query",
            "response",
            "coordinator",
            "protocol",
        ],
    ),
    ("browser", &["*", "edge"]),
    ("edge", &["*", "browser"]),
];

/// Characters of a line.
const COLUMNS_MAX: usize = 100;
/// File names that say nothing.
const BANNED_FILES: &[&str] =
    &["util", "utils", "helper", "helpers", "common", "misc", "manager", "types"];

#[test]
fn modules_use_only_the_layers_below() {
    let mut faults = Vec::new();
    for (path, text) in sources() {
        let module = module_of(&path);
        if module == "lib" {
            continue;
        }
        let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == module) else {
            faults.push(format!("{}: module {module} is not in the layer table", path.display()));
            continue;
        };
        for (number, line) in production_lines(&text) {
            for used in crate_uses(line) {
                let everything = allowed.first() == Some(&"*");
                let named = allowed.contains(&used);
                if used != module && (everything == named) {
                    faults.push(format!("{}:{number}: {module} uses {used}", path.display()));
                }
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn line_protocol_enters_the_batch_through_one_door() {
    for (path, text) in sources() {
        let inside = path.to_string_lossy().contains("src/batch/");
        let door = path.to_string_lossy().contains("src/batch/from_lines/");
        if inside && !door {
            assert!(!text.contains("crate::line_protocol"), "{}", path.display());
        }
    }
}

#[test]
fn lines_stay_short() {
    let mut faults = Vec::new();
    for (path, text) in sources().into_iter().chain(files("sql")) {
        for (index, line) in text.lines().enumerate() {
            if line.chars().count() > COLUMNS_MAX && !line.contains('"') {
                faults.push(format!("{}:{}: line too long", path.display(), index + 1));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn names_say_something() {
    for (path, _) in sources().into_iter().chain(files("sql")) {
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        assert!(!BANNED_FILES.contains(&stem), "{}", path.display());
    }
}

/// A module with files of its own is a folder with a `mod.rs`, never a `name.rs` beside a folder.
#[test]
fn a_module_with_files_of_its_own_is_a_folder() {
    let folders = files("tests/it").into_iter().chain(files("sql"));
    for (path, _) in sources().into_iter().chain(folders) {
        assert!(!path.with_extension("").is_dir(), "{} stands beside its folder", path.display());
    }
}

/// A limit that a second file defined again would hold there with a value of its own.
#[test]
fn a_limit_of_the_service_is_defined_once() {
    let home = |path: &Path| path.ends_with("src/model/limits.rs");
    let sources = sources();
    let (_, limits) = sources.iter().find(|(path, _)| home(path)).unwrap();
    let names = limits.lines().filter_map(|line| line.strip_prefix("pub const "));
    let names: Vec<&str> = names.filter_map(|rest| rest.split(':').next()).collect();
    assert!(names.len() > 80, "only {} limits were found", names.len());
    let mut faults = Vec::new();
    for (path, text) in sources.iter().filter(|(path, _)| !home(path)) {
        let defines = |name: &&&str| text.contains(&format!("const {name}:"));
        faults.extend(names.iter().filter(defines).map(|name| (path, name)));
    }
    assert!(faults.is_empty(), "{faults:?}");
}

/// `coordinator` and `api` await `Io` and nothing else. Shards and the engine are synchronous.
#[test]
fn only_the_edge_reads_the_world_and_only_requests_are_async() {
    let world = ["SystemTime", "Instant::now", "worker::"];
    let waits = ["async fn", "async move", ".await"];
    let mut faults = Vec::new();
    for (path, text) in sources() {
        let module = module_of(&path);
        if module == "edge" {
            continue;
        }
        let may_wait = ["coordinator", "api"].contains(&module.as_str());
        let waits: &[&str] = if may_wait { &[] } else { &waits };
        let banned: Vec<&str> = world.iter().chain(waits).copied().collect();
        for (number, line) in production_lines(&text) {
            let code = line.split("//").next().unwrap_or_default();
            for word in &banned {
                if code.contains(word) {
                    faults.push(format!("{}:{number}: {word}", path.display()));
                }
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// threats.md threat 22: no request of a client makes one to anywhere else, but for the keys of
/// the team and to the folder of backups, both of which the operator has set.
#[test]
fn only_objects_are_fetched_from() {
    let mut found = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let glue = ["past.js", "runtime.js", "worker.js"].map(|name| root.join("src/edge").join(name));
    let glue = glue.map(|path| (path.clone(), fs::read_to_string(path).unwrap()));
    for (path, text) in sources().into_iter().chain(glue) {
        let fetches = production_lines(&text).filter(|(_, line)| {
            ["Fetch::", ".fetch_with", ".fetch(", "js_name = fetch"]
                .iter()
                .any(|f| line.contains(f))
        });
        // Requests that the Worker receives are called fetch as well.
        let fetches = fetches.filter(|(_, line)| !line.contains("module.fetch(request"));
        found.extend(fetches.map(|(_, line)| (module_of(&path), line.trim().to_owned())));
    }
    let stub = "const response = await stub.fetch(url, { method: 'POST', body: message });";
    let keys = "#[wasm_bindgen(catch, js_name = fetch)]";
    let folder =
        "let response = JsFuture::from(folder.fetch(&format!(\"{HOST}{key}\"), &init)?).await?;";
    assert_eq!(found, [folder, keys, stub].map(|line| ("edge".to_owned(), line.to_owned())));
    // What the second one fetches from: an address made of settings alone.
    let file = fs::read_to_string(root.join("src/edge/cloudflare_access.rs")).unwrap();
    let uses = |word: &str| file.lines().filter(|line| line.contains(word)).collect::<Vec<_>>();
    assert_eq!(uses("fetch_keys(").len(), 2, "it is declared and used once");
    assert_eq!(uses("get(").len(), 2);
    assert!(uses("get(")[0].contains("get(&application.keys_url())"), "{:?}", uses("get("));
    assert!(file.contains("let application = settings.access"));
    assert!(file.contains("pub(super) async fn keys(env: &Env)"), "no message has a part in it");
}

#[test]
fn nothing_pretends() {
    let mut faults = Vec::new();
    let folders = files("tests/it").into_iter().chain(files("sql"));
    for (path, text) in sources().into_iter().chain(folders) {
        for (index, line) in text.lines().enumerate() {
            let code = line.trim();
            let bare_matches = code.starts_with("matches!(") && code.ends_with(");");
            let glob = code.starts_with("pub use") && code.contains("::*");
            let ignored = code.starts_with("#[ignore");
            let next = text.lines().nth(index + 1).unwrap_or_default().trim();
            // Tests of one module may be sources of another's.
            let module = next.strip_prefix("pub(crate) ").unwrap_or(next).starts_with("mod ");
            let test_only = code.starts_with("#[cfg(test)]") && !module;
            if bare_matches || glob || ignored || test_only {
                faults.push(format!("{}:{}: {code}", path.display(), index + 1));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn the_compatibility_table_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = fs::read_to_string(root.join("docs/COMPATIBILITY.md")).unwrap();
    let folders =
        ["tests/data/http", "tests/data/query/core", "tests/data/query/full", "tests/it", ""];
    let mut named = 0;
    let endings = [".test", ".http", ".rs", ".mjs"];
    let is_test = |name: &&str| endings.iter().any(|ending| name.ends_with(ending));
    for row in table.lines().filter(|line| line.starts_with("| ") && !line.ends_with("| test |")) {
        let tests: Vec<&str> = row.split('`').skip(1).step_by(2).filter(is_test).collect();
        assert!(!tests.is_empty(), "no test is named: {row}");
        named += tests.len();
        for name in tests {
            assert!(folders.iter().any(|folder| root.join(folder).join(name).is_file()), "{name}");
        }
    }
    assert!(named > 150, "only {named} tests are named");
}

/// Every Rust file under `src`, by path.
fn sources() -> Vec<(PathBuf, String)> {
    let found = files("src");
    assert!(found.len() > 10, "the sources are where they should be");
    found
}

fn files(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut found);
    found.sort();
    found
}

fn collect(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.ends_with("sql/target") {
            continue;
        }
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
}

/// The module directly under `src` that a file belongs to.
fn module_of(path: &Path) -> String {
    let below = path.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap();
    let first = below.components().next().unwrap().as_os_str().to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

/// Numbered lines without the tests module at the file's end.
fn production_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let inline_tests = |at: usize, line: &str| {
        line.trim() == "#[cfg(test)]"
            && text.lines().nth(at + 1).is_some_and(|next| next.ends_with('{'))
    };
    let numbered = text.lines().enumerate().take_while(move |(at, line)| !inline_tests(*at, line));
    numbered.map(|(at, line)| (at + 1, line))
}

/// Modules named as `crate::module` in a line, also in `use crate::{a, b}`.
fn crate_uses(line: &str) -> Vec<&str> {
    let code = line.split("//").next().unwrap_or_default();
    let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
    let mut used = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(list) => {
                let items = list.split('}').next().unwrap_or_default().split(',');
                used.extend(items.map(|item| item.trim().split("::").next().unwrap_or_default()));
            }
            None => used.push(&rest[..rest.find(|c| !is_name(c)).unwrap_or(rest.len())]),
        }
    }
    used.retain(|name| !name.is_empty());
    used
}

#[test]
fn the_checks_can_fail() {
    assert_eq!(crate_uses("use crate::{model::time, batch};"), ["model", "batch"]);
    assert_eq!(
        crate_uses("crate::shard::open(crate::store::x) // crate::edge"),
        ["shard", "store"]
    );
}

/// The compiler that is declared is the one that everything is tried with.
#[test]
fn the_declared_compiler_is_the_one_that_compiles() {
    let value = |file: &str, key: &str| {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(key));
        line.unwrap_or_else(|| panic!("{file}: {key}")).trim_matches([' ', '=', '"']).to_owned()
    };
    let declared = value("Cargo.toml", "rust-version");
    let tried = value("rust-toolchain.toml", "channel");
    assert!(tried.starts_with(&format!("{declared}.")), "{declared} and {tried}");
}
