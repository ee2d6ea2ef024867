"""What the catalogue says of the network: this module is imported to list the catalogue, and imports no PyTorch."""

from __future__ import annotations

from deploykit.zoo import Architecture

TWO_CONVOLUTIONS = Architecture(
    name="two_convolutions",
    family="example",
    year=2024,
    paper="none: an example",
    factory="numpy_backend.network:two_convolutions",
    channels=1,
    resolution_px=16,
    min_resolution_px=8,
    num_classes=10,
    has_alpha=False,
    has_rho=True,
    parameters=1418,
    macs=23200,
    summary="Two convolutions and a linear layer.",
)
