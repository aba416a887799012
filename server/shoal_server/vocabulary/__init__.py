"""Words that clusters can be named with: ``en.txt``, read by :func:`shoal_server.domain.naming.parse_vocabulary`."""
