//! Checks rules that neither the compiler nor clippy can check: file names, limits, and access to
//! the environment.

use std::fs;
use std::path::{Path, PathBuf};

/// File names that give no information about the contents.
const BANNED_FILES: &[&str] =
    &["util", "utils", "helper", "helpers", "common", "misc", "manager", "types"];

#[test]
fn file_names_are_specific() {
    for (path, _) in sources().into_iter().chain(files("sql")) {
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        assert!(!BANNED_FILES.contains(&stem), "{}", path.display());
    }
}

/// A limit that is defined in two files could have two different values.
#[test]
fn limits_are_defined_once() {
    let home = |path: &Path| path.ends_with("crates/model/src/limits.rs");
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

/// `coordinator` and `api` only await `Io`. Shards and the engine are synchronous.
#[test]
fn only_edge_uses_clock_and_platform() {
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

/// threats.md threat 22: a client's request never causes a request to another host. The only
/// exception is the keys of the Access team, whose address the operator sets.
#[test]
fn server_fetches_only_from_objects() {
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
        // The method that handles the Worker's own requests is also called fetch.
        let fetches = fetches.filter(|(_, line)| !line.contains("module.fetch(request"));
        found.extend(fetches.map(|(_, line)| (module_of(&path), line.trim().to_owned())));
    }
    let stub = "const response = await stub.fetch(url, { method: 'POST', body: message });";
    let keys = "#[wasm_bindgen(catch, js_name = fetch)]";
    assert_eq!(found, [keys, stub].map(|line| ("edge".to_owned(), line.to_owned())));
    // The first file only fetches from an address in the settings.
    let file = fs::read_to_string(root.join("src/edge/cloudflare_access.rs")).unwrap();
    let uses = |word: &str| file.lines().filter(|line| line.contains(word)).collect::<Vec<_>>();
    assert_eq!(uses("fetch_keys(").len(), 2, "it is declared and used once");
    assert_eq!(uses("get(").len(), 2);
    assert!(uses("get(")[0].contains("get(&application.keys_url())"), "{:?}", uses("get("));
    assert!(file.contains("let application = settings.access"));
    assert!(file.contains("pub(super) async fn keys(env: &Env)"), "no message has a part in it");
}

#[test]
fn source_contains_no_forbidden_forms() {
    let mut faults = Vec::new();
    let folders = files("tests/it").into_iter().chain(files("sql"));
    for (path, text) in sources().into_iter().chain(folders) {
        for (index, line) in text.lines().enumerate() {
            let code = line.trim();
            let bare_matches = code.starts_with("matches!(") && code.ends_with(");");
            let glob = code.starts_with("pub use") && code.contains("::*");
            let ignored = code.starts_with("#[ignore");
            let next = text.lines().nth(index + 1).unwrap_or_default().trim();
            // The tests of a module may use sources of another module.
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
fn compatibility_table_names_existing_tests() {
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

fn sources() -> Vec<(PathBuf, String)> {
    let folders =
        ["src", "crates/engine", "crates/influxql", "crates/line-protocol", "crates/model"];
    folders.into_iter().flat_map(files).collect()
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

/// Returns the module in the Worker's crate that contains a file, or `crates`.
fn module_of(path: &Path) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let below = path.strip_prefix(root).unwrap();
    let below = below.strip_prefix("src").unwrap_or(below);
    let first = below.components().next().unwrap().as_os_str().to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

/// Returns the numbered lines without the tests module at the end of the file.
fn production_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let inline_tests = |at: usize, line: &str| {
        line.trim() == "#[cfg(test)]"
            && text.lines().nth(at + 1).is_some_and(|next| next.ends_with('{'))
    };
    let numbered = text.lines().enumerate().take_while(move |(at, line)| !inline_tests(*at, line));
    numbered.map(|(at, line)| (at + 1, line))
}

#[test]
fn declared_compiler_matches_toolchain() {
    let value = |file: &str, key: &str| {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(key));
        line.unwrap_or_else(|| panic!("{file}: {key}")).trim_matches([' ', '=', '"']).to_owned()
    };
    let declared = value("Cargo.toml", "rust-version =");
    let tried = value("rust-toolchain.toml", "channel");
    assert!(tried.starts_with(&format!("{declared}.")), "{declared} and {tried}");
}
