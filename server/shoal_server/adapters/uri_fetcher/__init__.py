"""Reads files by URI: from allow-listed folders, and, if that is switched on, from public web addresses."""

from shoal_server.adapters.uri_fetcher.fetcher import UriFetcher

__all__ = ["UriFetcher"]
