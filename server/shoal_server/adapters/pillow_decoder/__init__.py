"""Decoding with Pillow: a file's bytes to upright sRGB pixels, metadata, thumbnail and perceptual hash."""

from shoal_server.adapters.pillow_decoder.decoder import PillowDecoder

__all__ = ["PillowDecoder"]
