// Calls the runtime's functions from JavaScript, because calls from WebAssembly cost more. Each
// property, header and promise that WebAssembly reads needs a call to JavaScript and back, which
// creates objects. The garbage collection of these objects pauses all requests of the isolate.

/** The minimum size of a buffer to release, in bytes. Releasing a smaller buffer costs too much. */
const releasedBytesMin = 4096;
/** The maximum number of cached ids. */
const idsMax = 1_000;

/**
 * Maps the text of an id, or an object's name, to the id. Requests may share ids, but each request
 * needs separate stubs.
 */
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
 * Frees the buffer of bytes that are no longer needed. The garbage collector would free the buffer
 * only after tens of megabytes of garbage. Do not release bytes that the runtime has not sent yet:
 * after a storage write, the runtime sends no response until the write is durable.
 */
export function release(bytes) {
  if (bytes.byteLength >= releasedBytesMin) bytes.buffer.transfer(0);
}

/**
 * Returns the head of a request as lines: the method, the URL, and the name and value of each
 * header.
 */
export function headOf(request) {
  let lines = `${request.method}\n${request.url}`;
  for (const [name, value] of request.headers) lines += `\n${name}\n${value}`;
  return lines;
}

/**
 * Converts lines with alternating names and values to headers. Returns a plain object, because the
 * runtime reads all other types slowly, through an iterator.
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

/**
 * Sends a message to an object and releases the bytes of the message. The object is selected by id,
 * or by its name in a jurisdiction. Returns the reply as bytes. Uses RPC, because `fetch` costs more
 * time for each call.
 */
export async function callObject(namespace, object, isName, location, jurisdiction, message) {
  const id = idOf(namespace, object, isName, jurisdiction);
  // A stub that has failed once always fails, so each attempt uses a new stub.
  const stub = location ? namespace.get(id, { locationHint: location }) : namespace.get(id);
  const reply = stub.answer(message);
  // The call has copied the message.
  release(message);
  return reply;
}
