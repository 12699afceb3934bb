//! In a room (a folder directly under `src`) at most three files may depend on each other in a
//! circle. A larger circle can only be understood as a whole.
//!
//! A file uses another file if it names an item of that file: in `use`, in a path within the code,
//! or through a re-export of a parent module. Test modules do not count.

use std::collections::{BTreeMap, BTreeSet};

use super::{production_lines, sources};

/// The maximum number of files in a circle.
const CIRCLE_FILES_MAX: usize = 3;

/// The segments of a module's or item's path from the crate's root.
type ModulePath = Vec<String>;

/// A module's code and its references to other modules.
struct Source {
    /// The paths that the module uses, from the crate's root.
    uses: Vec<ModulePath>,
    /// Re-exported names with their original paths.
    reexports: BTreeMap<String, ModulePath>,
}

#[test]
fn no_circle_of_files_is_larger_than_three() {
    let circles = circles(&read_sources());
    let large = circles.iter().filter(|circle| circle.len() > CIRCLE_FILES_MAX);
    let faults: Vec<String> = large
        .map(|circle| {
            let files: Vec<String> = circle.iter().map(|module| module.join("/")).collect();
            format!("a circle of {} files: {}", circle.len(), files.join(", "))
        })
        .collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn circles_are_found_through_every_kind_of_path() {
    let module = |path: &str| path.split('/').map(str::to_owned).collect::<ModulePath>();
    let texts = [
        ("room", "mod a;\nmod b;\nmod c;\nmod d;\npub use d::Shown;\n"),
        ("room/a", "use super::b::{\n    One,\n    deep::Two,\n};\n"),
        ("room/b", "fn f() { crate::room::c::g() }\n"),
        ("room/c", "use super::Shown;\n"),
        ("room/d", "use crate::room::a; // use super::alone;\n"),
        ("room/alone", "use super::a;\nuse crate::other::b;\n"),
        ("other", "mod b;\n"),
        ("other/b", "use crate::room::alone;\n"),
    ];
    let sources = sources_of(texts.iter().map(|(path, text)| (module(path), *text)).collect());
    let expected = ["room/a", "room/b", "room/c", "room/d"].map(module);
    assert_eq!(circles(&sources), [BTreeSet::from(expected)]);
}

/// Returns every module of `src` except test modules.
fn read_sources() -> BTreeMap<ModulePath, Source> {
    let files = sources();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut texts = BTreeMap::new();
    for (path, text) in &files {
        let below = path.strip_prefix(&root).unwrap().with_extension("");
        let mut module: ModulePath =
            below.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        if module.last().is_some_and(|last| last == "mod") {
            module.pop();
        }
        if !module.iter().any(|part| part == "tests" || part == "lib") {
            texts.insert(module, text.as_str());
        }
    }
    sources_of(texts)
}

fn sources_of(texts: BTreeMap<ModulePath, &str>) -> BTreeMap<ModulePath, Source> {
    let modules: BTreeSet<ModulePath> = texts.keys().cloned().collect();
    let read = |(module, text)| {
        let source = read_source(&modules, &module, text);
        (module, source)
    };
    texts.into_iter().map(read).collect()
}

fn read_source(modules: &BTreeSet<ModulePath>, module: &ModulePath, text: &str) -> Source {
    let code: Vec<&str> = production_lines(text)
        .map(|(_, line)| line.split("//").next().unwrap_or_default())
        .collect();
    // A visibility names a module without using it.
    let code = code.join("\n").replace("pub(in crate::", "pub(in_");
    let mut source = Source { uses: Vec::new(), reexports: BTreeMap::new() };
    let mut rest = String::new();
    let mut handed_on = Vec::new();
    for item in code.split_inclusive(';') {
        let Some((before, tree)) = use_of(item) else {
            rest.push_str(item);
            continue;
        };
        rest.push_str(before);
        for path in expanded(tree) {
            let Some(absolute) = absolute(modules, module, &path) else { continue };
            if before.rsplit('\n').next().is_some_and(|last| last.contains("pub")) {
                handed_on.push(absolute);
            } else {
                source.uses.push(absolute);
            }
        }
    }
    for path in paths_in(&rest) {
        source.uses.extend(absolute(modules, module, path));
    }
    let words: BTreeSet<&str> = rest.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    for path in handed_on {
        let name = path.last().cloned().unwrap_or_default();
        if words.contains(name.as_str()) {
            source.uses.push(path.clone());
        }
        source.reexports.insert(name, path);
    }
    source
}

/// Returns the text before the `use` of an item that ends with `;`, and its tree.
fn use_of(item: &str) -> Option<(&str, &str)> {
    let at = if item.starts_with("use ") {
        0
    } else {
        let found = ["\nuse ", " use "].iter().filter_map(|word| item.rfind(word)).max()?;
        found + 1
    };
    let (before, tree) = item.split_at(at);
    let tree = tree.strip_prefix("use ")?.strip_suffix(';')?;
    Some((before, tree))
}

/// Returns the single paths of a tree such as `a::{b, c::{d, e}}`.
fn expanded(tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some((prefix, list)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or_default();
        return vec![path.split_whitespace().collect()];
    };
    let list = list.trim_end().strip_suffix('}').unwrap_or(list);
    let (mut parts, mut depth) = (vec![String::new()], 0);
    for character in list.chars() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        parts.last_mut().unwrap().push(character);
    }
    let parts = parts.iter().filter(|part| !part.trim().is_empty());
    parts.flat_map(|part| expanded(part)).map(|path| format!("{prefix}{path}")).collect()
}

/// Returns the paths of at least two segments in code.
fn paths_in(code: &str) -> impl Iterator<Item = &str> {
    let words = code.split(|c: char| !c.is_alphanumeric() && c != '_' && c != ':');
    words.map(|word| word.trim_matches(':')).filter(|word| word.contains("::"))
}

/// Resolves a path in `module` from the crate's root; `None` outside the crate.
fn absolute(modules: &BTreeSet<ModulePath>, module: &ModulePath, path: &str) -> Option<ModulePath> {
    let mut segments = path.split("::").map(str::to_owned).peekable();
    let mut from = module.clone();
    match segments.peek()?.as_str() {
        "crate" => {
            segments.next();
            from.clear();
        }
        "self" => {
            segments.next();
        }
        "super" => {
            while segments.next_if(|segment| segment == "super").is_some() {
                from.pop();
            }
        }
        _ => {
            let mut child = from.clone();
            child.push(segments.peek()?.clone());
            if !modules.contains(&child) {
                return None;
            }
        }
    }
    from.extend(segments.filter(|segment| segment != "self"));
    Some(from)
}

/// Returns the module that defines an item, following re-exports.
fn home(sources: &BTreeMap<ModulePath, Source>, item: &[String]) -> Option<ModulePath> {
    let mut item = item.to_vec();
    // A name has only a few re-exports.
    for _ in 0..8 {
        let depth = (1..=item.len()).rev().find(|&depth| sources.contains_key(&item[..depth]))?;
        let (module, rest) = item.split_at(depth);
        let source = &sources[module];
        match rest.first().and_then(|name| source.reexports.get(name)) {
            Some(path) => item = path.iter().chain(&rest[1..]).cloned().collect(),
            None => return Some(module.to_vec()),
        }
    }
    None
}

/// Returns the circles of more than one file within a room.
fn circles(sources: &BTreeMap<ModulePath, Source>) -> Vec<BTreeSet<ModulePath>> {
    let mut used: BTreeMap<&ModulePath, BTreeSet<ModulePath>> = BTreeMap::new();
    for (module, source) in sources {
        let homes = source.uses.iter().filter_map(|item| home(sources, item));
        let in_room = homes.filter(|home| home != module && home.first() == module.first());
        used.insert(module, in_room.collect());
    }
    let reach = |module: &ModulePath| {
        let mut reached = BTreeSet::new();
        let mut ahead = vec![module];
        while let Some(next) = ahead.pop() {
            for used in &used[next] {
                if reached.insert(used.clone()) {
                    ahead.push(used);
                }
            }
        }
        reached
    };
    let reached: BTreeMap<&ModulePath, BTreeSet<ModulePath>> =
        sources.keys().map(|module| (module, reach(module))).collect();
    let circle = |module: &ModulePath| {
        let back = |other: &&ModulePath| reached[*other].contains(module);
        reached[module].iter().filter(back).cloned().collect::<BTreeSet<_>>()
    };
    let found: BTreeSet<_> = sources.keys().map(circle).collect();
    found.into_iter().filter(|circle| circle.len() > 1).collect()
}
