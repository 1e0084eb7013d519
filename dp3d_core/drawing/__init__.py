"""Skeletons as pictures: over the video and in a scene seen from two sides."""
