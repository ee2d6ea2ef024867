"""deploykit under torture: damaged files, kills, writes that fail, hostile data; see `__main__`."""
