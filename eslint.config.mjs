// What JavaScript of this repository must not do. Few rules: each stands for a fault, none for taste.

import js from '@eslint/js';
import globals from 'globals';

/** Whatever comes from a server becomes text, never markup (`www/dom.js`). */
const markup = ['innerHTML', 'outerHTML', 'insertAdjacentHTML', 'setHTMLUnsafe'].map((property) => ({
  property,
  message: 'Make elements with el() of www/dom.js: text of a server must never become markup.',
}));

/** A program that runs on a fresh clone has no packages yet. */
const packages = {
  regex: '^(?!node:|\\.)',
  message: 'On a fresh clone there are no packages: import() it where it is used.',
};

/** Lines of a function of the console; a panel is one function with its parts inside. */
const panelLinesMax = 160;
/** Panels that are longer: they are to become shorter, and may not grow. */
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
      // null alone may be compared with both of its kinds.
      eqeqeq: ['error', 'always', { null: 'ignore' }],
      'no-unused-vars': ['error', { varsIgnorePattern: '^_$', argsIgnorePattern: '^_', ignoreRestSiblings: true }],
      'prefer-const': ['error', { destructuring: 'all' }],
      'no-var': 'error',
      // An error that is none, a callback without an answer, a comparison or a loop that is always the same.
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
  // What these hand to the browser runs in its page.
  { files: ['tests/edge/console*.mjs'], languageOptions: { globals: globals.browser } },
  // Workers of the platform.
  {
    files: ['src/**/*.js', 'sql/*.js', 'packages/**/*.js', 'benches/**/*.js', 'examples/**/*.js', 'tests/edge/*.js'],
    languageOptions: { globals: globals.serviceworker },
  },
  { files: ['scripts/**/*.mjs'], rules: { 'no-restricted-imports': ['error', { patterns: [packages] }] } },
];
