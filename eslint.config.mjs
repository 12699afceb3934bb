// The lint rules for JavaScript. Each rule prevents a mistake; none is about style.

import js from '@eslint/js';
import globals from 'globals';

/**
 * The properties that parse markup. The console displays data from a server only as text
 * (`www/dom.js`).
 */
const markup = ['innerHTML', 'outerHTML', 'insertAdjacentHTML', 'setHTMLUnsafe'].map((property) => ({
  property,
  message: 'Create elements with el() of www/dom.js, because text from a server must never become markup.',
}));

/** Imports of npm packages. In a fresh clone, the packages are not installed yet. */
const packages = {
  regex: '^(?!node:|\\.)',
  message: 'A fresh clone has no packages yet: load this package with import() where it is used.',
};

export default [
  { ignores: ['.cache/', '**/.wrangler/', 'build/', 'sql/build/', 'dist/', 'dist-static/', 'target*/', '**/target/'] },
  js.configs.recommended,
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  {
    rules: {
      // `== null` is permitted, because it also matches undefined.
      eqeqeq: ['error', 'always', { null: 'ignore' }],
      'no-unused-vars': ['error', { varsIgnorePattern: '^_$', argsIgnorePattern: '^_', ignoreRestSiblings: true }],
      'prefer-const': ['error', { destructuring: 'all' }],
      'no-var': 'error',
      // Rules against thrown values that are not errors, callbacks without a result, and
      // comparisons and loops without an effect.
      'no-throw-literal': 'error',
      'prefer-promise-reject-errors': 'error',
      'array-callback-return': 'error',
      'no-self-compare': 'error',
      'no-template-curly-in-string': 'error',
      'no-unreachable-loop': 'error',
      'no-eval': 'error',
      'no-implied-eval': 'error',
      'no-new-func': 'error',
    },
  },
  {
    files: ['www/**/*.js', 'scripts/**/*.mjs', 'sql/process/*.mjs', 'docs/site/*.mjs'],
    rules: { 'no-shadow': ['error', { builtinGlobals: false, hoist: 'functions' }] },
  },
  {
    files: ['www/**/*.js'],
    languageOptions: { globals: { ...globals.browser, ...globals.worker } },
    rules: {
      'no-console': 'error',
      'no-restricted-properties': ['error', ...markup],
    },
  },
  { files: ['**/*.mjs'], languageOptions: { globals: globals.nodeBuiltin } },
  // These tests contain functions that run in a page of the browser.
  { files: ['tests/edge/console*.mjs'], languageOptions: { globals: globals.browser } },
  // These files run in Workers.
  {
    files: ['src/**/*.js', 'sql/*.js', 'sql/process/*.js', 'packages/**/*.js', 'benches/**/*.js', 'examples/**/*.js', 'tests/edge/*.js'],
    languageOptions: { globals: globals.serviceworker },
  },
  { files: ['scripts/**/*.mjs', 'sql/process/*.mjs', 'docs/site/*.mjs'], rules: { 'no-restricted-imports': ['error', { patterns: [packages] }] } },
];
