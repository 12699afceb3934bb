// The navigation of the documentation site: each page of `docs/` with its title, in reading order.
// A page that is not listed is an error (scripts/site/pages.mjs).

/** Returns an entry. `page` is a path in `docs/`, or from the root with a leading slash. */
const entry = (text, page) => ({ text, page });

export const sidebar = [
  {
    text: 'Start',
    items: [
      entry('Overview', 'index.md'),
      entry('Clients', 'CLIENTS.md'),
      entry('The console', 'CONSOLE.md'),
      entry('In a browser, without a server', 'BROWSER.md'),
    ],
  },
  {
    text: 'Guides',
    items: [
      entry('Moving from InfluxDB', 'MOVING.md'),
    ],
  },
  {
    text: 'Reference',
    items: [
      entry('Settings and limits', 'SETTINGS.md'),
      entry('SQL', 'SQL.md'),
      entry('Arrow Flight', 'FLIGHT.md'),
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
