"""The composition root: the only room that names adapters. Reads settings, builds, connects, lets go."""

from shoal_server.bootstrap.models import load_engine
from shoal_server.bootstrap.moving import migrating
from shoal_server.bootstrap.serving import Listening, running

__all__ = ["Listening", "load_engine", "migrating", "running"]
