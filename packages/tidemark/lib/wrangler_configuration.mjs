// Generates wrangler's configuration for a deployment.

import { merged } from './deploy_file.mjs';

/**
 * The settings that depend on the plan. An object can store 10 GB on the paid plan and 1 GB on the
 * free plan. This includes up to 512 MB that a merge writes before it deletes the merged parts.
 */
export const planSettings = {
  paid: { SHARD_SPLIT_BYTES: '4000000000', SHARD_FULL_BYTES: '9000000000', CALLS_PER_REQUEST_MAX: '10000' },
  free: { SHARD_SPLIT_BYTES: '200000000', SHARD_FULL_BYTES: '400000000', CALLS_PER_REQUEST_MAX: '1000' },
};

/**
 * Returns the settings for a plan, without the settings that were changed in the dashboard.
 * wrangler keeps a changed value only if the configuration does not contain the setting.
 */
function settingsOf(plan, bindings) {
  const isGenerated = ({ name, text }) => Object.values(planSettings).some((settings) => settings[name] === text);
  const isKept = (name) => bindings.some((one) => one.name === name && one.text && !isGenerated(one));
  return Object.fromEntries(Object.entries(planSettings[plan]).filter(([name]) => !isKept(name)));
}

/**
 * Returns the new bindings and the dashboard's service and bucket bindings. Without this, wrangler
 * would keep only variables and secrets.
 */
function keptBindings(bindings, { services, r2_buckets: buckets }) {
  const isNew = ({ name }) => ![...services, ...buckets].some(({ binding }) => binding === name);
  const kept = (type) => bindings.filter((one) => one.type === type && isNew(one));
  const more = (pairs) => Object.fromEntries(pairs.filter(([, value]) => value !== undefined));
  return {
    services: [...services, ...kept('service').map(({ name, service, entrypoint }) => more([['binding', name], ['service', service], ['entrypoint', entrypoint]]))],
    r2_buckets: [...buckets, ...kept('r2_bucket').map(({ name, bucket_name, jurisdiction }) => more([['binding', name], ['bucket_name', bucket_name], ['jurisdiction', jurisdiction]]))],
  };
}

function addressOf({ domain, workers_dev: wanted }, remote) {
  const isOn = wanted ?? (domain ? false : remote.isWorkersDev);
  return {
    ...(domain && { routes: [{ pattern: domain, custom_domain: true }] }),
    ...(isOn !== undefined && { workers_dev: isOn }),
  };
}

/**
 * Returns the configuration of the main Worker. `base` is the committed configuration with absolute
 * paths, and `remote` is the state of the account. `sqlName` may be null. The free plan does not
 * support `limits`.
 */
export function databaseConfiguration({ base, env, wanted, remote, sqlName, isPaid }) {
  const { env: environments = {}, limits, ...shared } = base;
  const own = merged(shared, environments[env] ?? {});
  const { name, account_id, backups, backups_jurisdiction, location, jurisdiction, placement, vars = {}, wrangler = {} } = wanted;
  const services = [...(own.services ?? []), ...(sqlName ? [{ binding: 'SQL', service: sqlName }] : [])];
  const bucket = { binding: 'BACKUPS', bucket_name: backups, ...(backups_jurisdiction && { jurisdiction: backups_jurisdiction }) };
  const r2_buckets = [...(own.r2_buckets ?? []), ...(backups ? [bucket] : [])];
  const placed = { ...(location && { DEFAULT_LOCATION: location }), ...(jurisdiction && { JURISDICTION: jurisdiction }) };
  const generated = {
    ...own,
    name,
    ...(account_id && { account_id }),
    ...(isPaid && limits && { limits }),
    ...addressOf(wanted, remote),
    ...(placement && { placement: placement === 'smart' ? { mode: 'smart' } : { region: placement } }),
    keep_vars: true,
    secrets: { required: ['ADMIN_TOKEN'] },
    vars: { ...settingsOf(isPaid ? 'paid' : 'free', remote.bindings), ...own.vars, ...placed, ...vars },
    ...keptBindings(remote.bindings, { services, r2_buckets }),
  };
  return merged(generated, wrangler);
}

/** Returns the configuration of the SQL Worker, which has no address. */
export function sqlConfiguration({ base, main, name, accountId }) {
  const { compatibility_date, limits } = base;
  const account = accountId ? { account_id: accountId } : {};
  return { name, main, compatibility_date, limits, ...account, workers_dev: false, preview_urls: false };
}
