// Replays recorded calls of those clients that these tests do not run. A file in tests/data/flight
// contains the bytes that the client would send according to its source, and the expected parts of
// each response. See tests/data/flight/README.md.

import assert from 'node:assert/strict';

import { DataType, tableFromArrays, tableFromIPC, tableToIPC, Utf8, vectorFromArray } from 'apache-arrow';

import { ended } from './grpc_client.mjs';

const service = '/arrow.flight.protocol.FlightService/';
const sqlType = 'type.googleapis.com/arrow.flight.protocol.sql.';

function varint(number) {
  const bytes = [];
  for (let rest = BigInt(number); ; rest >>= 7n) {
    if (rest < 128n) return Buffer.from([...bytes, Number(rest)]);
    bytes.push(Number(rest & 127n) | 128);
  }
}

const field = (number, value) =>
  typeof value === 'number' || typeof value === 'bigint'
    ? Buffer.concat([varint(number << 3), varint(value)])
    : Buffer.concat([varint((number << 3) | 2), varint(value.length), Buffer.from(value)]);

/**
 * Parses a protobuf message. Returns a map from the field number to the values of the field, in
 * their order.
 */
function fieldsOf(bytes) {
  const fields = new Map();
  let at = 0;
  const number = () => {
    let [value, shift] = [0n, 0n];
    for (;;) {
      const byte = BigInt(bytes[at++]);
      value |= (byte & 127n) << shift;
      shift += 7n;
      if (byte < 128n) return value;
    }
  };
  while (at < bytes.length) {
    const key = Number(number());
    let value = number();
    if ((key & 7) === 2) {
      const end = at + Number(value);
      assert.ok(end <= bytes.length, 'a field is cut');
      value = bytes.subarray(at, end);
      at = end;
    }
    fields.set(key >> 3, [...(fields.get(key >> 3) ?? []), value]);
  }
  return fields;
}

const only = (message, number) => fieldsOf(message).get(number)?.[0];
const any = (name, message) => Buffer.concat([field(1, sqlType + name), field(2, message)]);

/** Returns the Arrow stream in the messages of a DoGet. */
export function table(messages) {
  const pieces = messages.flatMap((message) => {
    const [header, body] = [only(message, 2), only(message, 1000) ?? Buffer.alloc(0)];
    const prefix = Buffer.alloc(8, 0xff);
    prefix.writeInt32LE(header.length, 4);
    return [prefix, header, body];
  });
  return tableFromIPC(Buffer.concat(pieces));
}

/** Returns the values in a vector of this type. JSON has no integers of 64 bits. */
function vectorOf(values, type) {
  const isLong = DataType.isInt(type) && type.bitWidth === 64;
  return vectorFromArray(isLong ? values.map(BigInt) : values, type);
}

/**
 * Returns an Arrow stream as the messages of a DoPut. The first message contains the command. As in
 * the JDBC driver, the values have the described types of the parameters.
 */
function putOf(columns, command, types) {
  const vectors = Object.entries(columns).map(([name, values]) => [name, vectorOf(values, types.get(name) ?? new Utf8())]);
  const bytes = Buffer.from(tableToIPC(tableFromArrays(Object.fromEntries(vectors)), 'stream'));
  const messages = [];
  for (let at = 0; bytes.readInt32LE(at + 4) !== 0; ) {
    const header = bytes.subarray(at + 8, at + 8 + bytes.readInt32LE(at + 4));
    // In Flatbuffers, the length of the body is a field of the root table.
    const root = header.readInt32LE(0);
    const slots = root - header.readInt32LE(root);
    const slot = header.readUInt16LE(slots) > 10 ? header.readUInt16LE(slots + 10) : 0;
    const length = slot ? Number(header.readBigInt64LE(root + slot)) : 0;
    const from = at + 8 + header.length;
    messages.push(Buffer.concat([field(2, header), field(1000, bytes.subarray(from, from + length))]));
    at = from + length;
    if (at >= bytes.length) break;
  }
  const descriptor = Buffer.concat([field(1, 2), field(2, command)]);
  return [Buffer.concat([field(1, descriptor), messages[0]]), ...messages.slice(1)];
}

/**
 * Converts JSON to a protobuf message. The names of members in the JSON are the field numbers of
 * the message.
 */
function messageOf(json, state) {
  const given = json ? JSON.parse(json) : {};
  return Buffer.concat(Object.entries(given).flatMap(([number, values]) => [values].flat().map((value) => {
    if (value === '@handle') return field(Number(number), state.handle);
    return field(Number(number), typeof value === 'boolean' ? Number(value) : value);
  })));
}

function sent(words, state) {
  const [kind, ...rest] = words.split(' ');
  const text = rest.join(' ');
  const [name, json] = [rest[0], rest.slice(1).join(' ')];
  const command = () => any(name, messageOf(json, state));
  switch (kind) {
    case 'nothing': return [];
    case 'empty': return [Buffer.alloc(0)];
    case 'ticket': return [field(1, text === '@endpoint' ? state.ticket : text)];
    case 'command': return [Buffer.concat([field(1, 2), field(2, command())])];
    case 'action': {
      const [type, of, body] = [name, rest[1], rest.slice(2).join(' ')];
      return [Buffer.concat([field(1, type), ...(of ? [field(2, any(of, messageOf(body, state)))] : [])])];
    }
    case 'put': return putOf(JSON.parse(json), any(name, field(1, state.handle)), state.types);
    default: throw new Error(`what is ${kind}?`);
  }
}

/** Whole numbers become numbers, and rows become objects without proxies. */
const plain = (value) => JSON.parse(JSON.stringify(value ?? null, (_, of) => (typeof of === 'bigint' ? Number(of) : of)));

const has = {
  /** Checks a FlightInfo and stores its ticket. If `names` is empty, any schema is permitted. */
  info({ messages }, names, state) {
    assert.equal(messages.length, 1);
    const info = fieldsOf(messages[0]);
    const [endpoint, ...others] = info.get(3);
    assert.deepEqual([others.length, fieldsOf(endpoint).get(2)], [0, undefined], 'one endpoint, without a place');
    // Java requires a descriptor with a type in each FlightInfo.
    assert.equal(only(info.get(2)[0], 1), 2n);
    state.ticket = only(only(messages[0], 3), 1) && only(only(endpoint, 1), 1);
    state.schema = info.get(1)[0];
    const found = tableFromIPC(Buffer.concat([state.schema, Buffer.from([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0])]));
    if (names) assert.deepEqual(found.schema.fields.map(({ name }) => name), JSON.parse(names));
  },
  /** Compares the rows. The schema of the stream must equal the announced schema. */
  rows({ messages }, rows, state) {
    assert.deepEqual(plain(table(messages).toArray().map((row) => row.toJSON())), JSON.parse(rows));
    has.said({ messages }, '', state);
  },
  /** If the call announced a schema, the response must have this schema. */
  said({ messages }, _, state) {
    if (state.schema) assert.deepEqual(state.schema.subarray(8), only(messages[0], 2), 'the schema that was said');
    state.schema = null;
  },
  count({ messages }, count) {
    assert.equal(table(messages).numRows, Number(count));
  },
  column({ messages }, text) {
    const [name, ...values] = text.split(' ');
    assert.deepEqual(plain([...table(messages).getChild(name)]), JSON.parse(values.join(' ')));
  },
  /** The types are in the notation of Arrow for JavaScript, with `?` if nulls are permitted. */
  types({ messages }, text) {
    const found = table(messages).schema.fields.map(({ name, type, nullable }) => `${name}:${type}${nullable ? '?' : ''}`);
    assert.deepEqual(found, JSON.parse(text));
  },
  /** Compares the schemas of tables. Each row of the result contains the schema of one table. */
  schemas({ messages }, text) {
    const found = [...table(messages).getChild('table_schema')].map((bytes) => {
      const whole = Buffer.concat([Buffer.from(bytes), Buffer.from([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0])]);
      return tableFromIPC(whole).schema.fields.map(({ name, type }) => `${name}:${type}`);
    });
    assert.deepEqual(found, JSON.parse(text));
  },
  /** Checks the columns and the parameters, if the response contains them. Stores the handle. */
  prepared({ messages }, text, state) {
    const result = fieldsOf(only(only(messages[0], 1), 2));
    state.handle = result.get(1)[0];
    const fields = (schema) => tableFromIPC(Buffer.concat([schema, Buffer.from([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0])])).schema.fields;
    const parameters = fields(result.get(3)[0]);
    state.types = new Map(parameters.map(({ name, type }) => [name, type]));
    const names = (of) => of.map(({ name }) => name);
    if (text) assert.deepEqual([names(fields(result.get(2)[0])), names(parameters)], JSON.parse(text));
  },
  /** Checks the types of the parameters in the last `prepared`. */
  parameters(_, text, state) {
    assert.deepEqual([...state.types].map(([name, type]) => `${name}:${type}`), JSON.parse(text));
  },
  /** If a DoPut returns a new handle, stores the new handle in place of the previous handle. */
  handle({ messages }, _, state) {
    state.handle = only(only(messages[0], 1), 1);
    assert.ok(state.handle.length > 0);
  },
  messages({ messages }, count) {
    assert.equal(messages.length, Number(count));
  },
  metadata({ metadata, trailers }, text, state) {
    const [name, ...value] = text.split(' ');
    assert.deepEqual([...metadata.get(name), ...trailers.get(name)], [value.join(' ').replace('@token', state.token)]);
  },
  /** A client casts these server facts without a check of their types. */
  facts({ messages }, text) {
    const found = new Map([...table(messages)].map((row) => [Number(row.info_name), row.value]));
    for (const [kind, numbers] of Object.entries(JSON.parse(text))) {
      for (const number of numbers) {
        assert.ok(found.has(number), `there is no ${number}`);
        assert.ok(kinds[kind](found.get(number)), `${number} is no ${kind}: ${String(found.get(number))}`);
      }
    }
  },
};

const kinds = {
  string: (value) => typeof value === 'string',
  boolean: (value) => typeof value === 'boolean',
  long: (value) => typeof value === 'bigint',
  int: (value) => typeof value === 'number',
  list: (value) => typeof value === 'object' && [...value].every((item) => typeof item === 'string'),
  map: (value) => typeof value === 'object' && [...value].length === 0,
};

/**
 * Parses a file of recorded calls. Calls marked with `*` (`isWay`) are those that the client sends
 * for every statement.
 */
export function callsOf(text) {
  const calls = [];
  const shared = [];
  for (const [n, raw] of text.split('\n').entries()) {
    const line = raw.trimEnd();
    if (line === '' || line.startsWith('#')) continue;
    const [sign, rest] = [line[0], line.slice(2)];
    const isWay = sign === '*';
    if (sign === '>' || isWay) calls.push({ method: rest, line: n + 1, headers: [], sent: '', expected: [], isWay });
    else if (sign === ':' && calls.length === 0) shared.push(rest);
    else if (sign === ':') calls.at(-1).headers.push(rest);
    else if (sign === '=') calls.at(-1).sent = rest;
    else if (sign === '<') calls.at(-1).expected.push(rest);
    else throw new Error(`line ${n + 1}: ${line}`);
  }
  return calls.map((call) => ({ ...call, headers: [...shared, ...call.headers] }));
}

/** Each call can store values for the next call in the state. */
const begin = (token) => ({ token, handle: Buffer.alloc(0), ticket: Buffer.alloc(0), schema: null, types: new Map() });

/** @param {ReturnType<callsOf>[0]} call */
function send(client, { method, headers, sent: words }, state, options = {}) {
  const basic = Buffer.from(`:${state.token}`).toString('base64');
  const metadata = {};
  for (const header of headers) {
    const at = header.indexOf(': ');
    const name = header.slice(0, at);
    // A header of the call replaces the common header. The value "-" removes it.
    metadata[name] = header.slice(at + 2).replace('@token', state.token).replace('@basic', basic);
    if (metadata[name] === '-') delete metadata[name];
  }
  const call = client.bidi(service + method, metadata, options);
  for (const message of sent(words, state)) call.write(message);
  call.end();
  return call;
}

/** @param {ReturnType<callsOf>[0]} call */
function compare(answer, { method, line, expected }, state) {
  const code = expected.find((one) => one.startsWith('code '));
  const where = `line ${line}, ${method}`;
  assert.equal(answer.code, code ? Number(code.split(' ')[1]) : 0, `${where}: ${answer.details}`);
  for (const one of expected) {
    const [kind, ...rest] = one.split(' ');
    if (kind === 'code') assert.ok(answer.details.includes(rest.slice(1).join(' ')), `${where}: ${answer.details}`);
    else {
      try {
        has[kind](answer, rest.join(' '), state);
      } catch (error) {
        throw new Error(`${where}, ${one}: ${error.message}`, { cause: error });
      }
    }
  }
}

/** @param {ReturnType<callsOf>} calls */
export async function replay(client, calls, token) {
  const state = begin(token);
  for (const call of calls.filter(({ isWay }) => !isWay)) compare(await ended(send(client, call, state)), call, state);
}

/**
 * Sends the calls in order, and stops after the first failure. Returns the end of the last call
 * that was sent. The last of `calls` is sent with `options`, and `read` reads its response.
 * @param {ReturnType<callsOf>} calls
 */
export async function ask(client, calls, { token, q, options = {}, read = ended }) {
  const state = begin(token);
  const ways = calls.filter(({ isWay }) => isWay);
  const text = JSON.stringify(q).slice(1, -1);
  for (const way of ways.slice(0, -1)) {
    const answer = await ended(send(client, { ...way, sent: way.sent.replace('@q', text) }, state));
    if (answer.code !== 0) return answer;
    compare(answer, way, state);
  }
  const last = ways.at(-1);
  const answer = await read(send(client, { ...last, sent: last.sent.replace('@q', text) }, state, options));
  if (answer.code === 0) compare(answer, last, state);
  return answer;
}
