from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given, settings
from hypothesis import strategies as st

from deploykit.zoo.blocks import GridPool, LocalResponseNorm


@settings(deadline=None)
@given(
    st.integers(min_value=1, max_value=7),
    st.integers(min_value=1, max_value=17),
    st.integers(min_value=1, max_value=17),
)
def test_grid_pool_is_adaptive_average_pooling(cells: int, height: int, width: int) -> None:
    x = torch.randn(2, 3, height, width)
    expected = F.adaptive_avg_pool2d(x, cells)
    torch.testing.assert_close(GridPool(cells)(x), expected)


def test_grid_pool_does_nothing_where_the_grid_is_there() -> None:
    x = torch.randn(1, 2, 6, 6)
    assert GridPool(6)(x) is x


def test_local_response_norm_is_the_formula() -> None:
    x = torch.randn(1, 6, 2, 2)
    y = LocalResponseNorm(3, alpha=0.3, beta=0.75, bias=2.0)(x)
    summed = (x[:, 1:4] ** 2).sum(1)  # around channel 2
    torch.testing.assert_close(y[:, 2], x[:, 2] / (2 + 0.3 / 3 * summed) ** 0.75)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_local_response_norm_runs_in_types_that_have_no_such_pooling_here(dtype) -> None:
    x = (torch.randn(1, 6, 2, 2) * 300).to(dtype)  # whose squares float16 does not hold
    module = LocalResponseNorm(3, alpha=0.3, beta=0.75, bias=2.0)
    found, exact = module(x), module(x.double())
    assert found.dtype == dtype
    torch.testing.assert_close(found.double(), exact, rtol=0.01, atol=0)


@pytest.mark.filterwarnings("ignore")  # the exporter's own
def test_local_response_norm_leaves_as_onnxs_own_operator() -> None:
    pytest.importorskip("onnxscript")
    from torch import nn

    module = nn.Sequential(nn.Conv2d(3, 8, 3), LocalResponseNorm(5, 5e-4, 0.75, 2.0)).eval()
    images = torch.randn(2, 3, 9, 9)
    batch = {0: torch.export.Dim("batch")}
    program = torch.onnx.export(
        module, (images,), dynamo=True, dynamic_shapes=(batch,), verbose=False
    )
    assert program is not None
    nodes = list(program.model.graph)
    assert [node.op_type for node in nodes] == ["Conv", "LRN"]
    assert nodes[1].attributes["size"].value == 5
    assert nodes[1].attributes["alpha"].value == pytest.approx(5e-4)
