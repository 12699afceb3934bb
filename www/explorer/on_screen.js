// What is asked only for what somebody sees.

/** Questions of this kind that are under way at once. */
const questionsMax = 4;

const waiting = [];
let underWay = 0;

async function next() {
  if (underWay >= questionsMax || waiting.length === 0) return;
  underWay += 1;
  try {
    await waiting.shift()();
  } catch {
    // What is not known is not shown.
  } finally {
    underWay -= 1;
    next();
  }
}

const asked = new WeakMap();

const observer = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue;
    observer.unobserve(target);
    waiting.push(() => target.isConnected && asked.get(target)());
    next();
  }
});

/** Calls `work()` once, when `element` comes on screen; at most a few of them are under way. */
export function onScreen(element, work) {
  asked.set(element, work);
  observer.observe(element);
}
