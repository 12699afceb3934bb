// Counts visits in Tidemark and answers with the counts by path. Visits of many requests are written together, a
// second after the first of them. The database `site` is created by the first write and keeps its points for three
// days: `CREATE DATABASE site` keeps them for ever. `npm install tidemark` has the client.

import { env } from 'cloudflare:workers';
import { Tidemark } from 'tidemark/client';

const site = new Tidemark({ binding: env.TIDEMARK, token: env.TIDEMARK_TOKEN, database: 'site' });

export default {
  async fetch(request, _env, context) {
    const { pathname } = new URL(request.url);
    if (pathname === '/counts') {
      const [series] = await site.query('SELECT sum(n) FROM visits GROUP BY path');
      return Response.json(series.map(({ tags, values }) => [tags.path, values[0][1]]));
    }
    site.write({ measurement: 'visits', tags: { path: pathname }, fields: { n: 1n } }, context);
    return new Response(`${pathname} was visited\n`);
  },
};
