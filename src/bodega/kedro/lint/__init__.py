"""What would be lost, clash or stop a run, found before anything runs."""
