// The past of an object as the runtime keeps it. `state` is what the runtime gave to one life of
// the object: each life gets another one, and keeps it when the module gets a new memory.

/** Numbers of lives, each by its state. */
const lives = new WeakMap();

/** A number that no other life of any object has. */
export function lifeOf(state) {
  const known = lives.get(state);
  if (known !== undefined) return known;
  const [life] = crypto.getRandomValues(new BigUint64Array(1));
  lives.set(state, life);
  return life;
}

/** Throws if the object could not go back to a time, in milliseconds. */
export async function lookBack(state, time) {
  await state.storage.getBookmarkForTime(time);
}

/** The object's next life begins with what its storage was then. */
export async function goBackNext(state, time) {
  const bookmark = await state.storage.getBookmarkForTime(time);
  await state.storage.onNextSessionRestoreBookmark(bookmark);
}

/** Ends the life, and whatever runs in it: so not from the module, which others run in too. */
export function endLife(state) {
  setTimeout(() => state.abort('the object goes back in time'), 0);
}
