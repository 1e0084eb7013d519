"""Uses of the network as a prior of human motion: generate, complete, fit."""
