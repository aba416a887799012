"""``shoal ingest --ray``: many files, embedded by several workers of a Ray cluster (https://docs.ray.io)."""
