// The page of the program's commands, from the help of each command.

import { commands } from '../../packages/tidemark/lib/main.mjs';
import { helpOf } from '../../packages/tidemark/lib/command.mjs';
import { generatedBy, table } from './reference_markdown.mjs';

const introduction = `# Commands of \`tidemark\`

This page is for users of the [npm package](../../packages/tidemark/README.md). It contains the output of \`tidemark COMMAND --help\`. In a clone of the repository, run the same commands with \`node packages/tidemark/bin/tidemark.mjs COMMAND\`. Without a command the program
runs \`serve\`.
`;

/** Returns the page. */
export async function commandsPage() {
  const all = await Promise.all(Object.entries(commands).map(async ([name, load]) => ({ name, command: (await load()).default })));
  const list = table(['command', 'purpose'], all.map(({ name, command }) => [`[\`${name}\`](#${name})`, command.summary]));
  const sections = all.map(({ name, command }) => `## ${name}\n\n\`\`\`text\n${helpOf(name, command).trimEnd()}\n\`\`\`\n`);
  return [generatedBy("the commands' help"), introduction, list, ...sections].join('\n');
}
