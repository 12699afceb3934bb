// What `npm test` ends with.

/** `name (reason)`, as the steps report a skipped test: its reason, or the name itself. */
const reasonOf = (skipped) => / \((.+)\)$/.exec(skipped)?.[1] ?? skipped;

/**
 * The last line, and the exit code. `skipped` are texts; whoever `needsAll` has not passed while
 * there are any.
 */
export function verdict({ passed, failed, skipped }, needsAll) {
  const reasons = new Map();
  for (const reason of skipped.map(reasonOf)) reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
  const why = [...reasons].map(([reason, count]) => `${reason} (${count})`).join(', ');
  const line = `${passed} passed, ${failed} failed, ${skipped.length} skipped`;
  const isGreen = failed === 0 && (skipped.length === 0 || !needsAll);
  return {
    line: skipped.length === 0 ? line : `${line}, so NOT everything was tried: ${why}`,
    code: isGreen ? 0 : 1,
  };
}
