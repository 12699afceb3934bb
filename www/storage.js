// The browser's storage for the page. If the browser denies storage, the page keeps the values in
// memory while it is open.

class Storage {
  constructor(name) {
    this.name = name;
    this.unkept = new Map();
  }

  get(key) {
    if (this.unkept.has(key)) return this.unkept.get(key);
    try {
      return globalThis[this.name].getItem(key);
    } catch {
      return null;
    }
  }

  /** Null deletes the value. Returns whether the value remains after the page is closed. */
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

  /** Returns whether the value is lost when the page is closed. */
  isUnkept(key) {
    return this.unkept.has(key);
  }
}

export const ofTab = new Storage('sessionStorage');

export const ofBrowser = new Storage('localStorage');
