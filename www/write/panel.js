// The write view. The user can type, check and send lines, and upload files in batches.

import { forgetSchema } from '../api/schema.js';
import { resultText, ensureDatabase, isAbsent, precisions, unitName, write } from '../api/write.js';
import { button, el, icon } from '../dom.js';
import { change, current, onChange } from '../state.js';
import { check, checkedLettersMax, mistakeText } from './check.js';
import { upload } from './upload.js';

/** The time between the last key press and the check of the lines. */
const pause_ms = 150;

/** `changed()` is called after writes. */
export function writePanel({ changed }) {
  const area = el('textarea', {
    'aria-label': 'Line protocol',
    spellcheck: false,
    rows: 10,
    placeholder: 'room,floor=1 temperature=21.5,open=false',
  });
  const place = el('div', { class: 'editor lines' }, area);
  const verdict = el('p', { class: 'verdict', 'aria-live': 'polite' });
  const mistake = el('div', { class: 'notice row', role: 'status', hidden: true });
  const problems = el('ul', { class: 'problems' });
  const absent = el('p', { class: 'faint', 'aria-live': 'polite', hidden: true });
  const answer = el('pre', { class: 'answer', 'aria-live': 'polite', hidden: true });
  const database = el('input', {
    required: true,
    value: current().db,
    autocomplete: 'off',
    placeholder: 'database or db/policy',
    on: { input: () => (ready(), scheduleAbsentCheck()) },
  });
  const precision = el(
    'select',
    { on: { change: () => scheduleValidation() } },
    precisions.map(([value, label]) => el('option', { value }, label)),
  );
  const send = button('Write', submit, { class: 'primary', icon: 'upload' });
  const uploads = el('div', { class: 'uploads' });
  let editor = plain(area);
  let timer = null;
  let absentTimer = null;
  /** The number of valid lines, or null if it is unknown. */
  let goodLines = null;

  const target = () => ({ db: database.value.trim(), precision: precision.value });
  function ready() {
    send.disabled = database.value.trim() === '' || editor.text().trim() === '';
  }

  function scheduleValidation() {
    ready();
    clearTimeout(timer);
    timer = setTimeout(validate, pause_ms);
  }

  function scheduleAbsentCheck() {
    clearTimeout(absentTimer);
    absentTimer = setTimeout(showAbsent, pause_ms);
  }

  /** Shows or hides the text that a write will create the database. */
  async function showAbsent() {
    const { db } = target();
    const isNew = db !== '' && (await isAbsent(db).catch(() => false));
    if (db !== target().db) return;
    absent.hidden = !isNew;
    absent.textContent = isNew
      ? `The database ${db.split('/')[0]} does not exist yet: a write creates it. The new database keeps its points permanently.`
      : '';
  }

  async function validate() {
    const text = editor.text();
    if (text.length > checkedLettersMax)
      return show(
        { good: null, bad: 0, errors: [] },
        'The text is too long to check while you type. The server checks the lines.',
      );
    try {
      const found = await check(text, precision.value);
      if (text === editor.text()) show(found);
    } catch (error) {
      show({ good: null, bad: 0, errors: [] }, `The text cannot be checked while you type: ${error.message}`);
    }
  }

  function show({ good, bad, errors, mistaken = null }, words = undefined) {
    goodLines = good;
    showMistake(mistaken);
    verdict.className = words ? 'verdict unknown' : bad ? 'verdict bad' : 'verdict';
    verdict.textContent =
      words ?? `${good} valid line${good === 1 ? '' : 's'}${bad ? `, ${bad} invalid` : ''}`;
    problems.replaceChildren(
      ...errors.map(({ line, column, reason }) => {
        const goTo = () => editor.goTo(editor.offset(line, column));
        const link = button(`Line ${line}, column ${column}`, goTo, { class: 'link' });
        return el('li', {}, link, ` ${reason}`);
      }),
    );
    editor.mark(
      errors.map(({ line, column, reason }) => {
        const from = editor.offset(line, column);
        return { from, to: editor.offset(line, 1e9), message: reason };
      }),
    );
  }

  /** Adds a button that selects the probable unit. */
  function showMistake(mistaken) {
    mistake.hidden = mistaken === null;
    if (mistaken === null) return;
    const take = () => ((precision.value = mistaken.unit), scheduleValidation());
    mistake.replaceChildren(
      el('span', {}, mistakeText(mistaken, precision.value)),
      button(`Read the times as ${unitName(mistaken.unit)}`, take),
    );
  }

  async function submit() {
    send.disabled = true;
    answer.hidden = true;
    const { made, reply } = await sent(editor.text(), target(), goodLines !== 0);
    answer.hidden = false;
    answer.className = reply.status === 204 ? 'answer good' : 'answer bad';
    answer.textContent = [made, resultText(reply)].filter((words) => words).join('\n');
    wrote();
    ready();
  }

  function wrote() {
    forgetSchema();
    showAbsent();
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
      ' or choose a file. It must contain line protocol, either plain or compressed with gzip.',
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
    if (now.view === 'write') scheduleAbsentCheck();
  });

  let isOpen = false;
  async function open() {
    if (isOpen) return;
    isOpen = true;
    const { makeLineEditor } = await import('../editor/lines.js');
    const host = el('div', { class: 'editor-host' });
    editor = makeLineEditor({ host, text: area.value, changed: scheduleValidation });
    area.replaceWith(host);
    validate();
  }
  area.addEventListener('input', scheduleValidation);
  if (current().view === 'write') {
    open();
    scheduleAbsentCheck();
  }
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
      absent,
      place,
      verdict,
      mistake,
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

/**
 * Sends lines. With `mayMake`, first creates the database if it is absent. In the result, `made` is
 * a text about the creation.
 */
async function sent(lines, target, mayMake) {
  try {
    const made = mayMake ? await ensureDatabase(target.db) : '';
    return { made, reply: await write(lines, target) };
  } catch ({ status, message }) {
    return { made: '', reply: { status, text: message } };
  }
}

const plain = (area) => ({
  text: () => area.value,
  mark: (_) => {},
  offset: (_line, _column) => 0,
  goTo: (_) => area.focus(),
});
