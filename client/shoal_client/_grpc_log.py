"""Keeps gRPC's core from writing lines of its own to standard error; read once, when gRPC is imported.

They tell of sockets and files inside gRPC, one for every stranger who sends something else than TLS, and nobody can do
anything about them. What went wrong with a call is in its exception. Whoever wants them sets the variable.
"""

from __future__ import annotations

import os

os.environ.setdefault("GRPC_VERBOSITY", "NONE")
