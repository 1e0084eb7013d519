"""Motion sources, synthetic cameras, detector noise and training windows."""
