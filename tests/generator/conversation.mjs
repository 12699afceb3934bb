// Records the requests and responses with which the rules judge a difference, so that a test can
// replay them without a server.

/** The rules create these databases. Their numbers follow the order of their first use. */
const SCRATCH = /\bstored\d+\b/g;
const MADE_AGAIN = /^(?:CREATE|DROP) DATABASE /;
const DONE = [200, '{"results":[{"statement_id":0}]}\n'];

function named() {
  const names = new Map();
  return (text) =>
    text.replaceAll(SCRATCH, (name) => {
      if (!names.has(name)) names.set(name, `stored-${names.size + 1}`);
      return names.get(name);
    });
}

const keyOf = (who, name, text, database = 'db') => `${who} ${name(database)}: ${name(text)}`;

/** Passes the requests of several judgements to an environment of `compare.mjs`. */
export class Conversation {
  answers = {};
  /** A request with different responses cannot be replayed. */
  steady = true;

  constructor(env) {
    this.env = env;
  }

  listen() {
    const name = named();
    const heard = (who) => async (text, database) => {
      const answer = await this.env[who](text, database);
      if (!MADE_AGAIN.test(text)) this.keep(keyOf(who, name, text, database), answer);
      return answer;
    };
    const [real, own] = [heard('real'), heard('own')];
    return { ...this.env, real, own, both: both(real, own), known: new Map() };
  }

  keep(key, answer) {
    const known = this.answers[key];
    if (known && JSON.stringify(known) !== JSON.stringify(answer)) this.steady = false;
    this.answers[key] = answer;
  }
}

/** The environment throws if a request was not recorded. */
export function replay(answers) {
  const name = named();
  const say = (who) => async (text, database) => {
    if (MADE_AGAIN.test(text)) return DONE;
    const answer = answers[keyOf(who, name, text, database)];
    if (!answer) throw new Error(`never asked: ${keyOf(who, name, text, database)}`);
    return answer;
  };
  const [real, own] = [say('real'), say('own')];
  const data = { measurements: [], days: [] };
  return { real, own, both: both(real, own), write: async () => {}, data, known: new Map() };
}

const both = (real, own) => (text) => Promise.all([real(text), own(text)]);
