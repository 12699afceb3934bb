// What the browser keeps for the page. Where it does not let the page keep anything, the page
// remembers by itself, for as long as it is open.

class Storage {
  constructor(name) {
    this.name = name;
    this.unkept = new Map();
  }

  /** The text under `key`, or null. */
  get(key) {
    if (this.unkept.has(key)) return this.unkept.get(key);
    try {
      return globalThis[this.name].getItem(key);
    } catch {
      return null;
    }
  }

  /** Keeps `text` under `key`; null takes it away. Returns whether it outlasts the page. */
  set(key, text) {
    try {
      if (text === null) globalThis[this.name].removeItem(key);
      else globalThis[this.name].setItem(key, text);
      this.unkept.delete(key);
      return true;
    } catch {
      this.unkept.set(key, text);
      return false;
    }
  }

  /** Whether what is under `key` is gone with the page. */
  isUnkept(key) {
    return this.unkept.has(key);
  }
}

/** For this tab. */
export const ofTab = new Storage('sessionStorage');

/** For this browser. */
export const ofBrowser = new Storage('localStorage');
