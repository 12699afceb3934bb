// Checks the licences, versions and sources of all crates against deny.toml, as `cargo deny check
// licenses bans sources` does. The data comes from `cargo metadata`. Only the hosted workflow runs
// cargo-deny itself, because its several hundred crates compile for minutes on a fresh clone.

import { readFileSync } from 'node:fs';

import { must } from './processes.mjs';
import { at } from './project.mjs';

const cratesIo = 'registry+https://github.com/rust-lang/crates.io-index';

/** `spdx-expression-parse` has parsed the expression. */
function satisfied(expression, allowed) {
  const { conjunction, left, right, license, exception } = expression;
  if (conjunction === 'or') return satisfied(left, allowed) || satisfied(right, allowed);
  if (conjunction === 'and') return satisfied(left, allowed) && satisfied(right, allowed);
  return allowed.includes(exception ? `${license} WITH ${exception}` : license);
}

function faultsOfOne({ name, version, license, source, dependencies }, { allowed, parse }) {
  const who = `${name} ${version}`;
  const faults = [];
  // crates.io accepted `MIT/Apache-2.0` before it required SPDX expressions.
  if (!license) faults.push(`${who} does not declare a licence`);
  else if (!satisfied(parse(license.replaceAll('/', ' OR ')), allowed)) {
    faults.push(`${who} has the licence ${license}: deny.toml allows ${allowed.join(', ')}`);
  }
  if (source !== null && source !== cratesIo) faults.push(`${who} comes from ${source}, and only crates.io is allowed`);
  for (const { name: other, req, path } of dependencies) {
    if (req === '*' && !path) faults.push(`${who} allows any version of ${other}`);
  }
  return faults;
}

/** Reports each crate that has several versions, unless deny.toml skips the crate. */
function faultsOfVersions(packages, skipped) {
  const versions = new Map();
  for (const { name, version } of packages) {
    if (!skipped.includes(`${name}@${version}`)) versions.set(name, [...(versions.get(name) ?? []), version]);
  }
  const several = [...versions].filter(([, found]) => found.length > 1);
  const present = packages.map(({ name, version }) => `${name}@${version}`);
  return [
    ...several.map(([name, found]) => `${name} occurs in several versions: ${found.join(', ')}`),
    ...skipped.filter((one) => !present.includes(one)).map((one) => `deny.toml skips ${one}, which no crate uses`),
  ];
}

/** `packages` has the format of `cargo metadata`. `parse` parses an SPDX expression. */
export function faultsOf(packages, rules, parse) {
  const given = { allowed: rules.licenses.allow, parse };
  const skipped = rules.bans.skip.map(({ crate }) => crate);
  return [
    ...packages.flatMap((one) => faultsOfOne(one, given)),
    ...faultsOfVersions(packages, skipped),
  ];
}

const folders = ['.', 'native'];

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
