// The write view: line protocol typed, checked and sent; files dropped and sent in batches.

import { forgetSchema } from '../api/schema.js';
import { answerText, precisions, write } from '../api/write.js';
import { button, el, icon } from '../dom.js';
import { change, current, onChange } from '../state.js';
import { check, checkedLettersMax } from './check.js';
import { upload } from './upload.js';

/** How long nothing is typed before the lines are checked. */
const pause_ms = 150;

/** Bad lines that are listed. */
const problemsMax = 100;

/** The view. `changed()` is called after writes. */
export function writePanel({ changed }) {
  const area = el('textarea', {
    'aria-label': 'Line protocol',
    spellcheck: false,
    rows: 10,
    placeholder: 'room,floor=1 temperature=21.5,open=false',
  });
  const place = el('div', { class: 'editor lines' }, area);
  const verdict = el('p', { class: 'verdict', 'aria-live': 'polite' });
  const problems = el('ul', { class: 'problems' });
  const answer = el('pre', { class: 'answer', 'aria-live': 'polite', hidden: true });
  const database = el('input', {
    required: true,
    value: current().db,
    autocomplete: 'off',
    placeholder: 'database or db/policy',
    on: { input: ready },
  });
  const precision = el(
    'select',
    { on: { change: () => later() } },
    precisions.map(([value, label]) => el('option', { value }, label)),
  );
  const send = button('Write', submit, { class: 'primary', icon: 'upload' });
  const uploads = el('div', { class: 'uploads' });
  let editor = plain(area);
  let timer = null;

  const target = () => ({ db: database.value.trim(), precision: precision.value });
  function ready() {
    send.disabled = database.value.trim() === '' || editor.text().trim() === '';
  }

  function later() {
    ready();
    clearTimeout(timer);
    timer = setTimeout(validate, pause_ms);
  }

  async function validate() {
    const text = editor.text();
    if (text.length > checkedLettersMax)
      return show(
        { good: null, errors: [] },
        'Too long to be checked while typing: the server will.',
      );
    try {
      const found = await check(text, precision.value);
      if (text === editor.text()) show(found);
    } catch (error) {
      show({ good: null, errors: [] }, `Not checked while typing: ${error.message}`);
    }
  }

  function show({ good, errors }, words) {
    const bad = errors.length;
    verdict.className = words ? 'verdict unknown' : bad ? 'verdict bad' : 'verdict';
    verdict.textContent =
      words ?? `${good} good line${good === 1 ? '' : 's'}${bad ? `, ${bad} bad` : ''}`;
    problems.replaceChildren(
      ...errors.slice(0, problemsMax).map(({ line, column, reason }) =>
        el(
          'li',
          {},
          el(
            'button',
            {
              type: 'button',
              class: 'link',
              on: { click: () => editor.goTo(editor.offset(line, column)) },
            },
            `Line ${line}, column ${column}`,
          ),
          ` ${reason}`,
        ),
      ),
    );
    editor.mark(
      errors.map(({ line, column, reason }) => {
        const from = editor.offset(line, column);
        return { from, to: editor.offset(line, 1e9), message: reason };
      }),
    );
  }

  async function submit() {
    send.disabled = true;
    const reply = await write(editor.text(), target());
    answer.hidden = false;
    answer.className = reply.status === 204 ? 'answer good' : 'answer bad';
    answer.textContent = answerText(reply);
    wrote();
    ready();
  }

  function wrote() {
    forgetSchema();
    if (!current().db && database.value) change({ db: database.value.split('/')[0] });
    changed();
  }

  const take = (files) =>
    [...files].forEach((file) => uploads.prepend(upload(file, target(), wrote)));
  const file = el('input', {
    type: 'file',
    multiple: true,
    class: 'unseen',
    id: 'file',
    on: { change: () => (take(file.files), (file.value = '')) },
  });
  const drop = el(
    'label',
    { class: 'drop', for: 'file' },
    icon('upload'),
    el(
      'span',
      {},
      el('strong', {}, 'Drop a file here'),
      ' or choose one: line protocol, plain or gzip',
    ),
  );
  drop.addEventListener(
    'dragover',
    (event) => (event.preventDefault(), drop.classList.add('over')),
  );
  drop.addEventListener('dragleave', () => drop.classList.remove('over'));
  drop.addEventListener('drop', (event) => {
    event.preventDefault();
    drop.classList.remove('over');
    take(event.dataTransfer.files);
  });

  onChange((now, before) => {
    if (now.db !== before.db && database.value === before.db) database.value = now.db;
    ready();
    if (now.view === 'write' && before.view !== 'write') open();
  });

  let isOpen = false;
  async function open() {
    if (isOpen) return;
    isOpen = true;
    const { makeLineEditor } = await import('../editor/lines.js');
    const host = el('div', { class: 'editor-host' });
    editor = makeLineEditor({ host, text: area.value, changed: later });
    area.replaceWith(host);
    validate();
  }
  area.addEventListener('input', later);
  if (current().view === 'write') open();
  ready();

  return el(
    'section',
    { class: 'view write', 'aria-label': 'Write' },
    el(
      'section',
      { class: 'panel wide', 'aria-label': 'Lines' },
      el('h2', {}, 'Write points'),
      el(
        'div',
        { class: 'bar' },
        el('label', {}, 'Database', database),
        el('label', {}, 'Precision', precision),
        el('span', { class: 'gap' }),
        send,
      ),
      place,
      verdict,
      problems,
      answer,
    ),
    el(
      'section',
      { class: 'panel', 'aria-label': 'Files' },
      el('h2', {}, 'Upload a file'),
      file,
      drop,
      uploads,
    ),
  );
}

/** What a text area can do of an editor. */
const plain = (area) => ({
  text: () => area.value,
  mark: () => {},
  offset: () => 0,
  goTo: () => area.focus(),
});
