// Exports a database as Parquet files with SQL, one file per measurement and day. A repeated export
// skips existing files and so continues an interrupted export.

import { createHash } from 'node:crypto';
import { appendFileSync, createWriteStream, existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';

import { Sentence } from './command.mjs';
import { rowsOf } from './parquet_footer.mjs';
import { bytesText, Progress } from './pieces.mjs';

/** The file that is written when the export is complete. */
const manifestName = 'manifest.json';
/** A file with one line per finished file, from which an interrupted export continues. */
const filesName = 'files.jsonl';
/** The maximum number of repeated requests for a day that received points during the export. */
const repeatsMax = 3;

const quoted = (name) => `"${name.replaceAll('"', '""')}"`;
const dayMs = 86_400_000;

/**
 * Returns a measurement's folder. Replaces bytes that are unsafe in file names with `=` and two hex
 * digits.
 */
export function folderOf(measurement) {
  const plain = /[A-Za-z0-9_-]/;
  return [...Buffer.from(measurement)]
    .map((byte) => (plain.test(String.fromCharCode(byte)) && byte < 128 ? String.fromCharCode(byte) : `=${byte.toString(16).padStart(2, '0')}`))
    .join('');
}

/** Returns `{ path: entry }` for the files of an earlier run. */
function written(folder) {
  const known = new Map();
  const manifest = join(folder, manifestName);
  if (existsSync(manifest)) for (const file of JSON.parse(readFileSync(manifest, 'utf8')).files) known.set(file.path, file);
  const lines = existsSync(join(folder, filesName)) ? readFileSync(join(folder, filesName), 'utf8').split('\n') : [];
  // The last line may be incomplete.
  for (const line of lines.filter((text) => text.endsWith('}'))) known.set(JSON.parse(line).path, JSON.parse(line));
  return known;
}

/** Exports a database or a retention policy to a folder. */
export class ParquetExport {
  /**
   * @param {import('./connection.mjs').Connection} connection
   * @param {{ folder: string, by: string, database: string, policy?: string, measurement?: string, start?: string, end?: string }} given
   */
  constructor(connection, given) {
    this.connection = connection;
    this.folder = given.folder;
    this.database = given.database;
    this.policy = given.policy;
    this.measurement = given.measurement;
    this.start = given.start;
    this.end = given.end;
    this.db = given.policy ? `${given.database}/${given.policy}` : given.database;
    this.progress = new Progress();
  }

  sql(q, format) {
    const body = JSON.stringify({ db: this.db, q, format });
    return this.connection.must('/api/v3/query_sql', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body });
  }

  async rows(q) {
    return (await this.sql(q, 'json')).json();
  }

  /** Returns the measurements of the policy. */
  async measurements() {
    if (this.measurement) return [this.measurement];
    const q = "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'iox' ORDER BY table_name";
    return (await this.rows(q)).map(({ name }) => name);
  }

  /** Returns the condition for the caller's time range, preceded by `and`. */
  within(and) {
    const bounds = [...(this.start ? [`time >= '${this.start}'`] : []), ...(this.end ? [`time < '${this.end}'`] : [])];
    return bounds.length > 0 ? ` ${and} ${bounds.join(' AND ')}` : '';
  }

  /** Returns the days of a measurement with rows, ascending, as `{ day, rows, from, until }`. */
  async days(measurement) {
    const q = `SELECT date_bin(interval '1 day', time) AS day, count(*) AS rows, min(time) AS from_time, max(time) AS until_time
      FROM ${quoted(measurement)}${this.within('WHERE')} GROUP BY day ORDER BY day`;
    const days = await this.rows(q);
    return days.map(({ day, rows, from_time: from, until_time: until }) => ({ day: day.slice(0, 10), rows: Number(rows), from, until }));
  }

  /** Requests a day. The file gets its final name only when it is complete. */
  async fetchDay(measurement, { day, from, until }, path) {
    const next = new Date(Date.parse(`${day}T00:00:00Z`) + dayMs).toISOString().slice(0, 10);
    const q = `SELECT * FROM ${quoted(measurement)} WHERE time >= '${day}T00:00:00Z' AND time < '${next}T00:00:00Z'${this.within('AND')}`;
    const response = await this.sql(q, 'parquet');
    const hash = createHash('sha256');
    const hashed = new Transform({
      transform(piece, _, done) {
        hash.update(piece);
        done(null, piece);
      },
    });
    const target = join(this.folder, path);
    await pipeline(Readable.from(response.body), hashed, createWriteStream(`${target}.part`));
    const rows = rowsOf(`${target}.part`);
    renameSync(`${target}.part`, target);
    return { path, measurement, day, from, until, rows, bytes: statSync(target).size, sha256: hash.digest('hex') };
  }

  /** Exports a day, unless a file with the same number of rows exists. */
  async export(measurement, wanted, known) {
    const path = `${folderOf(measurement)}/${wanted.day}.parquet`;
    const entry = known.get(path);
    const file = join(this.folder, path);
    if (entry?.rows === wanted.rows && existsSync(file) && statSync(file).size === entry.bytes) return { ...entry, isNew: false };
    for (let repeats = 0; ; repeats += 1) {
      const made = await this.fetchDay(measurement, wanted, path);
      if (made.rows === wanted.rows || repeats === repeatsMax) {
        appendFileSync(join(this.folder, filesName), `${JSON.stringify(made)}\n`);
        return { ...made, isNew: true };
      }
      // A client is writing to this day, so its count and times are queried again.
      wanted = (await this.days(measurement)).find(({ day }) => day === wanted.day) ?? wanted;
    }
  }

  /**
   * Resolves to `{ files, made, rows, bytes }`: the number of files, the number of new files, and
   * the totals of all files.
   */
  async run() {
    mkdirSync(this.folder, { recursive: true });
    const known = written(this.folder);
    const files = [];
    let made = 0;
    try {
      for (const measurement of await this.measurements()) {
        const days = await this.days(measurement);
        if (days.length > 0) mkdirSync(join(this.folder, folderOf(measurement)), { recursive: true });
        for (const wanted of days) {
          const { isNew, ...file } = await this.export(measurement, wanted, known);
          files.push(file);
          made += Number(isNew);
          this.progress.show(`${measurement} ${file.day}: ${files.length} files, ${made} of them new`);
        }
      }
    } finally {
      this.progress.end();
    }
    const of = { database: this.database, policy: this.policy ?? null, start: this.start ?? null, end: this.end ?? null };
    const manifest = { version: 1, ...of, made_at: new Date().toISOString(), files };
    // The manifest is written last, with an atomic rename.
    const part = join(this.folder, `${manifestName}.part`);
    writeFileSync(part, `${JSON.stringify(manifest, null, 1)}\n`);
    renameSync(part, join(this.folder, manifestName));
    rmSync(join(this.folder, filesName), { force: true });
    const sum = (of) => files.reduce((total, file) => total + file[of], 0);
    return { files: files.length, made, rows: sum('rows'), bytes: sum('bytes') };
  }
}

/** Runs an export and prints a summary. */
export async function exportParquet(connection, given) {
  if (given.by !== 'day') throw new Sentence('The export writes one file per day: use --by day.');
  const done = await new ParquetExport(connection, given).run();
  console.error(`${done.files} files with ${done.rows} rows, ${bytesText(done.bytes)}; ${done.made} of them are new. ${join(given.folder, manifestName)} lists them.`);
}
