// Creates elements from plain data. Text from a server is never parsed as markup.

/**
 * Creates an element. In `properties`, `on` contains listeners, and `class` contains the classes.
 * `role`, `for`, and properties with a hyphen become attributes. Null and false are omitted.
 */
export function el(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (key === 'on') Object.entries(value).forEach((pair) => made.addEventListener(...pair));
    else if (key === 'class') made.className = value;
    else if (key.includes('-') || key === 'role' || key === 'for') made.setAttribute(key, value);
    else made[key] = value;
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

/** Creates an entry of a description list. */
export const entry = (term, value, properties = {}) =>
  el('div', properties, el('dt', {}, term), el('dd', {}, value));

/** The outlines are on a grid of 16 by 16. */
const outlines = {
  key: 'M10 2a4 4 0 1 1-3.5 5.9L2 12.5V14h2v-1.5h1.5V11H7l1-1.2M11 5.5h.01',
  play: 'M5 3l8 5-8 5z',
  stop: 'M4 4h8v8H4z',
  chevron: 'M6 4l4 4-4 4',
  database:
    'M3 4c0-1.1 2.2-2 5-2s5 .9 5 2-2.2 2-5 2-5-.9-5-2zM3 4v8c0 1.1 2.2 2 5 2s5-.9 5-2V4M3 8c0 1.1 2.2 2 5 2s5-.9 5-2',
  clock: 'M8 2a6 6 0 1 1 0 12A6 6 0 0 1 8 2zM8 5v3l2 2',
  refresh: 'M13 8a5 5 0 1 1-1.5-3.5L13 6M13 2.5V6H9.5',
  download: 'M8 2v8M5 7l3 3 3-3M3 13h10',
  copy: 'M6 6h7v8H6zM10 6V3H3v8h3',
  link: 'M7 9a3 3 0 0 0 4.2 0l2-2A3 3 0 0 0 9 2.8l-.8.8M9 7a3 3 0 0 0-4.2 0l-2 2A3 3 0 0 0 7 13.2l.8-.8',
  history: 'M3 8a5 5 0 1 0 1.5-3.5L3 6M3 2.5V6h3.5M8 5.5V8l2 1.5',
  menu: 'M2 4h12M2 8h12M2 12h12',
  zoomOut: 'M7 2.5a4.5 4.5 0 1 1 0 9 4.5 4.5 0 0 1 0-9zM10.3 10.3 14 14M5 7h4',
  upload: 'M8 11V3M5 6l3-3 3 3M3 13h10',
};

/** Returns an icon, which screen readers ignore. */
export function icon(name) {
  const space = 'http://www.w3.org/2000/svg';
  const picture = document.createElementNS(space, 'svg');
  const path = document.createElementNS(space, 'path');
  picture.setAttribute('viewBox', '0 0 16 16');
  picture.setAttribute('class', 'icon');
  picture.setAttribute('aria-hidden', 'true');
  path.setAttribute('d', outlines[name]);
  picture.append(path);
  return picture;
}

/**
 * Creates a button. `label` is a text or a list of nodes. If the icon is `alone`, `label` is only
 * the button's name for screen readers.
 * @param {string | (string | Node)[]} label
 * @param {(event: MouseEvent) => void} click
 * @param {{ icon?: string, alone?: boolean, [property: string]: any }} [options] also properties of
 *   [el]
 */
export function button(label, click, { icon: iconName, alone = false, ...properties } = {}) {
  const named = alone ? { 'aria-label': label, title: label } : {};
  return el(
    'button',
    { type: 'button', on: { click }, ...named, ...properties },
    iconName ? icon(iconName) : null,
    alone ? null : label,
  );
}

/** Returns an alert, and `attempt(work)`, which displays the error in the alert if `work()` fails. */
export function errorAlert() {
  const element = el('p', { class: 'wrong', role: 'alert' });
  const attempt = async (work) => {
    element.textContent = '';
    try {
      await work();
    } catch (error) {
      element.textContent = error.message;
    }
  };
  return { element, attempt };
}

export function say(text) {
  document.getElementById('said').textContent = text;
}

/** Downloads a file. */
export function saveAs(blob, name) {
  const address = URL.createObjectURL(blob);
  el('a', { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

/** Copies text to the clipboard. The button displays a confirmation for a moment. */
export async function copyFrom(source, text) {
  const before = source.lastChild.textContent;
  try {
    await navigator.clipboard.writeText(text);
    source.lastChild.textContent = 'Copied';
  } catch {
    source.lastChild.textContent = 'Not allowed';
  }
  say(source.lastChild.textContent);
  setTimeout(() => (source.lastChild.textContent = before), 1500);
}
