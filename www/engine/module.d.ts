// Declares the parts of the module `#engine` (package.json) that the console uses. `npm run build`
// generates the module from the crate.

/** The global scope class of shared workers, which TypeScript's DOM library does not declare. */
declare const SharedWorkerGlobalScope: unknown;

/** scripts/console.mjs defines this constant for sql_asset.js. */
declare const SQL_ASSET: { name: string; bytes: number } | null;

/** The SQL module, which `npm run sql` generates from the crate in `sql/`. */
declare module '#sql' {
  export function __wbg_reset_state(): void;
  export function end(session: number): void;
  export function memory_bytes(): number;
  export function turn(session: number, message: Uint8Array): Uint8Array;
  export default function load(options: { module_or_path: unknown }): Promise<unknown>;
}

declare module '#engine' {
  /** The page's database, documented in `src/browser`. */
  export class Tidemark {
    constructor(seed: bigint, secret: bigint);
    /** Returns the changes to store: `[key, bytes | undefined, …]`. */
    changes(): any[];
    free(): void;
    is_empty(): boolean;
    keep_anew(): void;
    next_alarm_ns(): bigint | undefined;
    pass_time(now_ns: bigint): void;
    /** Returns `[status, headers, body]`. */
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
    /** Sets the function that processes SQL messages. It is used from the next request. */
    set_sql(turn: (message: Uint8Array) => Uint8Array): void;
    wake(now_ns: bigint): void;
  }
  export function __wbg_reset_state(): void;
  export function outline(text: string): any[];
  /**
   * Returns `[good, bad, unit, lines, …]`, and then the line, the column and the reason of each
   * error.
   */
  export function validate(text: Uint8Array, precision: string, now_ns: bigint): any[];
  export default function load(options: { module_or_path: unknown }): Promise<unknown>;
}
