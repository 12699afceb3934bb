// Records every WebAssembly instance that is created after this module is loaded.

const instances = [];
const Real = WebAssembly.Instance;

WebAssembly.Instance = function Instance(...given) {
  const instance = new Real(...given);
  instances.push(instance);
  return instance;
};

/** Memory never shrinks, so each size is the maximum that the Worker and its objects used. */
export const memories = () => instances.map(({ exports }) => exports.memory?.buffer.byteLength ?? 0);
