// Explains failed requests on a machine that needs a proxy.

/** Returns the next step for a failed request if the environment names a proxy, because `fetch` ignores the proxy by default. */
export function proxyStep() {
  const { HTTPS_PROXY, https_proxy: lowerCase } = process.env;
  return HTTPS_PROXY || lowerCase ? ' To use the proxy in HTTPS_PROXY, set NODE_USE_ENV_PROXY=1 (Node 22.21 or newer).' : '';
}
