from __future__ import annotations


def test_zfnet_has_alexnets_layers_and_vgg_has_not(verdict_of):
    verdict = verdict_of("zfnet-is-tuned-alexnet")
    assert verdict.holds["layers with weights and pools"] is True
    assert "11x11/4 96 channels became 7x7/2 96 channels" in verdict.outcome.explanation
    vgg = verdict_of("zfnet-is-tuned-alexnet", network="vgg11")
    assert (vgg.verdict, list(vgg.holds.values())) == ("refuted", [False, False])


def test_where_normalisations_stand_is_no_hyper_parameter(verdict_of):
    """ZFNet normalises after its pools and AlexNet before them, which the claim did not look at."""
    verdict = verdict_of("zfnet-is-tuned-alexnet")
    assert (verdict.verdict, verdict.as_expected) == ("in context", True)
    assert verdict.holds["normalisations and activations too"] is False
    assert verdict.outcome.evidence["first other layer"] == "3: pool for LocalResponseNorm"
    towers = verdict_of("zfnet-is-tuned-alexnet", network="alexnet_one_tower")
    assert (towers.verdict, towers.outcome.computed) == ("confirmed", "same layers, other sizes")
    bare = verdict_of("zfnet-is-tuned-alexnet", network="alexnet_owt")
    assert list(bare.holds.values()) == [True, False]


def test_networks_of_one_plan_were_not_searched_one_by_one(verdict_of):
    assert verdict_of("efficientnet-nas-every-scale").verdict == "refuted"
    two = ["efficientnet_b0", "mobilenet"]
    assert verdict_of("efficientnet-nas-every-scale", networks=two).verdict == "confirmed"


def test_all_three_sizes_must_grow_at_each_step(verdict_of):
    verdict = verdict_of("efficientnet-compound")
    assert verdict.verdict == "in context"
    assert verdict.holds["efficientnet_b0 to efficientnet_b7"] is True
    assert verdict.holds["efficientnet_b0 to efficientnet_b1"] is False
    assert "width from efficientnet_b0 to efficientnet_b1" in verdict.outcome.explanation
    assert "depth from efficientnet_b1 to efficientnet_b2" in verdict.outcome.explanation
    two = verdict_of("efficientnet-compound", networks=["efficientnet_b2", "efficientnet_b3"])
    assert two.verdict == "confirmed"
    back = verdict_of("efficientnet-compound", networks=["efficientnet_b3", "efficientnet_b0"])
    assert back.verdict == "refuted"


def test_modules_and_stages_are_counted(verdict_of):
    def holds(**arguments):
        return list(verdict_of("googlenet-9-inception", **arguments).holds.values())

    assert holds() == [True, False]
    assert holds(modules=10) == holds(stages=4) == [False, False]
    assert verdict_of("googlenet-9-inception", network="squeezenet1_0").verdict == "refuted"


def test_the_modules_are_in_three_of_the_five_stages(verdict_of):
    """The statement was turned round until it said nothing of where the modules are."""
    verdict = verdict_of("googlenet-9-inception")
    assert (verdict.verdict, verdict.as_expected) == ("in context", True)
    assert verdict.outcome.evidence["joined_at_px"] == "28, 14, 7"
    three = verdict_of("googlenet-9-inception", stages=3)
    assert list(three.holds.values()) == [False, True]
