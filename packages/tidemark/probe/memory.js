// Allocates memory in a Worker of `tidemark probe`.

/** Writes to each page, so that the platform counts the pages. */
export function held(megabytes) {
  const pieces = Array.from({ length: megabytes }, () => new Uint8Array(2 ** 20).fill(1));
  return pieces.reduce((sum, piece) => sum + piece.at(-1), 0);
}
