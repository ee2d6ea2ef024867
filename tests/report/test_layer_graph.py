"""The graph of layers: where boxes lie, and what each says."""

from __future__ import annotations

import re
from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from deploykit.report.page import Contents, render
from deploykit.report.page.layer_graph import layers_section
from deploykit.report.page.layering import NODE_HEIGHT, NODE_WIDTH, lay_out

#: Graphs of up to 14 nodes, each of which reads some of those before it.
GRAPHS = st.integers(1, 14).flatmap(
    lambda count: st.tuples(
        *(st.lists(st.integers(0, max(0, at - 1)), max_size=min(at, 3)) for at in range(count))
    )
)


@given(GRAPHS)
def test_boxes_never_overlap_and_stand_below_what_they_read(graph):
    reads = {str(at): [str(source) for source in sources] for at, sources in enumerate(graph)}
    layout = lay_out(reads)
    for (ax, ay), (bx, by) in combinations(layout.places.values(), 2):
        assert abs(ax - bx) >= NODE_WIDTH - 1e-6 or abs(ay - by) >= NODE_HEIGHT
    for name, sources in reads.items():
        for source in set(sources) - {name}:
            (ax, ay), (bx, by) = layout.places[source], layout.places[name]
            # Below, or at the top of a column that begins beyond it.
            assert ay + NODE_HEIGHT < by or ax + NODE_WIDTH < bx
            route = layout.routes[source, name]
            assert route[0] == (ax + NODE_WIDTH / 2, ay + NODE_HEIGHT)
            assert route[-1] == (bx + NODE_WIDTH / 2, by)
    assert all(0 <= x <= layout.width - NODE_WIDTH + 1e-6 for x, _ in layout.places.values())


def test_a_branch_stands_under_the_middle_of_what_it_reads_from():
    layout = lay_out({"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]})
    middle = {name: x + NODE_WIDTH / 2 for name, (x, _) in layout.places.items()}
    assert abs(middle["a"] - (middle["b"] + middle["c"]) / 2) < 1
    assert abs(middle["a"] - middle["d"]) < 1


def test_a_deep_graph_stands_in_columns():
    reads = {str(at): [str(at - 1)] if at else [] for at in range(100)}
    layout = lay_out(reads)
    columns = {x for x, _ in layout.places.values()}
    assert 3 <= len(columns) <= 10
    assert layout.height < 100 * NODE_HEIGHT / 2
    assert 0.5 < layout.width / layout.height < 3


def test_a_graph_in_which_all_read_all_is_one_column_of_straight_edges():
    reads = {str(at): [str(source) for source in range(at)] for at in range(60)}
    layout = lay_out(reads)
    assert len({x for x, _ in layout.places.values()}) == 1
    assert len(layout.routes) == 60 * 59 / 2
    assert all(len(route) == 2 for route in layout.routes.values())


def test_a_circle_and_unknown_names_do_no_harm():
    layout = lay_out({"a": ["b", "nobody"], "b": ["a"]})
    assert set(layout.routes) == {("a", "b")}


def row(node, reads="", **values):
    return {
        "node": node,
        "op_type": "Conv",
        "added": False,
        "reads": reads,
        "time_ms": 1.0,
        **values,
    }


def test_a_box_tells_time_precision_and_drift_and_a_fused_one_that_it_is():
    rows = [
        row("conv", time_ms=4.0, computes_in="int8", drift_snr_db=20.0),
        row("relu", "conv", op_type="Relu", time_ms=None, fused_into="conv"),
        row("cast", added=True, op_type="Cast", time_ms=0.1),
    ]
    text = layers_section([("int8", rows)])
    boxes = re.findall(r'<g class="node".*?</g>', text, re.S)
    assert len(boxes) == 3
    assert 'data-time="q6"' in boxes[0]
    assert 'data-precision="p2"' in boxes[0]
    assert "20.0 dB" in boxes[0]
    assert "fused" in boxes[1]
    assert "data-time" not in boxes[1]
    assert 'class="added"' in boxes[2]
    assert text.count('class="s muted edge"') == 1


def test_rows_without_edges_stand_in_their_order_and_it_is_said():
    rows = [{"node": name, "op_type": "Conv", "time_ms": 1.0} for name in "abc"]
    text = layers_section([("old.csv", rows)])
    assert text.count('class="s muted edge"') == 2
    assert "old.csv does not tell which layer reads which" in text


def test_node_names_are_text():
    name = "<script>alert(1)</script>\x1b]0;title\x07"
    text = render(Contents("layers", layers=[(name, [row(name, module=name, op_type=name)])]))
    assert "<script>alert" not in text
    assert "\x1b" not in text
    assert "\x07" not in text
    assert text.count("<script>") == 1
