"""What can be asked of a collection, an area a file; :class:`shoal_client.AsyncCollection` is all of them."""
