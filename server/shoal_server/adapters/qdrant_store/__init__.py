"""The vector store on a Qdrant server or cluster."""

from shoal_server.adapters.qdrant_store.store import QdrantStore

__all__ = ["QdrantStore"]
