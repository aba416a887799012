"""The transport: gRPC in, use cases called, gRPC out. No rule of Shoal lives here."""
