// The navigation of the documentation site: each page of `docs/` with its title, in reading order.
// A page that is not listed is an error (scripts/site/pages.mjs).

/** Returns an entry. `page` is a path in `docs/`, or from the root with a leading slash. */
const entry = (text, page) => ({ text, page });

export const sidebar = [
  {
    text: 'Start',
    items: [
      entry('Overview', 'index.md'),
      entry('The first hour', 'start/first-hour.md'),
      entry('Compose with Telegraf and Grafana', 'start/compose.md'),
      entry('The console', 'CONSOLE.md'),
      entry('In a browser, without a server', 'BROWSER.md'),
    ],
  },
  {
    text: 'Clients',
    items: [
      entry('All clients', 'CLIENTS.md'),
      entry('Telegraf', 'start/telegraf.md'),
      entry('Grafana', 'start/grafana.md'),
      entry('Prometheus', 'start/prometheus.md'),
      entry('curl', 'start/curl.md'),
      entry('JavaScript', 'start/javascript.md'),
      entry('Python', 'start/python.md'),
      entry('Go', 'start/go.md'),
      entry('The 1.x shell', 'start/influx-shell.md'),
      entry('Node-RED', 'start/node-red.md'),
      entry('Icinga 2', 'start/icinga.md'),
      entry('Glances', 'start/glances.md'),
      entry('Home Assistant', 'start/home-assistant.md'),
      entry('Another Worker', 'start/worker.md'),
    ],
  },
  {
    text: 'Guides',
    items: [
      entry('Retention and downsampling', 'guides/retention.md'),
      entry('Grafana dashboards', 'guides/dashboards.md'),
      entry('Alerting', 'guides/alerting.md'),
      entry('Many tenants', 'guides/tenants.md'),
      entry('Moving from InfluxDB', 'MOVING.md'),
      entry('Flux, InfluxQL and SQL', 'guides/languages.md'),
      entry('Copies and backups', 'guides/backups.md'),
      entry('Capacity', 'guides/capacity.md'),
    ],
  },
  {
    text: 'Reference',
    items: [
      entry('HTTP API', 'reference/http.md'),
      entry('Commands', 'reference/cli.md'),
      entry('Settings and limits', 'SETTINGS.md'),
      entry('All limits', 'reference/limits.md'),
      entry('InfluxQL', 'reference/influxql.md'),
      entry('SQL', 'SQL.md'),
      entry('Arrow Flight', 'FLIGHT.md'),
      entry('Errors', 'reference/errors.md'),
      entry('Metrics and alerts', 'reference/metrics.md'),
      entry('Compatibility', 'COMPATIBILITY.md'),
    ],
  },
  {
    text: 'Operate',
    items: [
      entry('Deploying to Cloudflare', 'DEPLOYING.md'),
      entry('Hosting on your machine', 'HOSTING.md'),
      entry('Operating a deployment', 'OPERATING.md'),
      entry('Security', 'SECURITY.md'),
      entry('Upgrading', 'UPGRADING.md'),
      entry('Costs', 'COSTS.md'),
      entry('Troubleshooting', 'troubleshooting.md'),
    ],
  },
  {
    text: 'Concepts',
    items: [
      entry('How Tidemark works', 'concepts.md'),
      entry('Questions', 'faq.md'),
    ],
  },
  {
    text: 'Internals',
    items: [
      entry('Design', 'design/README.md'),
      entry('Write path', 'design/write-path.md'),
      entry('Query path', 'design/query-path.md'),
      entry("The shard's store", 'design/shard-store.md'),
      entry('Groups and splits', 'design/groups-and-splits.md'),
      entry('Deletes', 'design/deletes.md'),
      entry('Access', 'design/access.md'),
      entry('Quotas', 'design/quotas.md'),
      entry('Backups', 'design/backups.md'),
      entry('Backup schedules', 'design/backup-schedules.md'),
      entry('Recovery', 'design/recovery.md'),
      entry('Local runtime', 'design/local-runtime.md'),
      entry('Facts about the platform', 'design/platform-facts.md'),
      entry('Threats', 'design/threats.md'),
      entry('Evidence', 'EVIDENCE.md'),
      entry('Contributing', 'repository/CONTRIBUTING.md'),
      entry('Changelog', 'repository/CHANGELOG.md'),
    ],
  },
];
