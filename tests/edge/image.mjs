// Interprets the image's Dockerfile in folders. Without Docker, this checks that its files exist,
// that its commands run, and its start command.

import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

/** The maximum time of one Dockerfile command. */
const runMs = 60_000;

/**
 * Returns the instructions of a Dockerfile as `[word, the rest]`, with continuation lines joined.
 */
export function instructions(text) {
  const lines = text.replace(/^\s*#.*\n/gm, '').replace(/\\\n\s*/g, ' ').split('\n').filter((line) => line.trim());
  return lines.map((line) => {
    const [, word, rest] = /^([A-Z]+)\s+(.+)$/.exec(line) ?? assert.fail(`no instruction: ${line}`);
    return [word, rest.trim()];
  });
}

/**
 * Returns `{ images, steps, env, user, entrypoint, cmd, health, volumes, ports }` of the last
 * stage.
 */
export function imageOf(text) {
  const image = { images: [], stages: [] };
  let stage;
  for (const [word, rest] of instructions(text)) {
    if (word === 'FROM') {
      const [from, , name] = rest.split(/\s+/);
      image.images.push(from);
      stage = { name, steps: [], env: {}, user: 'root', volumes: [], ports: [] };
      image.stages.push(stage);
    } else if (word === 'ENV') {
      for (const [, name, value] of rest.matchAll(/(\w+)=(\S+)/g)) stage.env[name] = value;
    } else if (word === 'USER') stage.user = rest;
    else if (word === 'VOLUME') stage.volumes.push(rest);
    else if (word === 'EXPOSE') stage.ports.push(rest);
    else if (word === 'ENTRYPOINT') stage.entrypoint = JSON.parse(rest);
    else if (word === 'CMD') stage.cmd = JSON.parse(rest);
    else if (word === 'HEALTHCHECK') stage.health = JSON.parse(/CMD (\[.*\])$/.exec(rest)[1]);
    else if (['WORKDIR', 'COPY', 'RUN'].includes(word)) stage.steps.push([word, rest, stage.user]);
    else assert.fail(`an instruction that is not known here: ${word}`);
  }
  const { stages } = image;
  return { ...image, ...stages.at(-1) };
}

/**
 * Removes checksums: the lock file has those of npm's tarballs, but the stand-in registry packs the
 * installed files.
 */
function withoutChecksums(context) {
  const file = join(context, 'package-lock.json');
  const lock = JSON.parse(readFileSync(file, 'utf8'));
  for (const entry of Object.values(lock.packages)) if (!entry.resolved) delete entry.integrity;
  writeFileSync(file, JSON.stringify(lock));
}

/**
 * Runs the stages in folders of `root`. Returns lines to start: `{ command, health, env }`. The
 * image's `/app` and `/data` are folders there, and its user is the user of the test.
 */
export async function built(context, root, { registry }) {
  withoutChecksums(context);
  const image = imageOf(readFileSync(join(context, 'Dockerfile'), 'utf8'));
  const folderOf = (stage) => join(root, stage.name ?? 'image');
  const me = [process.getuid(), process.getgid()];
  for (const stage of image.stages) {
    const inside = (path) => (path.startsWith('/') ? join(folderOf(stage), path) : path);
    const env = { ...process.env, npm_config_registry: registry, npm_config_cache: join(root, 'cache'), npm_config_fetch_retries: '0', ...stage.env };
    let at = folderOf(stage);
    for (const [word, rest] of stage.steps) {
      const here = (path) => (path.startsWith('/') ? inside(path) : join(at, path));
      if (word === 'WORKDIR') mkdirSync((at = inside(rest)), { recursive: true });
      else if (word === 'RUN') {
        mkdirSync(join(folderOf(stage)), { recursive: true });
        const line = rest.replaceAll(' /data', ` ${inside('/data')}`).replace('-o node -g node', `-o ${me[0]} -g ${me[1]}`);
        // The command runs asynchronously, because the registry may be in this process.
        await promisify(execFile)('sh', ['-ec', line], { cwd: at, env, timeout: runMs });
      } else {
        const [, from] = /^--from=(\w+) /.exec(rest) ?? [];
        const words = rest.replace(/^--from=\w+ /, '').split(/\s+/);
        const target = words.pop();
        const source = from ? image.stages.find(({ name }) => name === from) : null;
        for (const name of words) {
          const path = source ? join(folderOf(source), name) : join(context, name);
          assert.ok(existsSync(path), `COPY ${name}: it is not there`);
          const isFolder = source && name.startsWith('/');
          cpSync(path, isFolder ? here(target) : join(here(target), name), { recursive: true, verbatimSymlinks: true });
        }
      }
    }
  }
  const inside = (text) => text.replace(/^\/(app|data)/, join(folderOf(image.stages.at(-1)), '/$1'));
  const command = [...image.entrypoint, ...image.cmd].map(inside);
  const env = Object.fromEntries(Object.entries(image.env).map(([name, value]) => [name, inside(value)]));
  return { command, health: image.health.map(inside), env };
}

/** Returns the exit code of a health check. */
export const health = ({ health: line, env }, more) =>
  spawnSync(line[0], line.slice(1), { env: { PATH: `${dirname(process.execPath)}:${process.env.PATH}`, ...env, ...more } }).status;
