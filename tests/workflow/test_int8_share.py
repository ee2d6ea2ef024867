"""Every convolution of an int8 engine for TensorRT-RTX computes in INT8, says the build's layer listing.

VGG-16 takes 64 px here instead of 224: the layers are the same ones, and calibrating them takes a tenth of the
time.
"""

from __future__ import annotations

import pytest

from deploykit.backends import get
from deploykit.backends.building import precision_share
from deploykit.spec import BuildOptions, ModelSpec
from deploykit.workflow.build import build_network
from deploykit.workflow.choices import CalibrationChoice
from deploykit.workflow.network import obtain_network

BACKEND = get("tensorrt-rtx")
NETWORKS = {
    "mobilenet": ModelSpec("mobilenet"),
    "resnet50": ModelSpec("resnet50"),
    "squeezenet1_0": ModelSpec("squeezenet1_0"),
    "vgg16": ModelSpec("vgg16", resolution_px=64),
}
#: Those that take seconds.
QUICK = {"mobilenet", "squeezenet1_0"}
#: Convolutions and matrix products of each.
PRODUCTS = {"mobilenet": 28, "resnet50": 54, "squeezenet1_0": 26, "vgg16": 16}


@pytest.mark.skipif(BACKEND.available() is not None, reason="tensorrt-rtx is not installed")
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in QUICK else pytest.mark.proof)
        for name in sorted(NETWORKS)
    ],
)
def test_no_convolution_falls_back_to_another_type(name, shared_store):
    network = obtain_network(NETWORKS[name], shared_store)
    choice = CalibrationChoice(images=1)
    built = build_network(network, "int8", BACKEND, BuildOptions(), choice, shared_store)
    types = built.engine.manifest["compute_types"]
    assert {kind: len(nodes) for kind, nodes in types.items()} == {"int8": PRODUCTS[name]}
    assert precision_share(types, "int8") == 1.0
