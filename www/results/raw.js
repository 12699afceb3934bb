// The raw response.

import { button, el, saveAs } from '../dom.js';
import { work } from './client.js';

/** Shows the raw response. Shows only the start of a long response. */
export async function showRaw(host) {
  const { text, letters, isWhole } = await work('raw');
  const notice = isWhole
    ? null
    : el(
        'p',
        { class: 'notice' },
        `The first ${text.length.toLocaleString('en')} of ${letters.toLocaleString('en')} characters. `,
        button('Save the whole text', async () => saveAs(await work('rawFile'), 'result.json'), {
          class: 'link',
        }),
      );
  host.replaceChildren(
    ...[notice, el('pre', { tabIndex: 0, 'aria-label': 'Reply' }, text)].filter(Boolean),
  );
}
