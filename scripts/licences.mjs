// The licences, versions and sources of all crates, by the rules of deny.toml: what `cargo deny check
// licenses bans sources` says, by what cargo itself knows of them. cargo-deny is a program of several
// hundred crates, which compile for minutes on a fresh clone: it runs in the hosted workflow alone.

import { readFileSync } from 'node:fs';

import { must } from './processes.mjs';
import { at } from './project.mjs';

const cratesIo = 'registry+https://github.com/rust-lang/crates.io-index';

/** Whether an expression, as `spdx-expression-parse` reads it, asks for nothing but `allowed`. */
function satisfied(expression, allowed) {
  const { conjunction, left, right, license, exception } = expression;
  if (conjunction === 'or') return satisfied(left, allowed) || satisfied(right, allowed);
  if (conjunction === 'and') return satisfied(left, allowed) && satisfied(right, allowed);
  return allowed.includes(exception ? `${license} WITH ${exception}` : license);
}

/** The faults of each crate by itself. */
function faultsOfOne({ name, version, license, source, dependencies }, { allowed, parse }) {
  const who = `${name} ${version}`;
  const faults = [];
  // The form that crates.io had before it had SPDX's.
  if (!license) faults.push(`${who} declares no licence`);
  else if (!satisfied(parse(license.replaceAll('/', ' OR ')), allowed)) {
    faults.push(`${who} asks for ${license}: deny.toml allows ${allowed.join(', ')}`);
  }
  if (source !== null && source !== cratesIo) faults.push(`${who} comes from ${source}`);
  for (const { name: other, req, path } of dependencies) {
    if (req === '*' && !path) faults.push(`${who} takes any version of ${other}`);
  }
  return faults;
}

/** Crates that are there in several versions, beyond those that are skipped with a reason. */
function faultsOfVersions(packages, skipped) {
  const versions = new Map();
  for (const { name, version } of packages) {
    if (!skipped.includes(`${name}@${version}`)) versions.set(name, [...(versions.get(name) ?? []), version]);
  }
  const several = [...versions].filter(([, found]) => found.length > 1);
  const present = packages.map(({ name, version }) => `${name}@${version}`);
  return [
    ...several.map(([name, found]) => `${name} is there in versions ${found.join(', ')}`),
    ...skipped.filter((one) => !present.includes(one)).map((one) => `deny.toml skips ${one}, which is not there`),
  ];
}

/**
 * What is wrong with `packages`, as `cargo metadata` lists them, by the `rules` of deny.toml: a
 * sentence each. `parse` reads an SPDX expression.
 */
export function faultsOf(packages, rules, parse) {
  const given = { allowed: rules.licenses.allow, parse };
  const skipped = rules.bans.skip.map(({ crate }) => crate);
  return [
    ...packages.flatMap((one) => faultsOfOne(one, given)),
    ...faultsOfVersions(packages, skipped),
  ];
}

/** Where the lock files are, each beside its rules. */
const folders = ['.', 'sql'];

/** The same of this repository's crates; with how many they are. */
export async function crateFaults() {
  const found = await Promise.all(folders.map(faultsIn));
  return {
    count: found.reduce((sum, { count }) => sum + count, 0),
    faults: found.flatMap(({ faults }) => faults),
  };
}

/** @param {string} folder */
async function faultsIn(folder) {
  const [{ parse: toml }, { default: parse }] = await Promise.all([
    import('smol-toml'),
    import('spdx-expression-parse'),
  ]);
  const manifest = at(folder, 'Cargo.toml');
  const form = ['--quiet', '--format-version', '1', '--all-features', '--locked'];
  const asked = ['metadata', '--manifest-path', manifest, ...form];
  const { packages } = JSON.parse(await must('Listing the crates', 'cargo', asked, { quiet: true }));
  const faults = faultsOf(packages, toml(readFileSync(at(folder, 'deny.toml'), 'utf8')), parse);
  return { count: packages.length, faults };
}
