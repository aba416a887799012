"""HTTP: what machines that watch a server ask for."""
