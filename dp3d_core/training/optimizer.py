"""The optimiser of a training run: Muon for the matrices of the blocks, AdamW for everything else.

Muon makes each step of a matrix orthogonal before it is taken (Jordan et al., 2024), here with the size that AdamW's
steps have, so that one learning rate serves both. Knows no losses and no data.
"""

import torch

BLOCKS = ("spatial", "temporal", "to_frame")
"""Modules of the encoder whose matrices Muon trains."""
LEFT_TO_ADAMW = ("film", "affinity")
"""Parts of these that begin at zero or as a graph: their steps have no direction to keep apart."""


class MuonAdamW:
    """Both optimisers as one: the parts of `torch.optim.Optimizer` that a training run uses."""

    def __init__(self, encoder, *, learning_rate, weight_decay):
        matrices, decayed, plain = [], [], []
        for name, parameter in encoder.named_parameters():
            of_block = name.startswith(BLOCKS) and not any(part in name for part in LEFT_TO_ADAMW)
            kind = plain if parameter.dim() < 2 else matrices if of_block and parameter.dim() == 2 else decayed
            kind.append(parameter)
        self.count = len(matrices)
        self.parts = (
            torch.optim.Muon(
                matrices, lr=learning_rate, weight_decay=weight_decay, momentum=0.95, adjust_lr_fn="match_rms_adamw"
            ),
            torch.optim.AdamW(
                [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}],
                lr=learning_rate,
                betas=(0.9, 0.98),
            ),
        )

    @property
    def param_groups(self):
        """The groups of both."""
        return [group for part in self.parts for group in part.param_groups]

    def step(self):
        """One step of every parameter with a gradient."""
        for part in self.parts:
            part.step()

    def zero_grad(self, set_to_none=True):
        """Forget the gradients."""
        for part in self.parts:
            part.zero_grad(set_to_none=set_to_none)

    def state_dict(self):
        """{"state": {index: {name: tensor}}}: Muon's matrices first."""
        muon, adamw = (part.state_dict()["state"] for part in self.parts)
        return {"state": muon | {index + self.count: state for index, state in adamw.items()}}

    def load_state_dict(self, saved):
        """Take back what `state_dict` gave; learning rates stay as they are."""
        muon = {index: state for index, state in saved["state"].items() if index < self.count}
        adamw = {index - self.count: state for index, state in saved["state"].items() if index >= self.count}
        for part, state in zip(self.parts, (muon, adamw)):
            part.load_state_dict({"state": state, "param_groups": part.state_dict()["param_groups"]})
