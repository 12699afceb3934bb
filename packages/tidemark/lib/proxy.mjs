// Explains failed requests on a machine that needs a proxy.

/**
 * Returns the next step for a failed request if the environment names a proxy that `fetch` does not
 * use. By default, `fetch` ignores the proxy.
 */
export function proxyStep() {
  const { HTTPS_PROXY, https_proxy: lowerCase, NODE_USE_ENV_PROXY: isUsed } = process.env;
  if (isUsed || !(HTTPS_PROXY || lowerCase)) return '';
  return ' To use the proxy in HTTPS_PROXY, set NODE_USE_ENV_PROXY=1 (Node 22.21 or newer).';
}
