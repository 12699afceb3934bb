// npm start: prepares everything, then runs the Worker on this machine with persistent data.
//
// Environment variables: PORT, FLIGHT_PORT, STATE_DIR, OBSERVABILITY=1, SQL=off, and the name of
// each Worker setting and secret.

import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { constants, setPriority } from 'node:os';
import { join, resolve } from 'node:path';

import { checked, keptToken } from './admin-token.mjs';
import { servedFolder, servedPage } from './console.mjs';
import { mustBeFree, settings, startServer } from './dev-server.mjs';
import { hasSql, isSqlOld, sqlFolder } from './modules.mjs';
import { endAllOnSignals, endGroup, startGroup } from './processes.mjs';
import { at, finishWith, root, UserError } from './project.mjs';
import { hasCargo, prepareAll } from './setup.mjs';
import { documentationSite } from '../docs/site/site.mjs';

function portOf(name, text) {
  const number = Number(text);
  if (Number.isInteger(number) && number >= 1 && number <= 65_535) return number;
  throw new UserError(`${name} is "${text}": it must be a number from 1 to 65535.`);
}

/** Secrets in the environment replace those in `.dev.vars`. */
function givenSecrets() {
  const names = ['ADMIN_TOKEN', 'ADMIN_TOKEN_NEXT'];
  const given = names.filter((name) => process.env[name]);
  const broken = given.find((name) => /['\n\r]/.test(process.env[name]));
  if (broken) throw new UserError(`${broken} contains a quote or a line break: choose another value.`);
  return given.map((name) => /** @type {[string, string]} */ ([name, checked(name, process.env[name])]));
}

/** Writes the secrets to a file, because other users can see command-line arguments. */
function secretsFile(secrets, stateDir) {
  mkdirSync(stateDir, { recursive: true });
  const file = join(stateDir, 'secrets.env');
  rmSync(file, { force: true });
  const lines = [...secrets].map(([name, value]) => `${name}='${value}'\n`);
  writeFileSync(file, lines.join(''), { mode: 0o600 });
  return file;
}

const firstStart = `
The first start compiles the database: about three minutes with two cores. Later starts take seconds.
`;

function greeting(url, secret, flight) {
  const curl = `curl -H "Authorization: Token $TIDEMARK_TOKEN" '${url}`;
  return `
Tidemark is running at ${url}
Token: ${secret}${flight ? `\nFor gRPC, run the native program: tidemark flight --listen 127.0.0.1:${flight} --to ${url}` : ''}

Open the console. This link sets the token:

${url}/#token=${encodeURIComponent(secret)}

Or use curl to create a database, write a point and read it:

export TIDEMARK_TOKEN='${secret}'
${curl}/query' --data-urlencode 'q=CREATE DATABASE demo'
${curl}/write?db=demo' --data-binary 'weather,city=Oslo temperature=12.5'
${curl}/query?db=demo' --data-urlencode 'q=SELECT * FROM weather'

Press Ctrl-C to stop.
`;
}

/** Adds the documentation site to the console. Without it, the server and the console work too. */
async function addSite() {
  try {
    await documentationSite();
    servedPage();
  } catch (error) {
    console.error(error.message);
  }
}

/** The process that compiles SQL, while it runs. */
let compiling;

/** Compiles with the lowest priority. Resolves to true on success. */
async function compileSql() {
  compiling = startGroup(process.execPath, [at('scripts', 'sql.mjs')], { stdio: ['ignore', 'inherit', 'inherit'] });
  setPriority(compiling.pid, constants.priority.PRIORITY_LOW);
  const { code } = await compiling.ended;
  compiling = undefined;
  if (code !== 0) console.error('SQL was not compiled. `npm run sql` tries again.');
  return code === 0;
}

endAllOnSignals();
await finishWith(async () => {
  const number = portOf('PORT', process.env.PORT || '8787');
  const flight = process.env.FLIGHT_PORT && portOf('FLIGHT_PORT', process.env.FLIGHT_PORT);
  await mustBeFree(number);
  const secrets = givenSecrets();
  const secret = secrets.find(([name]) => name === 'ADMIN_TOKEN')?.[1] ?? keptToken(at('.dev.vars'));
  if (!existsSync(at('build', 'index_bg.wasm'))) console.log(firstStart);
  const node = await prepareAll('quick');
  const vars = Object.fromEntries(
    settings.filter((name) => process.env[name]).map((name) => [name, process.env[name]]),
  );
  servedPage();
  const usesSql = process.env.SQL !== 'off' && (hasSql() || (await hasCargo()));
  const compilesSql = usesSql && !hasSql();
  let sqlEnded = (_isBuilt) => {};
  const sqlBuilt = compilesSql ? new Promise((done) => (sqlEnded = done)) : undefined;
  console.log('- wrangler dev …');
  const stateDir = resolve(root, process.env.STATE_DIR || '.wrangler/state');
  const server = await startServer({
    node,
    port: number,
    stateDir,
    vars,
    envFile: secrets.length > 0 ? secretsFile(new Map(secrets).set('ADMIN_TOKEN', secret), stateDir) : undefined,
    observability: process.env.OBSERVABILITY === '1',
    sqlProcess: usesSql ? { folder: sqlFolder, built: sqlBuilt } : undefined,
    assets: servedFolder,
  });
  console.log(greeting(server.url, secret, flight));
  if ((await hasCargo()) && isSqlOld()) console.log('The SQL Worker is older than its sources: run `npm run sql` to rebuild it.\n');
  if (compilesSql) console.log('SQL is being compiled in the background, which takes about ten minutes. To run without SQL, set SQL=off.\n');
  const completed = addSite();
  if (compilesSql) completed.then(compileSql).then(sqlEnded);
  const { code } = await server.child.ended;
  if (compiling) await endGroup(compiling);
  return code ?? 1;
});
