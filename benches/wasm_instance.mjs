// A module for WASM of `benches/line_protocol/` in this Node.

/** Its exports. */
export function instance(bytes) {
  const module = new WebAssembly.Module(bytes);
  // The crate brings wasm-bindgen's imports along; nothing that is measured calls them.
  const imports = {};
  for (const { module: from, name } of WebAssembly.Module.imports(module)) {
    (imports[from] ??= {})[name] = () => {};
  }
  return new WebAssembly.Instance(module, imports).exports;
}
