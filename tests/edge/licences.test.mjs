// Tests that violations of the rules in deny.toml are detected and described.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { parse as toml } from 'smol-toml';
import parse from 'spdx-expression-parse';

import { faultsOf } from '../../scripts/licences.mjs';
import { at } from '../../scripts/project.mjs';

const rules = {
  licenses: { allow: ['MIT', 'Unicode-3.0', 'Apache-2.0 WITH LLVM-exception'] },
  bans: { skip: [{ crate: 'old@1.0.0', reason: 'another crate needs it' }] },
};
const source = 'registry+https://github.com/rust-lang/crates.io-index';
const crate = (name, more) => ({ name, version: '1.0.0', license: 'MIT', source, dependencies: [], ...more });

test('the rules for licences, sources and versions of crates are enforced', () => {
  const good = [
    crate('old'),
    crate('old', { version: '2.0.0' }),
    crate('ours', { source: null }),
    crate('choice', { license: 'GPL-3.0-only OR MIT' }),
    crate('former', { license: 'Unlicense/MIT' }),
    crate('both', { license: '(MIT OR Apache-2.0) AND Unicode-3.0' }),
    crate('exception', { license: 'Apache-2.0 WITH LLVM-exception' }),
  ];
  assert.deepEqual(faultsOf(good, rules, parse), []);
  const named = [
    [crate('copyleft', { license: 'MIT AND GPL-3.0-only' }), /^copyleft 1\.0\.0 has the licence MIT AND GPL/],
    [crate('apache', { license: 'Apache-2.0' }), /^apache 1\.0\.0 has the licence Apache-2\.0/],
    [crate('none', { license: null }), /^none 1\.0\.0 does not declare a licence/],
    [crate('git', { source: 'git+https://example.org/git' }), /^git 1\.0\.0 comes from git\+https/],
    [crate('any', { dependencies: [{ name: 'other', req: '*' }] }), /allows any version of other/],
    [crate('old', { version: '3.0.0' }), /^old occurs in several versions: 2\.0\.0, 3\.0\.0/],
  ];
  for (const [one, fault] of named) {
    const found = faultsOf([...good, one], rules, parse);
    assert.equal(found.length, 1, one.name);
    assert.match(found[0], fault);
  }
  assert.match(faultsOf(good.slice(2), rules, parse)[0], /skips old@1\.0\.0, which no crate uses/);
});

test('deny.toml gives a reason for every exception', () => {
  const { bans } = toml(readFileSync(at('deny.toml'), 'utf8'));
  for (const { crate: name, reason } of bans.skip) assert.ok(reason?.length > 10, name);
});
