// Generates the page of metrics and alerts from the code and from the rules for Prometheus.

import { readFileSync } from 'node:fs';

import { at } from '../project.mjs';
import { code, generatedBy, table } from './reference_markdown.mjs';
import { moduleText } from './rust_source.mjs';

const introduction = `# Metrics and alerts

This page is for operators who monitor Tidemark with Prometheus. [Alerting](../guides/alerting.md) describes the setup.

## Metrics

\`GET /metrics?db=mydb\` returns these metrics. The name of a counter ends with \`_total\` in the output. Counters of the database's own object restart at zero when the object starts again.
`;

const durations = `The native program also returns \`tidemark_failed_commits_total\`, the number of failed commits of all databases since the start of the
program. \`/health\` contains the cause while the last commit failed.

With \`COUNT_DURATIONS\`, the default of the native program with one thread, the response also contains the histograms \`tidemark_write_duration_seconds\` and
\`tidemark_query_duration_seconds\` with the label \`database\`. The histograms measure the time from the first byte of a request to the last byte of the response.
`;

/** The labels of each series of SHOW STATS. */
const labels = {
  database: ['database'],
  quota: ['database', 'limit', 'token', 'user'],
  shard: ['database', 'retention_policy', 'shard'],
  usage: ['database', 'day'],
};

/** Returns the table rows in OPERATING.md that describe what to do, by alert. */
function actions() {
  const page = readFileSync(at('docs', 'OPERATING.md'), 'utf8');
  return new Map([...page.matchAll(/^\| `(Tidemark\w+)` \| (.*) \|$/gm)].map(([, alert, text]) => [alert, text]));
}

export async function metricsPage() {
  const { parse } = await import('yaml');
  const source = moduleText('crates/server/src/routes/metrics.rs');
  const pattern = /\("(\w+)", "(\w+)", "(\w+)", Kind::(\w+),\s+"([^"]+)"\)/g;
  const rows = [...source.matchAll(pattern)].map(([, series, , name, kind, help]) =>
    [code(kind === 'Counter' ? `${name}_total` : name), kind.toLowerCase(), labels[series].map(code).join(', '), help]);
  if (rows.length === 0) throw new Error('metrics.rs has no metrics');
  const { groups } = parse(readFileSync(at('examples', 'prometheus', 'alerts.yml'), 'utf8'));
  const steps = actions();
  const alerts = groups.flatMap(({ rules }) => rules).map(({ alert, expr, for: during }) => {
    const action = steps.get(alert);
    if (!action) throw new Error(`docs/OPERATING.md has no action for ${alert}`);
    const local = action.replaceAll('](#', '](../OPERATING.md#');
    return `### ${alert}\n\n\`\`\`text\n${expr.trim()}\n\`\`\`\n\nThe condition must be true for ${during}. ${local}\n`;
  });
  return [
    generatedBy('the code and the alert rules'),
    introduction,
    table(['metric', 'type', 'labels', 'meaning'], rows),
    durations,
    `## Alerts\n\n[\`alerts.yml\`](../../examples/prometheus/alerts.yml) contains these rules. The annotation \`runbook_url\` of each alert links to the alert's section on this page.\n`,
    ...alerts,
  ].join('\n');
}
