"""What `dp3d_core.evaluate` and its kin are made of: protocols, methods, scores, tables."""
