// Computes the summary at the end of `npm test`.

/** The steps report a skipped test as `name (reason)`. Without a reason, returns the name. */
const reasonOf = (skipped) => / \((.+)\)$/.exec(skipped)?.[1] ?? skipped;

const slowestMax = 10;

/** Returns the ten slowest tests, one per line. `times` contains `{ name, seconds }` for each test. */
export function slowest(times) {
  const sorted = times.toSorted((one, other) => other.seconds - one.seconds).slice(0, slowestMax);
  return sorted.map(({ name, seconds }) => `${seconds.toFixed(1).padStart(7)} s  ${name}`);
}

/**
 * With `needsAll`, a skipped test results in exit code 1. The summary repeats the failures, because
 * often only the end of a long log is kept.
 */
export function verdict({ passed, failed, failures, skipped }, needsAll) {
  const reasons = new Map();
  for (const reason of skipped.map(reasonOf)) reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
  const why = [...reasons].map(([reason, count]) => `${reason} (${count})`).join(', ');
  const line = `${passed} passed, ${failed} failed, ${skipped.length} skipped`;
  const isGreen = failed === 0 && (skipped.length === 0 || !needsAll);
  return {
    lines: [
      ...skipped.map((name) => `skipped: ${name}`),
      ...failures.map((failure) => `FAILED ${failure}`),
      skipped.length === 0 ? line : `${line}, so NOT every test was run: ${why}`,
    ],
    code: isGreen ? 0 : 1,
  };
}
