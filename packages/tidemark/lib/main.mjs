// Selects the command of a command line, prints help, and returns the exit code.

import { readFileSync } from 'node:fs';

import { helpOf, optionsOf, UserError } from './command.mjs';

/** The commands in the order in which a new user needs them. */
export const commands = {
  deploy: () => import('../commands/deploy.mjs'),
  probe: () => import('../commands/probe.mjs'),
  costs: () => import('../commands/costs.mjs'),
};

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));

async function overview() {
  const rows = await Promise.all(
    Object.entries(commands).map(async ([name, load]) => `  ${name.padEnd(8)}  ${(await load()).default.summary}`),
  );
  return `Tidemark ${version}, an InfluxDB-compatible time-series database.

usage: tidemark COMMAND …

${rows.join('\n')}

tidemark COMMAND --help describes the options of a command. The native program is also called tidemark. It runs the
database on this machine (serve). The native program's commands query, import, export, backup, restore, verify,
token and flight also work with a deployment.
`;
}

async function chosen(words) {
  const [first = '--help', ...rest] = words;
  if (first === '--help' || first === '-h' || first === 'help') {
    // `tidemark help deploy` also prints help.
    if (first === 'help' && rest[0] in commands) return chosen([rest[0], '--help']);
    process.stdout.write(await overview());
    return 0;
  }
  if (first === '--version' || first === '-v') {
    console.log(version);
    return 0;
  }
  if (!Object.hasOwn(commands, first)) {
    const known = Object.keys(commands).join(', ');
    throw new UserError(`Unknown command "${first}": use one of ${known}, or see tidemark --help.`);
  }
  const { default: command } = await commands[first]();
  const { options, positionals } = optionsOf(first, command, rest);
  if (options.help) {
    process.stdout.write(helpOf(first, command));
    return 0;
  }
  return command.run(options, positionals);
}

/** Resolves to the exit code. */
export async function main(words) {
  try {
    return (await chosen(words)) ?? 0;
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    console.error(error.message);
    return 1;
  }
}
