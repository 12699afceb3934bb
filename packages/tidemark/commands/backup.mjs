// tidemark backup: creates, lists and deletes backups, and schedules automatic backups.

import { Incomplete, Sentence } from '../lib/command.mjs';
import { Connection, connectionHelp, connectionOptions } from '../lib/connection.mjs';
import { bytesText, finish, queryOf } from '../lib/pieces.mjs';
import { printTable } from '../lib/table.mjs';

const timeOf = (seconds) => new Date(seconds * 1_000).toISOString().replace('.000Z', 'Z');

async function make(connection, database) {
  const made = await finish(connection, {
    path: () => `/api/v3/backup?${queryOf({ db: database })}`,
    text: (sums, { id, shards, remaining }) =>
      `${id}: ${shards - Math.min(remaining, shards)} of ${shards} shards, ${sums.objects} objects, ${bytesText(sums.bytes)}`,
  });
  // The id is the only text on standard output, so that a script can store it in a variable.
  console.log(made.id);
  console.error(`The backup is complete: ${made.shards} shards; ${made.objects} objects with ${bytesText(made.bytes)} were new.`);
}

function tellSchedule(schedule) {
  if (!schedule) return console.error('No schedule: `--schedule 1d --keep 7` makes one.');
  const { every, keep, due_s: due, is_under_way: isUnderWay, last_success: success, last_failure: failure } = schedule;
  console.error(`Every ${every}, ${keep} kept; ${isUnderWay ? 'one is being made' : `the next one is due ${timeOf(due)}`}.`);
  console.error(success ? `The last one was whole ${timeOf(success.at_s)}: ${success.id}.` : 'None was made yet.');
  if (failure && !(success?.at_s > failure.at_s)) console.error(`It failed ${timeOf(failure.at_s)}: ${failure.why}.`);
}

async function list(connection, database) {
  const response = await connection.must(`/api/v3/backup?${queryOf({ db: database })}`);
  const { backups, schedule } = await response.json();
  printTable(['backup', 'begun', 'state'], backups.map(({ id, begun_s: begun, state }) => [id, timeOf(begun), state]));
  tellSchedule(schedule);
}

async function remove(connection, id) {
  await finish(connection, {
    method: 'DELETE',
    path: () => `/api/v3/backup?${queryOf({ id })}`,
    text: (_, { remaining }) => `${remaining} to go`,
  });
  console.error(`${id} is deleted. Objects that other backups share remain.`);
}

async function schedule(connection, database, every, keep) {
  const path = '/api/v3/configure/backup';
  if (every === 'none') {
    await connection.must(`${path}?${queryOf({ db: database })}`, { method: 'DELETE' });
    return console.error(`The schedule of ${database} is deleted. Existing backups remain.`);
  }
  const body = JSON.stringify({ db: database, every, keep: Number(keep) });
  const response = await connection.must(path, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body });
  tellSchedule((await response.json()).schedule);
}

/** @type {import('../lib/command.mjs').Command} */
export default {
  summary: 'backs up a database now or on a schedule; lists and deletes backups',
  usage: '--database DB [--list | --schedule EVERY [--keep N]] | --delete ID',
  about: `
The server writes backups to an R2 bucket or, under \`tidemark serve --backups FOLDER\`, to a folder. It copies
in steps, and skips data that an earlier backup contains. After an interruption repeat the command to continue.
The server writes a backup's manifest last. A backup without a manifest does not count. The command prints the
backup's ID on standard output.

With --schedule the server makes backups automatically until the database is dropped. After each complete backup
it deletes the oldest automatic backups beyond --keep. The command needs the admin token.

${connectionHelp}`,
  options: {
    database: { value: 'DB', help: 'the database to back up' },
    list: { help: 'lists the backups and the schedule of the database, even of a dropped database' },
    delete: { value: 'ID', help: 'deletes the backup with this ID' },
    schedule: { value: 'EVERY', help: "the interval between automatic backups, such as 6h or 1d; 'none' ends the schedule" },
    keep: { value: 'N', fallback: '7', help: 'the number of automatic backups to keep, at most 15' },
    ...connectionOptions,
  },
  examples: [
    ['tidemark backup --database plant', 'make one backup now'],
    ['tidemark backup --database plant --schedule 1d --keep 14', 'make a backup each day, and keep the backups of two weeks'],
    ['tidemark backup --database plant --list', 'list the backups, and check the schedule'],
    ['tidemark backup --delete plant.1795300000', 'delete a backup'],
  ],
  async run(options, words) {
    if (words.length > 0) throw new Sentence(`What is "${words[0]}"? See tidemark backup --help.`);
    const { database, list: lists, delete: id, schedule: every } = options;
    if (!database && !id) throw new Incomplete();
    if ([lists, id, every].filter(Boolean).length > 1) throw new Sentence('Use only one of --list, --delete and --schedule.');
    const connection = new Connection(options);
    if (id) return remove(connection, id);
    if (lists) return list(connection, database);
    if (every) return schedule(connection, database, every, options.keep);
    return make(connection, database);
  },
};
