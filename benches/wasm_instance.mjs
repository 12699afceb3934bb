// Instantiates a WASM module of `benches/line_protocol/` in Node.

export function instance(bytes) {
  const module = new WebAssembly.Module(bytes);
  // The crate includes the imports of wasm-bindgen, but the measured code never calls them.
  const imports = {};
  for (const { module: from, name } of WebAssembly.Module.imports(module)) {
    (imports[from] ??= {})[name] = () => {};
  }
  return new WebAssembly.Instance(module, imports).exports;
}
