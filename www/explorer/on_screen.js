// Runs queries for elements when they become visible.

const queriesMax = 4;

const waiting = [];
let underWay = 0;

async function next() {
  if (underWay >= queriesMax || waiting.length === 0) return;
  underWay += 1;
  try {
    await waiting.shift()();
  } catch {
    // An element whose query fails displays no value.
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

/** Calls `work()` once, when `element` becomes visible. */
export function onScreen(element, work) {
  asked.set(element, work);
  observer.observe(element);
}
