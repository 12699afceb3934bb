// How many rows a Parquet file has: the number at the head of its footer, which is Thrift's compact form.
//
//   … footer │ length of the footer <u32> │ "PAR1"

import { openSync, closeSync, fstatSync, readSync } from 'node:fs';

import { Sentence } from './command.mjs';

/** "PAR1" at both ends. */
const magic = Buffer.from('PAR1');
/** Length and magic behind the footer. */
const tailBytes = 8;
/** Types of fields in Thrift's compact form. */
const type = { stop: 0, yes: 1, no: 2, byte: 3, double: 7, binary: 8, list: 9, set: 10, struct: 12 };
/** The field of FileMetaData that has the rows. */
const rowsField = 3;
/** Structs inside of structs, at most. */
const depthMax = 8;

/** Reads what of Thrift's compact form a footer has. */
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

  /** A signed number: zigzag. */
  integer() {
    const value = this.varint();
    return (value >> 1n) ^ -(value & 1n);
  }

  /** Goes past a value. */
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
      // In a list a truth is a byte of its own.
      if (of === type.yes || of === type.no) this.at += 1;
      else this.skip(of, depth + 1);
    }
  }

  /** Goes through a struct; `take` says of a field whether it has read it. */
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

/** The rows of the file at `path`. Throws a sentence if it is no whole Parquet file. */
export function rowsOf(path) {
  const file = openSync(path, 'r');
  try {
    const { size } = fstatSync(file);
    const tail = Buffer.alloc(tailBytes);
    readSync(file, tail, 0, tailBytes, Math.max(size - tailBytes, 0));
    const length = tail.readUInt32LE(0);
    if (!tail.subarray(4).equals(magic) || length + tailBytes + magic.length > size) {
      throw new Sentence(`${path} is no whole Parquet file.`);
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
    if (rows === null) throw new Sentence(`${path} does not say how many rows it has.`);
    return rows;
  } finally {
    closeSync(file);
  }
}
