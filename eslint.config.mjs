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

/**
 * The maximum number of lines in a function of the console. A panel is one function that contains
 * the functions of its parts.
 */
const panelLinesMax = 160;
/** The panels with more lines, each with its own maximum. Do not raise these values. */
const longPanels = [
  ['www/results/panel.js', 188],
  ['www/write/panel.js', 221],
];
const longest = (max) => ({ 'max-lines-per-function': ['error', { max, skipComments: true }] });

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
      'max-lines': ['error', { max: 500, skipComments: true }],
    },
  },
  {
    files: ['www/**/*.js', 'scripts/**/*.mjs'],
    rules: { 'no-shadow': ['error', { builtinGlobals: false, hoist: 'functions' }] },
  },
  {
    files: ['www/**/*.js'],
    languageOptions: { globals: { ...globals.browser, ...globals.worker } },
    rules: {
      'no-console': 'error',
      'no-restricted-properties': ['error', ...markup],
      ...longest(panelLinesMax),
    },
  },
  ...longPanels.map(([file, max]) => ({ files: [file], rules: longest(max) })),
  { files: ['**/*.mjs'], languageOptions: { globals: globals.nodeBuiltin } },
  // These tests contain functions that run in a page of the browser.
  { files: ['tests/edge/console*.mjs'], languageOptions: { globals: globals.browser } },
  // These files run in Workers.
  {
    files: ['src/**/*.js', 'sql/*.js', 'scripts/sql_process/*.js', 'packages/**/*.js', 'benches/**/*.js', 'examples/**/*.js', 'tests/edge/*.js'],
    languageOptions: { globals: globals.serviceworker },
  },
  { files: ['scripts/**/*.mjs'], rules: { 'no-restricted-imports': ['error', { patterns: [packages] }] } },
];
