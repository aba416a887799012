"""Batches form behind the :class:`Embedder` port: concurrent callers share a pass of the model."""

from shoal_server.adapters.batching.embedder import BatchingEmbedder

__all__ = ["BatchingEmbedder"]
