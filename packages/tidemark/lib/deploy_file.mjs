// Reads the user's part of a deployment's configuration: a file, and options that override the
// file.

import { existsSync, readFileSync } from 'node:fs';

import { UserError } from './command.mjs';

const schema = JSON.parse(readFileSync(new URL('../deploy.schema.json', import.meta.url), 'utf8'));

export const defaultFile = 'tidemark.deploy.json';

const typeOf = (value) => (Array.isArray(value) ? 'array' : value === null ? 'null' : typeof value);

const isObject = (value) => typeOf(value) === 'object';

/** Returns a message about the first violated rule of the schema, or null. */
function broken(value, rules, path) {
  if (rules.$ref) return broken(value, schema, path);
  if (rules.type && ![rules.type].flat().includes(typeOf(value))) return `${path} is ${typeOf(value)}: it has to be ${[rules.type].flat().join(' or ')}`;
  if (rules.enum && !rules.enum.includes(value)) return `${path} is "${value}": it has to be ${rules.enum.join(' or ')}`;
  if (rules.pattern && !new RegExp(rules.pattern).test(value)) return `${path} is "${value}": it has to match ${rules.pattern}`;
  for (const [key, one] of isObject(value) ? Object.entries(value) : []) {
    const own = rules.properties?.[key] ?? rules.additionalProperties;
    if (own === false) return `${path === 'it' ? '' : `${path}.`}${key} is unknown: choose one of ${Object.keys(rules.properties).join(', ')}`;
    const message = own ? broken(one, own, path === 'it' ? key : `${path}.${key}`) : null;
    if (message) return message;
  }
  return null;
}

/** Merges objects by key. Any other value in `over` replaces the value in `under`. */
export function merged(under, over) {
  const all = { ...under };
  for (const [key, value] of Object.entries(over)) all[key] = isObject(value) && isObject(all[key]) ? merged(all[key], value) : value;
  return all;
}

function mustBeSettings(vars, settings, file) {
  for (const name of Object.keys(vars)) {
    if (/^ADMIN_TOKEN/.test(name)) throw new UserError(`${file}: vars.${name} is a secret; set ${name} in the environment of the first deployment, or use \`wrangler secret put ${name}\`.`);
    if (!settings.includes(name)) throw new UserError(`${file}: vars.${name} is not a setting; docs/SETTINGS.md lists the settings.`);
  }
}

function readJson(file) {
  let text;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new UserError(`${file} cannot be read (${error.code}).`);
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new UserError(`${file} is not valid JSON: ${error.message}.`);
  }
}

function variables(words) {
  return Object.fromEntries(words.map((word) => {
    const [, name, value] = /^([A-Z][A-Z0-9_]*)=(.*)$/s.exec(word) ?? [];
    if (!name) throw new UserError(`--var is "${word}": it has to be NAME=VALUE.`);
    return [name, value];
  }));
}

/**
 * Options override the file's values for the environment, which override its general values.
 * `settings` lists the names that are valid in `vars`.
 * @param {Record<string, any>} options the options of the command
 * @param {string[]} settings
 */
export function wantedOf(options, settings) {
  const file = options.config ?? (existsSync(defaultFile) ? defaultFile : null);
  const whole = file ? readJson(file) : {};
  const message = broken(whole, schema, 'it');
  if (message) throw new UserError(`${file}: ${message}.`);
  const { environments = {}, ...shared } = whole;
  const { env } = options;
  const { environments: nested, ...own } = (env && environments[env]) || {};
  if (nested) throw new UserError(`${file}: environments.${env} must not have nested environments.`);
  const name = own.name ?? `${options.name ?? shared.name ?? 'tidemark'}${env ? `-${env}` : ''}`;
  const given = { domain: options.domain, backups: options.backups, location: options.location, jurisdiction: options.jurisdiction, placement: options.placement, vars: variables(options.var ?? []) };
  const set = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  const wanted = merged(merged(shared, own), { ...set, name });
  const wrong = broken(wanted, schema, 'it');
  if (wrong) throw new UserError(`${wrong}.`);
  mustBeSettings(wanted.vars, settings, file ?? '--var');
  return wanted;
}
