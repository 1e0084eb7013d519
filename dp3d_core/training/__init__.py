"""What `dp3d_core.train` is made of: a step's question, its state on disk, its report."""
