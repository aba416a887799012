"""Shoal's API, generated from the protos beside this file."""
