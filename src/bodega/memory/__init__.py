"""The only place that maps, locks and links files."""
