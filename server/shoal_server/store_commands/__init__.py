"""Commands about what a server stores, for when it does not run."""
