"""The vector store on a Qdrant server or cluster."""

from shoal_server.adapters.qdrant_store.changes import QdrantChanges
from shoal_server.adapters.qdrant_store.receiving import QdrantReceiver
from shoal_server.adapters.qdrant_store.store import QdrantStore
from shoal_server.adapters.qdrant_store.tuning import Tuning

__all__ = ["QdrantChanges", "QdrantReceiver", "QdrantStore", "Tuning"]
