"""The command line ``shoal``."""

from shoal_client.cli.app import app, main

__all__ = ["app", "main"]
