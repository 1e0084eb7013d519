"""What `dp3d_core.evaluation.evaluate` and its kin are made of: protocols, methods, scores, tables."""
