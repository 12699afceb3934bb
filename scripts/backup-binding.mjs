// Adds a bucket for backups to the configuration. The committed wrangler.toml has no bucket.

/** In development, the bucket is local. */
export function withBucket(configuration) {
  const bucket = { binding: 'BACKUPS', bucket_name: 'tidemark-backups' };
  return { ...configuration, r2_buckets: [...(configuration.r2_buckets ?? []), bucket] };
}
