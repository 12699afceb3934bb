// Counts visits by path. The client (`npm install tidemark`) writes the visits of many requests one
// second after the first visit. The first write creates the database `site`, which keeps points for
// three days. To keep them permanently, run `CREATE DATABASE site` first.

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
