// Restores an object's storage to an earlier time with functions of the runtime. The runtime
// creates a new `state` for each instance of the object. If the module gets a new WebAssembly
// memory, the instance and its `state` remain the same.

/** Maps the `state` of each instance to the instance's number. */
const instances = new WeakMap();

/** Returns the random 64-bit number that identifies an instance. */
export function instanceNumber(state) {
  const known = instances.get(state);
  if (known !== undefined) return known;
  const [instance] = crypto.getRandomValues(new BigUint64Array(1));
  instances.set(state, instance);
  return instance;
}

/** Throws if the object cannot be restored to `time`, a Unix time in milliseconds. */
export async function checkHistory(state, time) {
  await state.storage.getBookmarkForTime(time);
}

/**
 * Schedules the restore. The object's next instance starts with the storage at `time`, a Unix time
 * in milliseconds.
 */
export async function selectState(state, time) {
  const bookmark = await state.storage.getBookmarkForTime(time);
  await state.storage.onNextSessionRestoreBookmark(bookmark);
}

/**
 * Ends the instance and all code that runs in the instance. A timer calls `abort` after the current
 * call into the WebAssembly module has returned, because other objects share the module.
 */
export function endInstance(state) {
  setTimeout(() => state.abort('the object restarts with its storage of an earlier time'), 0);
}
