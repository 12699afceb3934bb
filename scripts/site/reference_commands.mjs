// Generates the page of the programs' commands from the help of each command.

import { readdirSync, readFileSync } from 'node:fs';

import { commands } from '../../packages/tidemark/lib/main.mjs';
import { helpOf } from '../../packages/tidemark/lib/command.mjs';
import { at } from '../project.mjs';
import { generatedBy, table } from './reference_markdown.mjs';

const introduction = `# Commands of \`tidemark\`

Both the [native program](../HOSTING.md#the-native-program) and the [npm package](../../packages/tidemark/README.md)
have a command \`tidemark\`. This page contains the output of \`tidemark COMMAND --help\` of both.
`;

const native = `## The native program

The native program serves a database. Its other commands work with every Tidemark server: on this machine and on Cloudflare.
`;

const npm = `## The npm package

The package is not on npm yet. In a clone of the repository, run \`costs\` with
\`node packages/tidemark/bin/tidemark.mjs COMMAND\`, and deploy with \`npm run deploy\`, which has the same options as \`deploy\`.
If you [build and install the package](../../packages/tidemark/README.md#start), run all commands with \`npx tidemark COMMAND\`.
`;

function nativeCommands() {
  const folder = at('native', 'src', 'commands');
  const names = readdirSync(folder).filter((name) => name.endsWith('.txt')).sort();
  return names.map((name) => ({ name: name.replace('.txt', ''), help: readFileSync(at('native', 'src', 'commands', name), 'utf8') }));
}

async function npmCommands() {
  const all = Object.entries(commands).map(async ([name, load]) => ({ name, help: helpOf(name, (await load()).default) }));
  return Promise.all(all);
}

/** Returns the section of one program. */
function partOf(all) {
  // The first line of each help is the summary.
  const rows = all.map(({ name, help }) => [`[\`${name}\`](#${name})`, help.split('.\n')[0]]);
  const sections = all.map(({ name, help }) => `### ${name}\n\n\`\`\`text\n${help.trimEnd()}\n\`\`\`\n`);
  return [table(['command', 'purpose'], rows), ...sections];
}

export async function commandsPage() {
  const parts = [native, ...partOf(nativeCommands()), npm, ...partOf(await npmCommands())];
  return [generatedBy("the commands' help"), introduction, ...parts].join('\n');
}
