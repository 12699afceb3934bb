// tidemark verify: checks every object of a backup without restoring it.

import { Incomplete, Sentence } from '../lib/command.mjs';
import { Connection, connectionHelp, connectionOptions } from '../lib/connection.mjs';
import { bytesText, finish, queryOf } from '../lib/pieces.mjs';

/** @type {import('../lib/command.mjs').Command} */
export default {
  summary: 'checks every object of a backup without restoring it',
  usage: 'ID',
  about: `
ID is a backup as \`tidemark backup --list\` names it. Every object is read from the place of backups, and its
checksum compared with what the objects above it say. What is missing or damaged is printed, and makes the exit
code 1. This needs the admin token.

${connectionHelp}`,
  options: connectionOptions,
  examples: [['tidemark verify plant.1795300000', 'before somebody needs it']],
  async run(options, [id, ...more]) {
    if (id === undefined) throw new Incomplete();
    if (more.length > 0) throw new Sentence(`One backup at a time: "${more[0]}" is another. See tidemark verify --help.`);
    const { objects, bytes, damaged } = await finish(new Connection(options), {
      path: (last) => `/api/v3/backup/verify?${queryOf({ id, resume: last?.resume ?? undefined })}`,
      text: (sums) => `${sums.objects} objects, ${bytesText(sums.bytes)}, ${sums.damaged.length} damaged`,
    });
    for (const line of damaged) console.log(line);
    const read = `${objects} objects with ${bytesText(bytes)} were read`;
    if (damaged.length > 0) throw new Sentence(`${id} is damaged: ${read}, ${damaged.length} are missing or not what they were.`);
    console.error(`${id} is sound: ${read}.`);
  },
};
