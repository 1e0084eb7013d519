"""What every node shares: parameters, publishers, the main loop."""
