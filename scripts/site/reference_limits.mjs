// Generates the page of all limits from the constants in the code.

import { code, generatedBy, table } from './reference_markdown.mjs';
import { constantsOf, moduleText, valuesOf } from './rust_source.mjs';

const introduction = `# All limits

This page is for operators and engineers who need the value of a limit. It lists every constant of \`crates/model/src/limits.rs\` with its value and its
description from the code. [Settings and limits](../SETTINGS.md) describes the limits that affect users, and the settings that change them.
One MB is 10⁶ bytes. An *edge* is an isolate of the Worker, or an engine thread of the native program. [Concepts](../concepts.md) defines
the other terms.
`;

const grouped = (number) => String(number).replace(/\B(?=(\d{3})+$)/g, ',');

/**
 * The units of time with their length in nanoseconds, largest first.
 * @type {[string, bigint][]}
 */
const times = [['d', 86_400_000_000_000n], ['h', 3_600_000_000_000n], ['min', 60_000_000_000n], ['s', 1_000_000_000n], ['ms', 1_000_000n]];

/** Formats a limit with its unit, which the constant's name contains. */
function formatted(name, value) {
  if (name.includes('_PER_')) return grouped(value);
  const toNs = /_NS(_|$)/.test(name) ? 1n : /_MS(_|$)/.test(name) ? 1_000_000n : /_S(_|$)/.test(name) ? 1_000_000_000n : null;
  if (toNs !== null) {
    const [unit, size] = times.find(([, one]) => (value * toNs) % one === 0n) ?? ['ns', 1n];
    return `${grouped((value * toNs) / size)} ${unit}`;
  }
  return grouped(value);
}

/** The formatted value contains a unit, so the description needs none. */
const withoutUnit = (text) => text.replace(/, in (?:nanoseconds|milliseconds|seconds)\b/g, '');

export function limitValues() {
  const limits = constantsOf(moduleText('crates/model/src/limits.rs'));
  const values = valuesOf([...constantsOf(moduleText('crates/model/src/time.rs')), ...limits]);
  return limits.map((one) => ({ ...one, value: values[one.name] }));
}

export function limitsPage() {
  const limits = limitValues();
  const sections = [...new Set(limits.map(({ section }) => section))].map((section) => {
    const rows = limits.filter((one) => one.section === section).map(({ name, value, text }) =>
      [code(name), typeof value === 'bigint' ? formatted(name, value) : value, withoutUnit(text)]);
    return `## ${section}\n\n${table(['limit', 'value', 'description'], rows)}`;
  });
  return [generatedBy('crates/model/src/limits.rs'), introduction, ...sections].join('\n');
}
