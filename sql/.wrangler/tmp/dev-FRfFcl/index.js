var __defProp = Object.defineProperty;
var __name = (target, value) => __defProp(target, "name", { value, configurable: true });

// wrangler-config:config:middleware/patch-console-prefix
var prefix = "[tidemark-sql]";

// ../node_modules/wrangler/templates/middleware/middleware-patch-console-prefix.ts
["log", "debug", "info"].forEach((method) => {
  globalThis.console[method] = new Proxy(globalThis.console[method], {
    apply(target, thisArg, argumentsList) {
      return target.apply(thisArg, [prefix, ...argumentsList]);
    }
  });
});

// build/index.js
import { RpcTarget as H, WorkerEntrypoint as J } from "cloudflare:workers";
import I from "./a2bf3c91b331500e7b9cb6c11a04e768b25c839b-index_bg.wasm";
function T() {
  q++, f = null, m = null, typeof numBytesDecoded < "u" && (numBytesDecoded = 0), typeof a < "u" && (a = 0), S = false, M = new WebAssembly.Instance(I, V()), r = M.exports, r.__wbindgen_start();
}
__name(T, "T");
function W(n) {
  y(), r.end(n);
}
__name(W, "W");
function v(n) {
  let e;
  return y(), e = r.is_over(n), e !== 0;
}
__name(v, "v");
function L() {
  let n;
  return y(), n = r.memory_bytes(), n >>> 0;
}
__name(L, "L");
function R(n, e) {
  let t = +n, o = z(e, r.__wbindgen_malloc), s = a, c;
  y(), c = r.turn(t, o, s);
  var i = x(c[0], c[1]).slice();
  return r.__wbindgen_free(c[0], c[1] * 1, 1), i;
}
__name(R, "R");
function V() {
  return { __proto__: null, "./index_bg.js": { __proto__: null, __wbg___wbindgen_is_undefined_be5b34249ff1fc15: /* @__PURE__ */ __name(function(e) {
    return e === void 0;
  }, "__wbg___wbindgen_is_undefined_be5b34249ff1fc15"), __wbg___wbindgen_throw_4c88d8bf264fd984: /* @__PURE__ */ __name(function(e, t) {
    throw new Error(A(e, t));
  }, "__wbg___wbindgen_throw_4c88d8bf264fd984"), __wbg_error_757e9472f8410341: /* @__PURE__ */ __name(function(e, t) {
    let o, s;
    try {
      o = e, s = t, console.error(A(e, t));
    } finally {
      y(), r.__wbindgen_free(o, s, 1);
    }
  }, "__wbg_error_757e9472f8410341"), __wbg_getRandomValues_5d8c030b527203a6: /* @__PURE__ */ __name(function() {
    return B(function(e, t) {
      globalThis.crypto.getRandomValues(x(e, t));
    }, arguments);
  }, "__wbg_getRandomValues_5d8c030b527203a6"), __wbg_getRandomValues_66707e3bcfdab577: /* @__PURE__ */ __name(function() {
    return B(function(e, t) {
      globalThis.crypto.getRandomValues(x(e, t));
    }, arguments);
  }, "__wbg_getRandomValues_66707e3bcfdab577"), __wbg_getTime_edc91481cbc4cd78: /* @__PURE__ */ __name(function(e) {
    return e.getTime();
  }, "__wbg_getTime_edc91481cbc4cd78"), __wbg_new_0_36d738a0c8cfac43: /* @__PURE__ */ __name(function() {
    return /* @__PURE__ */ new Date();
  }, "__wbg_new_0_36d738a0c8cfac43"), __wbg_new_bb74001155cb8ca8: /* @__PURE__ */ __name(function() {
    return new Error();
  }, "__wbg_new_bb74001155cb8ca8"), __wbg_now_e7c6795a7f81e10f: /* @__PURE__ */ __name(function(e) {
    return e.now();
  }, "__wbg_now_e7c6795a7f81e10f"), __wbg_performance_7e4e4494fdc9d07a: /* @__PURE__ */ __name(function(e) {
    return e.performance;
  }, "__wbg_performance_7e4e4494fdc9d07a"), __wbg_stack_575c4e0918581b9c: /* @__PURE__ */ __name(function(e, t) {
    let o = t.stack, s = C(o, r.__wbindgen_malloc, r.__wbindgen_realloc), c = a;
    E().setInt32((e >>> 0) + 4, c, true), E().setInt32((e >>> 0) + 0, s, true);
  }, "__wbg_stack_575c4e0918581b9c"), __wbg_static_accessor_GLOBAL_THIS_003ee833af9699fc: /* @__PURE__ */ __name(function() {
    let e = typeof globalThis > "u" ? void 0 : globalThis;
    return h(e) ? 0 : w(e);
  }, "__wbg_static_accessor_GLOBAL_THIS_003ee833af9699fc"), __wbg_static_accessor_GLOBAL_e4293fb22cbe77da: /* @__PURE__ */ __name(function() {
    let e = typeof global > "u" ? void 0 : global;
    return h(e) ? 0 : w(e);
  }, "__wbg_static_accessor_GLOBAL_e4293fb22cbe77da"), __wbg_static_accessor_SELF_53bb20457401453d: /* @__PURE__ */ __name(function() {
    let e = typeof self > "u" ? void 0 : self;
    return h(e) ? 0 : w(e);
  }, "__wbg_static_accessor_SELF_53bb20457401453d"), __wbg_static_accessor_WINDOW_b5e0810bfecb7feb: /* @__PURE__ */ __name(function() {
    let e = typeof window > "u" ? void 0 : window;
    return h(e) ? 0 : w(e);
  }, "__wbg_static_accessor_WINDOW_b5e0810bfecb7feb"), __wbindgen_init_externref_table: /* @__PURE__ */ __name(function() {
    let e = r.__wbindgen_externrefs;
    e.set(0, void 0), e.set(1024, void 0), e.set(1025, null), e.set(1026, true), e.set(1027, false);
  }, "__wbindgen_init_externref_table") } };
}
__name(V, "V");
function y() {
  if (S) {
    T();
    return;
  }
}
__name(y, "y");
var q = 0;
function w(n) {
  let e = r.__externref_table_alloc();
  return r.__wbindgen_externrefs.set(e, n), e;
}
__name(w, "w");
function x(n, e) {
  return n = n >>> 0, d().subarray(n / 1, n / 1 + e);
}
__name(x, "x");
var f = null;
function E() {
  return (f === null || f.buffer.detached === true || f.buffer.detached === void 0 && f.buffer !== r.memory.buffer) && (f = new DataView(r.memory.buffer)), f;
}
__name(E, "E");
function A(n, e) {
  return n = n >>> 0, G(d().subarray(n, n + e));
}
__name(A, "A");
var m = null;
function d() {
  return (m === null || m.byteLength === 0) && (m = new Uint8Array(r.memory.buffer)), m;
}
__name(d, "d");
function B(n, e) {
  try {
    return n.apply(this, e);
  } catch (t) {
    let o = w(t);
    r.__wbindgen_exn_store(o);
  }
}
__name(B, "B");
function h(n) {
  return n == null;
}
__name(h, "h");
function z(n, e) {
  let t = e(n.length * 1, 1) >>> 0;
  return d().set(n, t / 1), a = n.length, t;
}
__name(z, "z");
function C(n, e, t) {
  if (t === void 0) {
    let u = g.encode(n), b = e(u.length, 1) >>> 0;
    return d().subarray(b, b + u.length).set(u), a = u.length, b;
  }
  let o = n.length, s = e(o, 1) >>> 0, c = d(), i = 0;
  for (; i < o; i++) {
    let u = n.charCodeAt(i);
    if (u > 127) break;
    c[s + i] = u;
  }
  if (i !== o) {
    i !== 0 && (n = n.slice(i)), s = t(s, o, o = i + n.length * 3, 1) >>> 0;
    let u = d().subarray(s + i, s + o), b = g.encodeInto(n, u);
    i += b.written, s = t(s, o, i, 1) >>> 0;
  }
  return a = i, s;
}
__name(C, "C");
var S = false;
var O = new TextDecoder("utf-8", { ignoreBOM: true });
O.decode();
function G(n) {
  return O.decode(n);
}
__name(G, "G");
var g = new TextEncoder();
"encodeInto" in g || (g.encodeInto = function(n, e) {
  let t = g.encode(n);
  return e.set(t), { read: n.length, written: t.length };
});
var a = 0;
var M = new WebAssembly.Instance(I, V());
var r = M.exports;
r.__wbindgen_start();
var F = 2;
var K = 1e4;
var P = 20;
var Q = 1e3;
var X = 8e3;
var Y = 64 * 1024 * 1024;
var Z = 0;
var _ = /* @__PURE__ */ new Set();
var l = [];
function U() {
  for (let n of _) n.isBroken = true;
  _ = /* @__PURE__ */ new Set(), T();
}
__name(U, "U");
function p(n) {
  try {
    return n();
  } catch (e) {
    throw console.error("Critical", e), U(), new Error("a query used up its stack or its memory", { cause: e });
  }
}
__name(p, "p");
function D(n) {
  _.delete(n) && (p(() => W(n.number)), _.size === 0 && p(() => L()) > Y && U());
}
__name(D, "D");
function $() {
  let n = Date.now();
  for (let e of _) {
    if (_.size < F) break;
    n - e.seenMs < X || (e.isBroken = true, D(e));
  }
  return _.size < F;
}
__name($, "$");
async function ee() {
  let n = { seenMs: Date.now() }, e = n.seenMs + K;
  l.push(n);
  try {
    for (; ; ) {
      if (n.seenMs = Date.now(), l = l.filter((t) => n.seenMs - t.seenMs < Q), l[0] === n && $()) return;
      if (n.seenMs > e) throw new Error("too many queries at once: repeat it later");
      await scheduler.wait(P);
    }
  } finally {
    l = l.filter((t) => t !== n);
  }
}
__name(ee, "ee");
var k = class extends H {
  static {
    __name(this, "k");
  }
  number = ++Z;
  seenMs = Date.now();
  isBroken = false;
  async turn(e) {
    if (!_.has(this) && !this.isBroken && (await ee(), _.add(this)), this.isBroken) throw new Error("the query made room for others, or went down with one");
    this.seenMs = Date.now();
    let t = p(() => R(this.number, e));
    return p(() => v(this.number)) && D(this), t;
  }
  end() {
    D(this);
  }
};
var N = class extends J {
  static {
    __name(this, "N");
  }
  open() {
    return new k();
  }
};

// ../node_modules/wrangler/templates/middleware/middleware-ensure-req-body-drained.ts
var drainBody = /* @__PURE__ */ __name(async (request, env, _ctx, middlewareCtx) => {
  try {
    return await middlewareCtx.next(request, env);
  } finally {
    try {
      if (request.body !== null && !request.bodyUsed) {
        const reader = request.body.getReader();
        while (!(await reader.read()).done) {
        }
      }
    } catch (e) {
      console.error("Failed to drain the unused request body.", e);
    }
  }
}, "drainBody");
var middleware_ensure_req_body_drained_default = drainBody;

// ../node_modules/wrangler/templates/middleware/middleware-miniflare3-json-error.ts
function reduceError(e) {
  return {
    name: e?.name,
    message: e?.message ?? String(e),
    stack: e?.stack,
    cause: e?.cause === void 0 ? void 0 : reduceError(e.cause)
  };
}
__name(reduceError, "reduceError");
var jsonError = /* @__PURE__ */ __name(async (request, env, _ctx, middlewareCtx) => {
  try {
    return await middlewareCtx.next(request, env);
  } catch (e) {
    const error = reduceError(e);
    const body = JSON.stringify(error);
    const headers = {
      "Content-Type": "application/json",
      "MF-Experimental-Error-Stack": "true"
    };
    const encoded = encodeURIComponent(body);
    if (encoded.length <= 8192) {
      headers["MF-Experimental-Error-Stack-Payload"] = encoded;
    }
    return new Response(body, { status: 500, headers });
  }
}, "jsonError");
var middleware_miniflare3_json_error_default = jsonError;

// .wrangler/tmp/bundle-pttWkx/middleware-insertion-facade.js
var __INTERNAL_WRANGLER_MIDDLEWARE__ = [
  middleware_ensure_req_body_drained_default,
  middleware_miniflare3_json_error_default
];
var middleware_insertion_facade_default = N;

// ../node_modules/wrangler/templates/middleware/common.ts
var __facade_middleware__ = [];
function __facade_register__(...args) {
  __facade_middleware__.push(...args.flat());
}
__name(__facade_register__, "__facade_register__");
function __facade_invokeChain__(request, env, ctx, dispatch, middlewareChain) {
  const [head, ...tail] = middlewareChain;
  const middlewareCtx = {
    dispatch,
    next(newRequest, newEnv) {
      return __facade_invokeChain__(newRequest, newEnv, ctx, dispatch, tail);
    }
  };
  return head(request, env, ctx, middlewareCtx);
}
__name(__facade_invokeChain__, "__facade_invokeChain__");
function __facade_invoke__(request, env, ctx, dispatch, finalMiddleware) {
  return __facade_invokeChain__(request, env, ctx, dispatch, [
    ...__facade_middleware__,
    finalMiddleware
  ]);
}
__name(__facade_invoke__, "__facade_invoke__");

// .wrangler/tmp/bundle-pttWkx/middleware-loader.entry.ts
var __Facade_ScheduledController__ = class ___Facade_ScheduledController__ {
  constructor(scheduledTime, cron, noRetry) {
    this.scheduledTime = scheduledTime;
    this.cron = cron;
    this.#noRetry = noRetry;
  }
  scheduledTime;
  cron;
  static {
    __name(this, "__Facade_ScheduledController__");
  }
  #noRetry;
  noRetry() {
    if (!(this instanceof ___Facade_ScheduledController__)) {
      throw new TypeError("Illegal invocation");
    }
    this.#noRetry();
  }
};
function wrapExportedHandler(worker) {
  if (__INTERNAL_WRANGLER_MIDDLEWARE__ === void 0 || __INTERNAL_WRANGLER_MIDDLEWARE__.length === 0) {
    return worker;
  }
  for (const middleware of __INTERNAL_WRANGLER_MIDDLEWARE__) {
    __facade_register__(middleware);
  }
  const fetchDispatcher = /* @__PURE__ */ __name(function(request, env, ctx) {
    if (worker.fetch === void 0) {
      throw new Error("Handler does not export a fetch() function.");
    }
    return worker.fetch(request, env, ctx);
  }, "fetchDispatcher");
  return {
    ...worker,
    fetch(request, env, ctx) {
      const dispatcher = /* @__PURE__ */ __name(function(type, init) {
        if (type === "scheduled" && worker.scheduled !== void 0) {
          const controller = new __Facade_ScheduledController__(
            Date.now(),
            init.cron ?? "",
            () => {
            }
          );
          return worker.scheduled(controller, env, ctx);
        }
      }, "dispatcher");
      return __facade_invoke__(request, env, ctx, dispatcher, fetchDispatcher);
    }
  };
}
__name(wrapExportedHandler, "wrapExportedHandler");
function wrapWorkerEntrypoint(klass) {
  if (__INTERNAL_WRANGLER_MIDDLEWARE__ === void 0 || __INTERNAL_WRANGLER_MIDDLEWARE__.length === 0) {
    return klass;
  }
  for (const middleware of __INTERNAL_WRANGLER_MIDDLEWARE__) {
    __facade_register__(middleware);
  }
  return class extends klass {
    #fetchDispatcher = /* @__PURE__ */ __name((request, env, ctx) => {
      this.env = env;
      this.ctx = ctx;
      if (super.fetch === void 0) {
        throw new Error("Entrypoint class does not define a fetch() function.");
      }
      return super.fetch(request);
    }, "#fetchDispatcher");
    #dispatcher = /* @__PURE__ */ __name((type, init) => {
      if (type === "scheduled" && super.scheduled !== void 0) {
        const controller = new __Facade_ScheduledController__(
          Date.now(),
          init.cron ?? "",
          () => {
          }
        );
        return super.scheduled(controller);
      }
    }, "#dispatcher");
    fetch(request) {
      return __facade_invoke__(
        request,
        this.env,
        this.ctx,
        this.#dispatcher,
        this.#fetchDispatcher
      );
    }
  };
}
__name(wrapWorkerEntrypoint, "wrapWorkerEntrypoint");
var WRAPPED_ENTRY;
if (typeof middleware_insertion_facade_default === "object") {
  WRAPPED_ENTRY = wrapExportedHandler(middleware_insertion_facade_default);
} else if (typeof middleware_insertion_facade_default === "function") {
  WRAPPED_ENTRY = wrapWorkerEntrypoint(middleware_insertion_facade_default);
}
var middleware_loader_entry_default = WRAPPED_ENTRY;
export {
  __INTERNAL_WRANGLER_MIDDLEWARE__,
  middleware_loader_entry_default as default
};
//# sourceMappingURL=index.js.map
