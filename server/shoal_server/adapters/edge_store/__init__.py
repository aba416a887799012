"""The vector store inside this process: Qdrant's own engine (Qdrant Edge) on a data folder."""

from shoal_server.adapters.edge_store.backing_up import OpenFolder, closed_folder
from shoal_server.adapters.edge_store.receiving import EdgeReceiver
from shoal_server.adapters.edge_store.restoring import Restored, restore
from shoal_server.adapters.edge_store.store import EdgeStore

__all__ = ["EdgeReceiver", "EdgeStore", "OpenFolder", "Restored", "closed_folder", "restore"]
