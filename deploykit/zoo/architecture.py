"""What the catalogue states about one architecture."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Architecture:
    """Stored facts of one architecture; the figures hold at its canonical input and alpha 1.

    Third parties add their own by the entry point group `deploykit.models`, each entry an instance
    of this class; its module should be light, because listing the catalogue imports it.

    Attributes:
        name: what it is asked for by.
        family: networks that share a definition.
        year: of the paper's first publication.
        paper: authors' short title, and arXiv number or venue.
        factory: "module:function"; the function takes `num_classes` as a keyword, `alpha` too where
            `has_alpha`, and returns a `torch.nn.Module`.
        channels, resolution_px: of the canonical input, which is square.
        min_resolution_px: the smallest square input that the network can process.
        num_classes: of the canonical head.
        has_alpha: whether a width multiplier is defined.
        has_rho: whether inputs other than `resolution_px` are possible.
        parameters, macs: counted, see `deploykit.spec.Counts`.
        summary: what sets it apart, in a sentence.
        aliases: other names.
        reference: public implementation with the same state_dict keys, such as "torchvision/alexnet";
            empty where there is none.
    """

    name: str
    family: str
    year: int
    paper: str
    factory: str
    channels: int
    resolution_px: int
    min_resolution_px: int
    num_classes: int
    has_alpha: bool
    has_rho: bool
    parameters: int
    macs: int
    summary: str
    aliases: tuple[str, ...] = ()
    reference: str = ""

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """The canonical input: channels, height and width."""
        return (self.channels, self.resolution_px, self.resolution_px)
