// What `npm test` ends with.

/** `name (reason)`, as the steps report a skipped test: its reason, or the name itself. */
const reasonOf = (skipped) => / \((.+)\)$/.exec(skipped)?.[1] ?? skipped;

/**
 * The last lines, and the exit code. `failures` and `skipped` are texts; whoever `needsAll` has not
 * passed while there are skipped ones. Failures are repeated here because the end of a log is what
 * is kept of a long run.
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
      skipped.length === 0 ? line : `${line}, so NOT everything was tried: ${why}`,
    ],
    code: isGreen ? 0 : 1,
  };
}
