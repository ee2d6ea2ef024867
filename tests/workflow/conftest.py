from __future__ import annotations

from fractions import Fraction

import pytest

from deploykit.spec import ModelSpec
from deploykit.store import Store
from deploykit.workflow.network import Network, obtain_network

TRAINED = ModelSpec("lenet5", weights="trained")
SMALL = ModelSpec("mobilenet", alpha=0.25, rho=Fraction(4, 7))


@pytest.fixture
def trained(shared_store: Store) -> Network:
    """LeNet-5 with the weights that come with the package: it knows its data set."""
    return obtain_network(TRAINED, shared_store)


@pytest.fixture
def untrained(shared_store: Store) -> Network:
    """A small MobileNet with random weights."""
    return obtain_network(SMALL, shared_store)
