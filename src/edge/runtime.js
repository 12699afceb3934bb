// Functions that use the runtime from JavaScript, which costs less than from WebAssembly. Each
// property, header and promise that WebAssembly reads crosses the boundary twice and creates
// objects. The runtime collects the objects in pauses that delay all requests of the isolate.

/** The URL of calls to objects, which ignore it. */
const url = 'https://object/';
/** The minimum size to release, in bytes. A smaller buffer is not worth the call. */
const releasedBytesMin = 4096;
/** The maximum number of cached ids. */
const idsMax = 1_000;

/** The ids of objects by id text or name. Requests can share ids, but not stubs. */
const ids = new Map();

function idOf(namespace, text, isName, jurisdiction) {
  let id = ids.get(text);
  if (id) return id;
  const named = jurisdiction ? namespace.jurisdiction(jurisdiction) : namespace;
  id = isName ? named.idFromName(text) : namespace.idFromString(text);
  if (ids.size >= idsMax) ids.clear();
  ids.set(text, id);
  return id;
}

/**
 * Frees the buffer of bytes that are no longer needed. A garbage collection would free it too, but
 * runs only after tens of megabytes. Do not release bytes that the runtime must still send: after a
 * storage write, the runtime sends them only when the write is durable.
 */
export function release(bytes) {
  if (bytes.byteLength >= releasedBytesMin) bytes.buffer.transfer(0);
}

/** Returns a request's head as lines: the method, the URL, then the name and value of each header. */
export function headOf(request) {
  let lines = `${request.method}\n${request.url}`;
  for (const [name, value] of request.headers) lines += `\n${name}\n${value}`;
  return lines;
}

/**
 * Converts alternating lines of names and values into headers. Returns a plain object, because the
 * runtime would call an iterator for each text of any other type.
 */
function headersOf(lines) {
  const cells = lines === '' ? [] : lines.split('\n');
  const headers = {};
  for (let at = 0; at < cells.length; at += 2) {
    const [name, value] = [cells[at], cells[at + 1]];
    headers[name] = Object.hasOwn(headers, name) ? `${headers[name]}, ${value}` : value;
  }
  return headers;
}

/** Creates a response. `lines` are the headers; `body` is bytes, a stream or null. */
export function respond(status, lines, body) {
  return new Response(body, { status, headers: headersOf(lines) });
}

/** Sends a message to an object, by id or by name in a jurisdiction, and releases its bytes. Returns the bytes of the reply. */
export async function callObject(namespace, object, isName, location, jurisdiction, message) {
  const id = idOf(namespace, object, isName, jurisdiction);
  // A stub that failed once stays broken. Therefore each try uses a new stub.
  const stub = location ? namespace.get(id, { locationHint: location }) : namespace.get(id);
  const response = await stub.fetch(url, { method: 'POST', body: message });
  release(message);
  const reply = new Uint8Array(await response.arrayBuffer());
  if (response.status === 200) return reply;
  throw new Error(`the object returned ${response.status}: ${new TextDecoder().decode(reply)}`);
}
