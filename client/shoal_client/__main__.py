"""``python -m shoal_client``: the command line ``shoal``."""

from shoal_client.cli import main

if __name__ == "__main__":
    main()
