//! Compares the table of functions with the console's completion list.

use std::path::Path;

use tidemark_query::functions;

const COMPLETION: &str = "www/influxql/functions.js";

#[test]
fn function_names_are_unique() {
    let mut names: Vec<&str> = functions::all().map(|function| function.name).collect();
    let count = names.len();
    assert!(count > 50, "{count} functions");
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}

/// With `UPDATE=1` in the environment, the test writes the file.
#[test]
fn completion_functions_match_function_table() {
    let mut wanted = String::from(
        "// The functions of InfluxQL, for completion. `UPDATE=1 cargo test --test it functions` writes\n\
         // this list from crates/query/src/functions.rs.\n\n\
         /** The functions, each as `{ name, parameters, explained }`. */\n\
         export const functions = [\n",
    );
    for function in functions::all() {
        let functions::Function { name, parameters, explained, .. } = function;
        for text in [name, parameters, explained] {
            assert!(!text.is_empty() && !text.contains('\''), "{name}: {text}");
        }
        wanted.push_str(&format!(
            "  {{ name: '{name}', parameters: '{parameters}', explained: '{explained}' }},\n"
        ));
    }
    wanted.push_str("];\n");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(COMPLETION);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap();
    assert!(found == wanted, "{COMPLETION} is not what the table says: UPDATE=1 writes it anew");
}
