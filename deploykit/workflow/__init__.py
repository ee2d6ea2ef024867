"""What the commands do, as functions: each command of the CLI is one call into this package."""
