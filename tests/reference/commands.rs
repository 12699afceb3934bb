//! Generates the page of the programs' commands from the help of each command.

use std::process::Command;

use crate::markdown::{generated_by, table};
use crate::repository::{names, root, text};

const INTRODUCTION: &str = r#"# Commands of `tidemark`

Both the [native program](../HOSTING.md#the-native-program) and the [npm package](../../packages/tidemark/README.md)
have a command `tidemark`. This page contains the output of `tidemark COMMAND --help` of both.
"#;

const NATIVE: &str = r#"## The native program

The native program serves a database. Its other commands work with every Tidemark server: on this machine and on Cloudflare.
"#;

const NPM: &str = r#"## The npm package

The package is not on npm yet. In a clone of the repository, run `costs` with
`node packages/tidemark/bin/tidemark.mjs COMMAND`, and deploy with `npm run deploy`, which has the same options as `deploy`.
If you [build and install the package](../../packages/tidemark/README.md#start), run all commands with `npx tidemark COMMAND`.
"#;

/// The commands in the order in which a new user needs them.
const NPM_COMMANDS: [&str; 3] = ["deploy", "probe", "costs"];

fn npm_help(name: &str) -> String {
    let program = root().join("packages/tidemark/bin/tidemark.mjs");
    let output = Command::new("node").arg(program).args([name, "--help"]).output().unwrap();
    assert!(output.status.success(), "{name}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Returns the list of commands and their sections. The first line of each help is the summary.
fn sections(commands: &[(String, String)]) -> Vec<String> {
    let summary = |help: &str| help.split(".\n").next().unwrap_or_default().to_owned();
    let rows =
        commands.iter().map(|(name, help)| vec![format!("[`{name}`](#{name})"), summary(help)]);
    let mut parts = vec![table(&["command", "purpose"], rows.collect())];
    parts.extend(
        commands
            .iter()
            .map(|(name, help)| format!("### {name}\n\n```text\n{}\n```\n", help.trim_end())),
    );
    parts
}

pub(crate) fn page() -> String {
    let files = names("native/src/commands");
    let native: Vec<(String, String)> = files
        .iter()
        .filter_map(|file| {
            Some((
                file.strip_suffix(".txt")?.to_owned(),
                text(&format!("native/src/commands/{file}")),
            ))
        })
        .collect();
    let npm = NPM_COMMANDS.map(|name| (name.to_owned(), npm_help(name)));
    let mut all: Vec<String> = names("packages/tidemark/commands");
    all.retain(|file| !NPM_COMMANDS.iter().any(|name| *file == format!("{name}.mjs")));
    assert!(all.is_empty(), "NPM_COMMANDS lacks {all:?}");
    let mut parts =
        vec![generated_by("the commands' help"), INTRODUCTION.to_owned(), NATIVE.to_owned()];
    parts.extend(sections(&native));
    parts.push(NPM.to_owned());
    parts.extend(sections(&npm));
    parts.join("\n")
}
