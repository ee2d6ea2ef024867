from __future__ import annotations


def test_zfnet_has_alexnets_layers_and_vgg_has_not(verdict_of):
    verdict = verdict_of("zfnet-is-tuned-alexnet")
    assert verdict.verdict == "confirmed"
    assert "11x11/4 96 channels became 7x7/2 96 channels" in verdict.outcome.explanation
    assert verdict_of("zfnet-is-tuned-alexnet", network="vgg11").verdict == "refuted"


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
    assert verdict_of("googlenet-9-inception").verdict == "confirmed"
    assert list(verdict_of("googlenet-9-inception", modules=10).holds.values()) == [False, True]
    assert list(verdict_of("googlenet-9-inception", stages=4).holds.values()) == [True, False]
    assert verdict_of("googlenet-9-inception", network="squeezenet1_0").verdict == "refuted"
