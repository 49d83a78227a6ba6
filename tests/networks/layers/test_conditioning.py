"""Conditional layers against loops over samples."""

import numpy as np
import pytest
import torch

from saddlepoint.errors import UserError
from saddlepoint.networks.layers.conditioning import (
    AdaIN,
    ConditionalBatchNorm,
    CriticLabels,
    GeneratorLabels,
    join_labels,
)

LABELS = torch.tensor([0, 2, 1, 2, 0])


@pytest.mark.parametrize("images", [True, False])
def test_conditional_batch_norm_has_a_gain_and_a_bias_per_class(images: bool) -> None:
    torch.manual_seed(0)
    layer = ConditionalBatchNorm(4, 3, images=images)
    torch.nn.init.normal_(layer.gain)
    torch.nn.init.normal_(layer.bias)
    x = torch.randn(5, 4, 6, 6) if images else torch.randn(5, 4)
    ours = layer(x, LABELS).detach().numpy()
    values, axes = x.numpy().astype(np.float64), (0, 2, 3) if images else (0,)
    for n, label in enumerate(LABELS.tolist()):
        for c in range(4):
            channel = values[:, c]
            normal = (values[n, c] - channel.mean()) / np.sqrt(channel.var() + 1e-5)
            expected = layer.gain[label, c].item() * normal + layer.bias[label, c].item()
            np.testing.assert_allclose(ours[n, c], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(layer.norm.running_mean.numpy(), 0.1 * values.mean(axes), rtol=1e-4, atol=1e-6)


def test_adain_sets_the_mean_and_standard_deviation_of_each_map() -> None:
    torch.manual_seed(0)
    layer = AdaIN(4, 7)
    torch.nn.init.normal_(layer.affine.bias)
    x, style = 3 + 2 * torch.randn(5, 4, 8, 8), torch.randn(5, 7)
    y = layer(x, style).detach()
    gain, bias = (style @ layer.affine.weight.T + layer.affine.bias).detach().split(4, dim=1)
    torch.testing.assert_close(y.mean((2, 3)), bias, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(y.std((2, 3), correction=0), (1 + gain).abs(), atol=1e-4, rtol=1e-3)


def test_labels_are_concatenated_as_one_hot_vectors_or_channels() -> None:
    codes = np.eye(3)[LABELS]
    vectors = join_labels(torch.zeros(5, 2), LABELS, 3).numpy()
    np.testing.assert_array_equal(vectors, np.hstack([np.zeros((5, 2)), codes]))
    images = join_labels(torch.full((5, 1, 2, 3), 7.0), LABELS, 3).numpy()
    assert images.shape == (5, 4, 2, 3)
    for n in range(5):
        assert (images[n, 0] == 7).all()
        for k in range(3):
            assert (images[n, 1 + k] == codes[n, k]).all()


def test_projection_adds_the_inner_product_of_features_and_label_embedding() -> None:
    torch.manual_seed(0)
    head = CriticLabels("projection", 3)
    head.build(6)
    logits, features = torch.randn(5), torch.randn(5, 6)
    output = head(logits, features, LABELS)
    for n, label in enumerate(LABELS.tolist()):
        expected = logits[n].item() + float(np.dot(head.embedding.weight[label].detach().numpy(), features[n].numpy()))
        assert output.logits[n].item() == pytest.approx(expected, rel=1e-5)
    assert output.class_logits is None


def test_the_auxiliary_classifier_is_linear_and_does_not_change_the_logits() -> None:
    torch.manual_seed(0)
    head = CriticLabels("auxiliary", 3)
    head.build(6)
    logits, features = torch.randn(5), torch.randn(5, 6)
    output = head(logits, features, None)
    assert torch.equal(output.logits, logits)
    expected = features.numpy() @ head.classify.weight.detach().numpy().T + head.classify.bias.detach().numpy()
    np.testing.assert_allclose(output.class_logits.detach(), expected, rtol=1e-5)


def test_the_generators_inputs_and_condition() -> None:
    latents = torch.randn(5, 2)
    joint = join_labels(latents, LABELS, 3)
    for kind, inputs, condition in (
        ("none", latents, None),
        ("concat", joint, None),
        ("batchnorm", latents, LABELS),
        ("adain", latents, joint),
    ):
        labels = GeneratorLabels(kind, 3, 2)
        given, told = labels(latents, LABELS)
        assert torch.equal(given, inputs)
        assert (told is None and condition is None) or torch.equal(told, condition)
        assert (labels.inputs, labels.num_classes) == (inputs.shape[1], 0 if kind == "none" else 3)


@pytest.mark.parametrize("kind", ["concat", "batchnorm", "adain"])
def test_a_conditional_generator_needs_classes_and_labels(kind: str) -> None:
    with pytest.raises(UserError, match=f"^conditioning: '{kind}' needs labels, and the data has none"):
        GeneratorLabels(kind, 0, 2)
    with pytest.raises(UserError, match="got no labels"):
        GeneratorLabels(kind, 3, 2)(torch.zeros(5, 2), None)
    assert GeneratorLabels("none", 0, 2).num_classes == 0


@pytest.mark.parametrize("kind", ["concat", "projection", "auxiliary"])
def test_a_conditional_discriminator_needs_classes(kind: str) -> None:
    with pytest.raises(UserError, match=f"^conditioning: '{kind}' needs labels"):
        CriticLabels(kind, 0)


@pytest.mark.parametrize("kind", ["projection", "auxiliary"])
def test_projection_and_auxiliary_do_not_support_packing(kind: str) -> None:
    with pytest.raises(UserError, match=f"^conditioning: '{kind}' needs one label per logit, and packing=2"):
        CriticLabels(kind, 3, packing=2)
    assert CriticLabels("concat", 3, packing=2).planes == 3
