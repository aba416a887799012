"""A stand-in for a Qdrant server, for tests: a process that speaks its API, over qdrant-client's local mode.

``python -m tests.standin --port 0 --grpc-port 0 --folder DIR --ready-file FILE`` starts one. It answers errors as a
server does, over gRPC and REST, keeps what it acknowledged over ``kill -9``, counts calls, and makes the faults that it
is told to make (:mod:`tests.standin.faults`). What it does not understand it refuses with ``UNIMPLEMENTED``. It
searches exactly and builds no index: it says nothing about a server's speed or recall.
"""
