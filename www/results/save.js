// A file for the visitor to keep.

import { el } from '../dom.js';

/** Offers `blob` for download under `name`. */
export function saveAs(blob, name) {
  const address = URL.createObjectURL(blob);
  el('a', { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
