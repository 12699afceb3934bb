// Remembers every WebAssembly instance that is made after this is loaded.

const instances = [];
const Real = WebAssembly.Instance;

WebAssembly.Instance = function Instance(...given) {
  const instance = new Real(...given);
  instances.push(instance);
  return instance;
};

/** Bytes of the memory of each, which never shrinks: what the Worker and its objects held at most. */
export const memories = () => instances.map(({ exports }) => exports.memory?.buffer.byteLength ?? 0);
