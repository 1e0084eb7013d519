"""The DreamPose3D denoiser: action prompts (APL), part prompts (FPP, PTS), affinity, hallucination heads (HPD)."""

from dp3d_core.model.denoiser import Denoiser, Prediction

__all__ = ["Denoiser", "Prediction"]
