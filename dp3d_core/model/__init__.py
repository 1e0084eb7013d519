"""The DreamPose3D denoiser: action prompts (APL), part prompts (FPP, PTS), affinity, hallucination heads (HPD)."""

from dp3d_core.model.denoiser import Denoiser, Prediction
from dp3d_core.model.encoder import Encoded, Encoder

__all__ = ["Denoiser", "Encoded", "Encoder", "Prediction"]
