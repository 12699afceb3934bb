// Calls the result worker.

let worker = null;
let last = 0;
const waiting = new Map();

export function started() {
  if (worker) return worker;
  worker = new Worker(new URL('results/worker.js', document.baseURI), {
    type: 'module',
    name: 'results',
  });
  worker.addEventListener('message', ({ data: { id, output, error } }) => {
    const { resolve, reject } = waiting.get(id);
    waiting.delete(id);
    if (error === undefined) resolve(output);
    else reject(new Error(error));
  });
  return worker;
}

/** Bytes are transferred, not copied. */
export function work(name, input) {
  last += 1;
  const id = last;
  return new Promise((resolve, reject) => {
    waiting.set(id, { resolve, reject });
    started().postMessage({ id, name, input }, input instanceof ArrayBuffer ? [input] : []);
  });
}
