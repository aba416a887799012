"""Clusters for other programs: tables in files, and folders with the pictures themselves."""
