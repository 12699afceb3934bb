// Reads the number of rows from a Parquet file's footer, which has Thrift's compact encoding.
//
//   … footer │ length of the footer <u32> │ "PAR1"

import { openSync, closeSync, fstatSync, readSync } from 'node:fs';

import { Sentence } from './command.mjs';

/** The marker at both ends of a file. */
const magic = Buffer.from('PAR1');
/** The size of the length and the marker after the footer. */
const tailBytes = 8;
/** Field types of Thrift's compact encoding. */
const type = { stop: 0, yes: 1, no: 2, byte: 3, double: 7, binary: 8, list: 9, set: 10, struct: 12 };
/** The id of the field `num_rows` in FileMetaData. */
const rowsField = 3;
/** The maximum nesting depth of structs. */
const depthMax = 8;

/** Reads the parts of Thrift's compact encoding that occur in a footer. */
class Reader {
  constructor(bytes) {
    this.bytes = bytes;
    this.at = 0;
  }

  byte() {
    if (this.at >= this.bytes.length) throw new Sentence('A Parquet file has a footer that ends early.');
    return this.bytes[this.at++];
  }

  varint() {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.byte();
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw new Sentence('A Parquet file has a footer with a number that never ends.');
  }

  /** Reads a signed integer in zigzag encoding. */
  integer() {
    const value = this.varint();
    return (value >> 1n) ^ -(value & 1n);
  }

  /** Skips a value. */
  skip(of, depth = 0) {
    if (depth > depthMax) throw new Sentence('A Parquet file has a footer that is nested too deep.');
    if (of === type.yes || of === type.no) return;
    if (of === type.byte) this.at += 1;
    else if (of === type.double) this.at += 8;
    else if (of === type.binary) this.at += Number(this.varint());
    else if (of === type.list || of === type.set) this.skipList(depth);
    else if (of === type.struct) this.fields(() => false, depth + 1);
    else this.varint();
  }

  skipList(depth) {
    const head = this.byte();
    const count = head >> 4 === 15 ? Number(this.varint()) : head >> 4;
    const of = head & 15;
    for (let n = 0; n < count; n += 1) {
      // In a list, a boolean has a separate byte.
      if (of === type.yes || of === type.no) this.at += 1;
      else this.skip(of, depth + 1);
    }
  }

  /** Iterates over a struct's fields. `take` returns whether it has read the field's value. */
  fields(take, depth = 0) {
    for (let field = 0; ; ) {
      const head = this.byte();
      const of = head & 15;
      if (of === type.stop) return;
      field = head >> 4 === 0 ? Number(this.integer()) : field + (head >> 4);
      if (!take(field)) this.skip(of, depth);
    }
  }
}

/**
 * Returns the number of rows in the file at `path`. Throws a sentence if the Parquet file is
 * incomplete.
 */
export function rowsOf(path) {
  const file = openSync(path, 'r');
  try {
    const { size } = fstatSync(file);
    const tail = Buffer.alloc(tailBytes);
    readSync(file, tail, 0, tailBytes, Math.max(size - tailBytes, 0));
    const length = tail.readUInt32LE(0);
    if (!tail.subarray(4).equals(magic) || length + tailBytes + magic.length > size) {
      throw new Sentence(`${path} is not a complete Parquet file.`);
    }
    const footer = Buffer.alloc(length);
    readSync(file, footer, 0, length, size - tailBytes - length);
    let rows = null;
    const reader = new Reader(footer);
    reader.fields((field) => {
      if (field !== rowsField) return false;
      rows = Number(reader.integer());
      return true;
    });
    if (rows === null) throw new Sentence(`${path} does not contain its number of rows.`);
    return rows;
  } finally {
    closeSync(file);
  }
}
