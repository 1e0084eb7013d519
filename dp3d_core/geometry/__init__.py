"""From pixels to what the network sees, and from its poses to metres in the camera."""
