// Reads constants and error types from Rust sources for the generated pages.

import { readFileSync } from 'node:fs';
import { createContext, runInContext } from 'node:vm';

import { at } from '../project.mjs';

/** Omits the unit tests. */
export const moduleText = (path) => readFileSync(at(path), 'utf8').split('\n#[cfg(test)]')[0];

/**
 * Returns the values of constants by name. An expression may use other constants, in any order. A
 * value is a bigint, or for a list the text of its expression.
 */
export function valuesOf(constants) {
  const values = createContext({});
  for (const { name, expression } of constants) {
    const code = expression
      .replaceAll('u32::MAX', '4_294_967_295')
      .replace(/\bas \w+|\b\w+::/g, '')
      .replace(/\b\d[\d_]*/g, (digits) => `${digits}n`);
    const get = () => (expression.startsWith('[') ? expression : runInContext(code, values));
    Object.defineProperty(values, name, { get });
  }
  return values;
}

/** Replaces each link by its text. */
export function documentation(lines) {
  return lines
    .map((line) => line.trim().replace(/^\/\/\/ ?/, ''))
    .join(' ')
    .replace(/\[(`[^`]+`)\](?:\([^)]*\))?/g, '$1')
    // Removes references to code, which do not help the readers of a page.
    .replace(/(?:See )?`crate::[^`]*`\.?/g, '')
    .replace(/\s+/g, ' ')
    .trim();
}

/** Returns `{ name, expression, text, section }` for each constant. */
export function constantsOf(source) {
  const found = [];
  let section = '';
  let comment = [];
  const lines = source.split('\n');
  for (let index = 0; index < lines.length; index += 1) {
    const line = lines[index];
    if (line.startsWith('///')) comment.push(line);
    else if (/^\/\/ /.test(line)) section = line.slice(3).replace(/\.$/, '');
    else if (/^(?:pub(?:\([a-z]+\))? )?const /.test(line)) {
      let whole = line;
      while (!whole.includes(';')) whole += lines[(index += 1)];
      const [, name, expression] = /const (\w+): [^=]+= (.*);/.exec(whole) ?? [];
      if (!name) throw new Error(`cannot read ${whole}`);
      found.push({ name, expression: expression.trim(), text: documentation(comment), section });
      comment = [];
    } else if (!line.startsWith('#[')) comment = [];
  }
  return found;
}

/** Returns `{ name, message, text }` for each variant. */
export function variantsOf(source, type) {
  const start = source.search(new RegExp(`pub(?:\\([a-z]+\\))? enum ${type} \\{`));
  if (start < 0) throw new Error(`no enum ${type}`);
  const body = source.slice(start, source.indexOf('\n}\n', start));
  const variants = [];
  const pattern = /((?:^ {4}\/\/\/.*\n)*)^ {4}#\[error\(([\s\S]*?)\)\]\n(?: {4}#\[.*\n)*^ {4}(\w+)/gm;
  for (const [, comment, given, name] of body.matchAll(pattern)) {
    const quoted = /^\s*"((?:[^"\\]|\\[\s\S])*)"/.exec(given);
    const message = quoted?.[1].replace(/\\\n\s*/g, '').replaceAll('\\"', '"').replaceAll('\\\\', '\\').replace(/\\n/g, ' ');
    variants.push({ name, message, text: documentation(comment.trimEnd().split('\n').filter(Boolean)) });
  }
  return variants;
}
