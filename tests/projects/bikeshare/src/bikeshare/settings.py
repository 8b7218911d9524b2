"""Nothing to set."""
