// A second implementation of the routing hash, which selects one of n shards for a series. The hash
// is xxh64 over the parts of the series key. Each part is preceded by its length in four
// little-endian bytes.

const mask = (1n << 64n) - 1n;
const p1 = 0x9e3779b185ebca87n;
const p2 = 0xc2b2ae3d27d4eb4fn;
const p3 = 0x165667b19e3779f9n;
const p4 = 0x85ebca77c2b2ae63n;
const p5 = 0x27d4eb2f165667c5n;

const mul = (a, b) => (a * b) & mask;
const add = (a, b) => (a + b) & mask;
const rotl = (a, n) => ((a << n) | (a >> (64n - n))) & mask;
const round = (acc, lane) => mul(rotl(add(acc, mul(lane, p2)), 31n), p1);

/** The seed is 0. */
export function xxh64(bytes) {
  let at = 0;
  let hash = p5;
  if (bytes.length >= 32) {
    const lanes = [add(p1, p2), p2, 0n, (mask - p1 + 1n) & mask];
    for (; at + 32 <= bytes.length; at += 32) {
      for (let i = 0; i < 4; i++) lanes[i] = round(lanes[i], bytes.readBigUInt64LE(at + 8 * i));
    }
    hash = [1n, 7n, 12n, 18n].reduce((sum, n, i) => add(sum, rotl(lanes[i], n)), 0n);
    for (const lane of lanes) hash = add(mul(hash ^ round(0n, lane), p1), p4);
  }
  hash = add(hash, BigInt(bytes.length));
  for (; at + 8 <= bytes.length; at += 8) {
    hash = add(mul(rotl(hash ^ round(0n, bytes.readBigUInt64LE(at)), 27n), p1), p4);
  }
  if (at + 4 <= bytes.length) {
    hash = add(mul(rotl(hash ^ mul(BigInt(bytes.readUInt32LE(at)), p1), 23n), p2), p3);
    at += 4;
  }
  for (; at < bytes.length; at++) hash = mul(rotl(hash ^ mul(BigInt(bytes[at]), p5), 11n), p1);
  hash = mul(hash ^ (hash >> 33n), p2);
  hash = mul(hash ^ (hash >> 29n), p3);
  return hash ^ (hash >> 32n);
}

/** Returns the number of a series' shard. `tags` must be sorted by key. */
export function shardOf(measurement, tags, shards) {
  const parts = [measurement, ...Object.entries(tags).flat()].flatMap((part) => {
    const length = Buffer.alloc(4);
    length.writeUInt32LE(Buffer.byteLength(part));
    return [length, Buffer.from(part)];
  });
  return Number(xxh64(Buffer.concat(parts)) % BigInt(shards));
}
