//! What a shard refuses, remembers and gives back.
