// tidemark restore: restores a backup under a new name or into an empty database.

import { Incomplete, Sentence } from '../lib/command.mjs';
import { Connection, connectionHelp, connectionOptions } from '../lib/connection.mjs';
import { tellAccess } from '../lib/deployment.mjs';
import { bytesText, finish, queryOf } from '../lib/pieces.mjs';

/** @type {import('../lib/command.mjs').Command} */
export default {
  summary: 'takes a backup in, under a new name or over an empty database',
  usage: 'ID [--database DB] [--access]',
  about: `
ID is a backup as \`tidemark backup --list\` names it; its server may have been another one, with the same place
of backups. A database that has measurements is never overwritten. Nobody sees a half of it: all of it is there once the
command ends. Repeat it to go on after an interruption. With --access tokens and users of the backup get the rights that
they had, on this database: those that are unknown here are made. This needs the admin token.

${connectionHelp}`,
  options: {
    access: { help: 'tokens and users get their rights on it, by the hashes that the backup has' },
    database: { value: 'DB', help: 'where to; otherwise under the name that it had' },
    ...connectionOptions,
  },
  examples: [
    ['tidemark restore plant.1795300000 --database plant_of_yesterday', 'beside the one that there is'],
    ['tidemark restore plant.1795300000', 'after the loss of it'],
  ],
  async run(options, [id, ...more]) {
    if (id === undefined) throw new Incomplete();
    if (more.length > 0) throw new Sentence(`One backup at a time: "${more[0]}" is another. See tidemark restore --help.`);
    const database = options.database ?? id.replace(/\.\d+$/, '');
    const access = options.access ? 'true' : undefined;
    const done = await finish(new Connection(options), {
      path: (last) => `/api/v3/restore?${queryOf({ db: database, from: id, access, resume: last?.resume ?? undefined })}`,
      text: (sums, { shards = 0, remaining = 1 }) =>
        `${database}: ${Math.max(shards + 1 - remaining, 0)} of ${shards} shards, ${sums.values} values, ${bytesText(sums.bytes)}`,
    });
    console.error(`${database} is restored: ${done.values} values with ${bytesText(done.bytes)} were put.`);
    if (access) tellAccess(done.access);
  },
};
