// What stands on the page while the database in the browser does not start.

import { forget, goAside } from '../api/transport.js';
import { button, el } from '../dom.js';

/** Fills `host` by what is wrong, and by what can be done about it. */
export function troubled(host, { code, message }, reload) {
  const wrong = el('p', { class: 'wrong', role: 'alert' });
  const attempt = (work) => async () => {
    wrong.textContent = '';
    try {
      await work();
      reload();
    } catch (error) {
      wrong.textContent = error.message;
    }
  };
  const again = button('Try again', () => location.reload(), { class: 'primary' });
  const aside = button('Go on with an empty one, not kept', attempt(goAside));
  const anew = button('Forget it and begin anew', attempt(forget));
  const ways = { unreadable: [aside, anew], 'in-use': [again, aside], storage: [again, aside] };
  host.replaceChildren(
    el(
      'div',
      { class: 'welcome' },
      el('h2', {}, 'The database in this browser did not start'),
      el('p', {}, message),
      el('div', { class: 'row' }, ways[code] ?? [again]),
      wrong,
    ),
  );
}
