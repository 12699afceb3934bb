// Restores an object's storage to an earlier time with functions of the runtime. The runtime
// creates a new `state` for each instance of the object. If the module gets a new WebAssembly
// memory, the instance and its `state` remain the same.

/** Maps the `state` of each instance to the instance's number. */
const lives = new WeakMap();

/** Returns the random 64-bit number that identifies an instance. */
export function lifeOf(state) {
  const known = lives.get(state);
  if (known !== undefined) return known;
  const [life] = crypto.getRandomValues(new BigUint64Array(1));
  lives.set(state, life);
  return life;
}

/** Throws if the object cannot be restored to `time`, a Unix time in milliseconds. */
export async function lookBack(state, time) {
  await state.storage.getBookmarkForTime(time);
}

/**
 * Schedules the restore. The object's next instance starts with the storage at `time`, a Unix time
 * in milliseconds.
 */
export async function goBackNext(state, time) {
  const bookmark = await state.storage.getBookmarkForTime(time);
  await state.storage.onNextSessionRestoreBookmark(bookmark);
}

/**
 * Ends the instance and all code that runs in the instance. A timer calls `abort` after the current
 * call into the WebAssembly module has returned, because other objects share the module.
 */
export function endLife(state) {
  setTimeout(() => state.abort('the object restarts with its storage of an earlier time'), 0);
}
