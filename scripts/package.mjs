// npm run package: builds the npm package `tidemark`, for users who have only Node. The package
// contains packages/tidemark, the built modules and the console. It also contains the parts of
// wrangler.toml and of the Worker's settings that `tidemark deploy` needs.

import { copyFileSync, cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { settings } from './dev-server.mjs';
import { hasSql, sqlFolder } from './modules.mjs';
import { endAllOnSignals, must } from './processes.mjs';
import { at, finishWith, newNode, npm } from './project.mjs';
import { prepareAll, prepareSql } from './setup.mjs';

const staging = at('.cache', 'package');

/** The files of the SQL Worker. Its folder also contains a file that only `npm start` uses. */
export const sqlFiles = ['index.js', 'index_bg.wasm'];

/** Returns the contents of about.json, which `tidemark deploy` and `tidemark probe` read. */
async function about() {
  const { parse } = await import('smol-toml');
  const whole = /** @type {any} */ (parse(readFileSync(at('wrangler.toml'), 'utf8')));
  const { compatibility_date: day, assets } = whole;
  const deployment = { ...whole, main: 'index.js', assets: { ...assets, directory: 'site' } };
  const { devDependencies } = JSON.parse(readFileSync(at('package.json'), 'utf8'));
  return { day, settings, wrangler: devDependencies.wrangler, deployment };
}

async function clientTypes(folder) {
  const program = at('node_modules', 'typescript', 'bin', 'tsc');
  const flags = ['--ignoreConfig', '--allowJs', '--declaration', '--emitDeclarationOnly', '--target', 'es2024'];
  await must('Writing the types', newNode(), [program, ...flags, '--outDir', folder, join(folder, 'client.js')]);
}

export async function stagedPackage() {
  rmSync(staging, { recursive: true, force: true });
  cpSync(at('packages', 'tidemark'), staging, { recursive: true });
  const built = join(staging, 'built');
  mkdirSync(built);
  for (const name of ['index.js', 'index_bg.wasm']) copyFileSync(at('build', name), join(built, name));
  cpSync(at('dist'), join(built, 'site'), { recursive: true });
  if (hasSql()) {
    mkdirSync(join(built, 'sql'));
    for (const name of sqlFiles) copyFileSync(join(sqlFolder, name), join(built, 'sql', name));
  }
  writeFileSync(join(built, 'about.json'), `${JSON.stringify(await about(), null, 1)}\n`);
  copyFileSync(at('docs', 'costs.json'), join(built, 'costs.json'));
  for (const name of ['LICENSE-MIT', 'LICENSE-APACHE']) copyFileSync(at(name), join(staging, name));
  await clientTypes(join(staging, 'client'));
  return staging;
}

/** Resolves to the tarball's path. */
export async function packPackage(folder) {
  await stagedPackage();
  const [command, first] = npm();
  const asked = [...first, 'pack', staging, '--pack-destination', folder, '--json', '--loglevel=error'];
  const [{ filename }] = JSON.parse(await must('Packing', command, asked, { quiet: true }));
  return join(folder, filename);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  endAllOnSignals();
  await finishWith(async () => {
    await prepareAll();
    if (hasSql()) await prepareSql();
    else console.log('- The package does not contain SQL: run `npm run sql` first to include SQL');
    console.log(`- ${await packPackage(at('.cache'))}`);
  });
}
