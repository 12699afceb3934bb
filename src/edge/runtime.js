// What costs less to ask of the runtime here than from WebAssembly: each property, header and
// promise that is asked for from there crosses over twice and leaves objects behind, which the
// runtime collects in pauses that everybody in the isolate feels.

/** Objects want a URL, and ignore it. */
const url = 'https://object/';
/** Fewer bytes are not worth a call. */
const releasedBytesMin = 4096;
/** Most ids that are kept. */
const idsMax = 1_000;

/** Ids of objects by their texts: an id is of no request, a stub is. */
const ids = new Map();

function idOf(namespace, text, isName) {
  let id = ids.get(text);
  if (id) return id;
  id = isName ? namespace.idFromName(text) : namespace.idFromString(text);
  if (ids.size >= idsMax) ids.clear();
  ids.set(text, id);
  return id;
}

/**
 * Frees bytes whose content was used. A collection frees them too, but comes only when tens of megabytes of them lie
 * about. What the runtime was given to send it still needs: behind a write it sends only once that is durable.
 */
export function release(bytes) {
  if (bytes.byteLength >= releasedBytesMin) bytes.buffer.transfer(0);
}

/** Lines of a request's head: its method, its URL, then name and value of each header. */
export function headOf(request) {
  let lines = `${request.method}\n${request.url}`;
  for (const [name, value] of request.headers) lines += `\n${name}\n${value}`;
  return lines;
}

/**
 * Headers whose names and values are lines, by turns. A plain object, because the runtime asks an
 * iterator for each text of anything else.
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

/** A response with such headers; `body` is bytes, a stream or null. */
export function respond(status, lines, body) {
  return new Response(body, { status, headers: headersOf(lines) });
}

/** Sends a message, whose bytes are gone then, to an object, by its id or its name; the bytes of its reply. */
export async function callObject(namespace, object, isName, location, message) {
  const id = idOf(namespace, object, isName);
  // A stub that failed once stays broken: each try has its own.
  const stub = location ? namespace.get(id, { locationHint: location }) : namespace.get(id);
  const response = await stub.fetch(url, { method: 'POST', body: message });
  release(message);
  const reply = new Uint8Array(await response.arrayBuffer());
  if (response.status === 200) return reply;
  throw new Error(`the object answered ${response.status}: ${new TextDecoder().decode(reply)}`);
}
