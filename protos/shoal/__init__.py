"""Shoal's published interface definitions."""
