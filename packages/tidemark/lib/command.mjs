// What a command is, and how its options are read and told.

import { parseArgs } from 'node:util';

/**
 * One option of a command. Without a `value` it is a switch.
 *
 * @typedef {object} Option
 * @property {string} [value] what stands after it, such as `FILE`
 * @property {string} [env] the variable of the environment that is taken where it is not given
 * @property {string} [fallback] what holds where neither is given
 * @property {boolean} [isRepeated] whether it may be given several times: its values are then a list
 * @property {string} help
 */

/**
 * @typedef {object} Command
 * @property {string} summary one line
 * @property {string} usage the words after the command's name
 * @property {string} about what it does, in paragraphs
 * @property {Record<string, Option>} options by their long names
 * @property {[string, string][]} examples a line to type, and what it does
 * @property {(options: Record<string, any>, words: string[]) => Promise<number | void>} run
 *   resolves to the exit code
 */

/** A failure that the user can do something about: printed as it is, without a stack. */
export class Sentence extends Error {}

/** A line that lacks what a command cannot do without: its help is the answer. */
export class Incomplete extends Error {}

/** @type {Option} */
const help = { help: 'prints this' };

/** The options and the other words of a line; what it leaves open comes from the environment. */
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
    throw new Sentence(`${error.message.split('. ')[0]}. See tidemark ${name} --help.`);
  }
  /** @type {Record<string, any>} */
  const options = { ...read.values };
  for (const [long, { env, fallback }] of Object.entries(known)) {
    options[long] ??= (env && process.env[env]) || fallback;
  }
  return { options, positionals: read.positionals };
}

/** `--port N`, and what it is, in two columns. */
function table(rows) {
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows
    .map(([left, right]) => `  ${left.padEnd(width)}  ${right.replaceAll('\n', `\n${' '.repeat(width + 4)}`)}`)
    .join('\n');
}

function optionRow([long, { value, env, fallback, help: text }]) {
  const open = [env && `or ${env} in the environment`, fallback && `otherwise ${fallback}`].filter(Boolean);
  return [`--${long}${value ? ` ${value}` : ''}`, open.length ? `${text}\n(${open.join('; ')})` : text];
}

/** The page that `--help` prints. */
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
