"""``python -m shoal_server``: Shoal's server on its own."""

from shoal_server.cli import main

# The worker process, being spawned, imports this module again.
if __name__ == "__main__":
    main()
