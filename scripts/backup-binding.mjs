// A bucket for backups: the committed wrangler.toml does without one.

/** What `parse` makes of wrangler.toml, with a bucket, which is local in development. */
export function withBucket(configuration) {
  const bucket = { binding: 'BACKUPS', bucket_name: 'tidemark-backups' };
  return { ...configuration, r2_buckets: [...(configuration.r2_buckets ?? []), bucket] };
}
