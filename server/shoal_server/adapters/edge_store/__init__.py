"""The vector store inside this process: Qdrant's own engine (Qdrant Edge) on a data folder."""

from shoal_server.adapters.edge_store.store import EdgeStore

__all__ = ["EdgeStore"]
