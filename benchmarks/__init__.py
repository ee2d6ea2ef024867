"""How fast and how small deploykit itself is; `make bench` runs everything and keeps the figures.

Each module has `measure()`, which yields `Result`s; `python -m benchmarks NAME...` runs only those. Targets
are those that the project sets itself; a figure that misses its target is printed as such, not hidden.
"""
