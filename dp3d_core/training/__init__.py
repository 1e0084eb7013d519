"""What `dp3d_core.training.run` is made of: a step's question, its state on disk, its report."""
