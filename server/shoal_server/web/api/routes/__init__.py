"""The routes, a module for each resource: request to use case to answer."""
