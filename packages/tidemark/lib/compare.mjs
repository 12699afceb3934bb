// Compares the number of values per measurement in an imported file with the database.

/** Returns a name quoted for InfluxQL. */
export const quoted = (name) => `"${name.replace(/[\\"]/g, '\\$&').replaceAll('\n', '\\n')}"`;

const sourceOf = ({ database, policy, measurement }) =>
  `${quoted(database)}.${policy ? quoted(policy) : ''}.${quoted(measurement)}`;

/** Queries the number of values in the time range of a sum. */
async function countOf(places, sum) {
  const { first_ns, last_ns } = sum;
  const where = first_ns === null ? '' : ` WHERE time >= ${first_ns} AND time <= ${last_ns}`;
  const { status, text, error, rows } = await places.ask(`SELECT count(*) FROM ${sourceOf(sum)}${where}`);
  if (status !== 200 || error) return { error: error ?? `${status} ${text}` };
  return { values: (rows[0] ?? []).slice(1).reduce((all, value) => all + (value ?? 0), 0) };
}

/**
 * Compares the sums of a `Tally` with the database. Reports each measurement with a different
 * count, and finally a summary. If the first count fails, for example because the token may not
 * read, the function compares no measurement.
 */
export async function compare(tally, places, say) {
  const sums = tally.sums();
  let [counted, inFile, inDatabase, different] = [0, 0, 0, 0];
  for (const sum of sums) {
    const { values, error } = await countOf(places, sum);
    if (error && counted === 0) return say(`not compared with the database: ${error}`);
    if (error) {
      say(`${sourceOf(sum)}: ${sum.values} values in the file; the values in the database could not be counted: ${error}`);
      continue;
    }
    counted += 1;
    inFile += sum.values;
    inDatabase += values;
    if (values === sum.values) continue;
    different += 1;
    say(`${sourceOf(sum)}: ${sum.values} values in the file, ${values} in the database in the same time range`);
  }
  const both = `${inFile} values in the file, ${inDatabase} in the database`;
  const measurements = `${counted} measurement${counted === 1 ? '' : 's'}`;
  say(`compared ${measurements}: ${both}${different === 0 ? ', equal in each' : ''}`);
  if (tally.others > 0) say(`${tally.others} values of further measurements were not compared`);
  if (different > 0) {
    say('The database has fewer values after rejected lines or repeated points, and more values if it had points before the import.');
  }
}
