// Allocates the memory that a Worker of `tidemark probe` holds.

/** Allocates `megabytes` MiB and writes to each page, so that the platform counts them. */
export function held(megabytes) {
  const pieces = Array.from({ length: megabytes }, () => new Uint8Array(2 ** 20).fill(1));
  return pieces.reduce((sum, piece) => sum + piece.at(-1), 0);
}
