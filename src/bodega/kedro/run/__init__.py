"""What happens while a pipeline runs: hooks, runners and their workers, which run it is, what a retry skips."""
