// Defines commands, parses their options, and prints their help.

import { parseArgs } from 'node:util';

/**
 * An option of a command. An option without a `value` is a switch.
 *
 * @typedef {object} Option
 * @property {string} [value] the placeholder after the option in the help, such as `FILE`
 * @property {string} [env] the environment variable that is used if the option is not given
 * @property {string} [fallback] the default value
 * @property {boolean} [isRepeated] whether the option may occur several times, with a list as its
 *   value
 * @property {string} help
 */

/**
 * @typedef {object} Command
 * @property {string} summary one line
 * @property {string} usage the arguments after the command's name
 * @property {string} about the description, in paragraphs
 * @property {Record<string, Option>} options the options by their long names
 * @property {[string, string][]} examples command lines with descriptions
 * @property {(options: Record<string, any>, words: string[]) => Promise<number | void>} run
 *   resolves to the exit code
 */

/** An error that the user can resolve. The program prints it without a stack trace. */
export class UserError extends Error {}

/** @type {Option} */
const help = { help: 'prints this help' };

/** Options that are not given are read from the environment. */
export function optionsOf(name, command, line) {
  const known = { ...command.options, help };
  const forms = Object.entries(known).map(([long, { value, isRepeated = false }]) => [
    long,
    /** @type {const} */ ({ type: value ? 'string' : 'boolean', multiple: isRepeated, ...(long === 'help' ? { short: 'h' } : {}) }),
  ]);
  let read;
  try {
    read = parseArgs({ args: line, options: Object.fromEntries(forms), allowPositionals: true });
  } catch (error) {
    throw new UserError(`${error.message.split('. ')[0]}. See tidemark ${name} --help.`);
  }
  /** @type {Record<string, any>} */
  const options = { ...read.values };
  for (const [long, { env, fallback }] of Object.entries(known)) {
    options[long] ??= (env && process.env[env]) || fallback;
  }
  return { options, positionals: read.positionals };
}

function table(rows) {
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows
    .map(([left, right]) => `  ${left.padEnd(width)}  ${right.replaceAll('\n', `\n${' '.repeat(width + 4)}`)}`)
    .join('\n');
}

function optionRow([long, { value, env, fallback, help: text }]) {
  const open = [fallback && `default: ${fallback}`, env && `environment: ${env}`].filter(Boolean);
  return [`--${long}${value ? ` ${value}` : ''}`, open.length ? `${text}\n(${open.join('; ')})` : text];
}

export function helpOf(name, command) {
  const options = Object.entries({ ...command.options, help }).map(optionRow);
  const examples = command.examples.map(([line, what]) => `  # ${what}\n  ${line}`);
  return `${command.summary[0].toUpperCase()}${command.summary.slice(1)}.

usage: tidemark ${name} ${command.usage}

${command.about.trim()}

${table(options)}

Examples:

${examples.join('\n\n')}
`;
}
