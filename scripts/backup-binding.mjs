// Adds a bucket for backups to the configuration. The committed wrangler.toml has no bucket.

/** Returns the parsed wrangler.toml with a bucket binding. In development the bucket is local. */
export function withBucket(configuration) {
  const bucket = { binding: 'BACKUPS', bucket_name: 'tidemark-backups' };
  return { ...configuration, r2_buckets: [...(configuration.r2_buckets ?? []), bucket] };
}
