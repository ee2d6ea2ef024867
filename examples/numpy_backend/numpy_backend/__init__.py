"""A backend and an architecture for deploykit, as a package of one's own."""
