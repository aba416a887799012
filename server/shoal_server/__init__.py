"""Shoal's server: images in, stable clusters out."""
