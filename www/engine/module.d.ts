// What the console uses of `#engine` (package.json): the module that `npm run build` makes of the crate.

/** Of a shared worker's own scope, which the compiler's library of pages lacks. */
declare const SharedWorkerGlobalScope: unknown;

/** Of scripts/console.mjs: see sql_asset.js. */
declare const SQL_ASSET: { name: string; bytes: number } | null;

/** SQL's module, which `npm run sql` makes of the crate in `sql/`. */
declare module '#sql' {
  export function __wbg_reset_state(): void;
  export function end(session: number): void;
  export function memory_bytes(): number;
  export function turn(session: number, message: Uint8Array): Uint8Array;
  export default function load(options: { module_or_path: unknown }): Promise<unknown>;
}

declare module '#engine' {
  /** The database of one page; `src/browser` says more. */
  export class Tidemark {
    constructor(seed: bigint, secret: bigint);
    /** What to keep: `[key, bytes | undefined, …]`. */
    changes(): any[];
    free(): void;
    is_empty(): boolean;
    keep_anew(): void;
    next_alarm_ns(): bigint | undefined;
    pass_time(now_ns: bigint): void;
    /** `[status, headers, body]`. */
    request(
      method: string,
      path: string,
      query: string,
      headers: string[],
      body: Uint8Array,
      now_ns: bigint,
    ): [number, string[], Uint8Array<ArrayBuffer>];
    restore(key: string, value: Uint8Array): void;
    restored(): void;
    /** `turn` answers messages to SQL from the next request on. */
    set_sql(turn: (message: Uint8Array) => Uint8Array): void;
    wake(now_ns: bigint): void;
  }
  export function __wbg_reset_state(): void;
  /** What a text of InfluxQL is, word by word; a module of an older release has none. */
  export const outline: ((text: string) => any[]) | undefined;
  /** `[good, bad, unit, lines, …]`, and three for each error: line, column, reason. */
  export function validate(text: Uint8Array, precision: string, now_ns: bigint): any[];
  export default function load(options: { module_or_path: unknown }): Promise<unknown>;
}
