// tidemark restore: restores a backup under a new name or into an empty database.

import { Incomplete, Sentence } from '../lib/command.mjs';
import { Connection, connectionHelp, connectionOptions } from '../lib/connection.mjs';
import { tellAccess } from '../lib/deployment.mjs';
import { bytesText, finish, queryOf } from '../lib/pieces.mjs';

/** @type {import('../lib/command.mjs').Command} */
export default {
  summary: 'restores a backup under a new name or into an empty database',
  usage: 'ID [--database DB] [--access]',
  about: `
ID is a backup from \`tidemark backup --list\`. The backup may come from another server that uses the same bucket
or folder for backups. The command never overwrites a database that has measurements. Clients see no partial
restore: all points appear when the command ends. Repeat the command to continue after an interruption.

With --access the tokens and users of the backup get their former permissions on this database. The command
creates the tokens and users that this server does not have. The command needs the admin token.

${connectionHelp}`,
  options: {
    access: { help: 'also restores the permissions of tokens and users, from the hashes in the backup' },
    database: { value: 'DB', help: "the name of the restored database; default: the database's name in the backup" },
    ...connectionOptions,
  },
  examples: [
    ['tidemark restore plant.1795300000 --database plant_of_yesterday', 'restore next to the existing database'],
    ['tidemark restore plant.1795300000', 'restore a lost database'],
  ],
  async run(options, [id, ...more]) {
    if (id === undefined) throw new Incomplete();
    if (more.length > 0) throw new Sentence(`Name only one backup, without "${more[0]}". See tidemark restore --help.`);
    const database = options.database ?? id.replace(/\.\d+$/, '');
    const access = options.access ? 'true' : undefined;
    const done = await finish(new Connection(options), {
      path: (last) => `/api/v3/restore?${queryOf({ db: database, from: id, access, resume: last?.resume ?? undefined })}`,
      text: (sums, { shards = 0, remaining = 1 }) =>
        `${database}: ${Math.max(shards + 1 - remaining, 0)} of ${shards} shards, ${sums.values} values, ${bytesText(sums.bytes)}`,
    });
    console.error(`${database} is restored: ${done.values} values with ${bytesText(done.bytes)} were written.`);
    if (access) tellAccess(done.access);
  },
};
