// tidemark verify: checks every object of a backup without restoring it.

import { Incomplete, Sentence } from '../lib/command.mjs';
import { Connection, connectionHelp, connectionOptions } from '../lib/connection.mjs';
import { bytesText, finish, queryOf } from '../lib/pieces.mjs';

/** @type {import('../lib/command.mjs').Command} */
export default {
  summary: 'checks every object of a backup without restoring it',
  usage: 'ID',
  about: `
ID is a backup from \`tidemark backup --list\`. The server reads every object of the backup, and compares its
checksum with the checksum in the object that refers to it. The command prints missing and damaged objects, and
the exit code is then 1. The command needs the admin token.

${connectionHelp}`,
  options: connectionOptions,
  examples: [['tidemark verify plant.1795300000', 'check a backup before you need it']],
  async run(options, [id, ...more]) {
    if (id === undefined) throw new Incomplete();
    if (more.length > 0) throw new Sentence(`Name only one backup, without "${more[0]}". See tidemark verify --help.`);
    const { objects, bytes, damaged } = await finish(new Connection(options), {
      path: (last) => `/api/v3/backup/verify?${queryOf({ id, resume: last?.resume ?? undefined })}`,
      text: (sums) => `${sums.objects} objects, ${bytesText(sums.bytes)}, ${sums.damaged.length} damaged`,
    });
    for (const line of damaged) console.log(line);
    const read = `${objects} objects with ${bytesText(bytes)} were read`;
    if (damaged.length > 0) throw new Sentence(`${id} is damaged: ${read}, ${damaged.length} are missing or changed.`);
    console.error(`${id} is sound: ${read}.`);
  },
};
