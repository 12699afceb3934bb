// Counts visits in Tidemark and answers with the counts by path. The binding speaks the same HTTP
// as the public address; of the URL only path and parameters matter. The database `site` is created
// by the first write and keeps its points for three days: `CREATE DATABASE site` keeps them for ever.

/** A request to Tidemark, with the token. */
async function ask(env, path, body) {
  const headers = { Authorization: `Token ${env.TIDEMARK_TOKEN}` };
  const init = { method: 'POST', headers, body };
  const response = await env.TIDEMARK.fetch(`https://tidemark${path}`, init);
  if (!response.ok) throw new Error(`Tidemark answered ${response.status}: ${await response.text()}`);
  return response;
}

/** A tag's value as line protocol has it. */
const escaped = (text) => text.replace(/[,= ]/g, '\\$&');

export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    await ask(env, '/write?db=site', `visits,path=${escaped(pathname)},id=${crypto.randomUUID()} n=1i`);
    const q = 'SELECT sum(n) FROM visits GROUP BY path';
    const answer = await ask(env, '/query?db=site', new URLSearchParams({ q }));
    const { series = [] } = (await answer.json()).results[0];
    return Response.json(series.map(({ tags, values }) => [tags.path, values[0][1]]));
  },
};
