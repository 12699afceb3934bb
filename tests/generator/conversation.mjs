// What was asked while answers were judged, and what was answered: kept, so that the rules are tried
// again without any server.

/** Databases that the rules made, by the order in which a judgement names them. */
const SCRATCH = /\bstored\d+\b/g;
const MADE_AGAIN = /^(?:CREATE|DROP) DATABASE /;
const DONE = [200, '{"results":[{"statement_id":0}]}\n'];

/** Names scratch databases alike in each judgement. */
function named() {
  const names = new Map();
  return (text) =>
    text.replaceAll(SCRATCH, (name) => {
      if (!names.has(name)) names.set(name, `stored-${names.size + 1}`);
      return names.get(name);
    });
}

const keyOf = (who, name, text, database = 'db') => `${who} ${name(database)}: ${name(text)}`;

/** The questions of several judgements of one query, over an environment of `compare.mjs`. */
export class Conversation {
  answers = {};
  /** Whether a question had always the same answer; only then it can be asked again. */
  steady = true;

  constructor(env) {
    this.env = env;
  }

  /** The environment of one judgement. */
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

/** The environment of one judgement, as it was; throws for what was not asked then. */
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
