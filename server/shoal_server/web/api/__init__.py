"""The JSON API of the explorer: the use cases of the gRPC API, over HTTP."""
