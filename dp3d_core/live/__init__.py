"""A live stream, from keypoints to skeletons: who is there, what is known of them, one batch for everybody."""
