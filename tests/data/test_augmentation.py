"""Augmentation: what it composes, what it leaves alone, how often tokens change."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_dlopt import data

IMAGES = np.random.default_rng(0).uniform(size=(6, 8, 8, 1)).astype("float32")
LABELS = np.arange(6)


def layers():
    return keras.layers.RandomTranslation(0.2, 0.2, seed=1), keras.layers.RandomRotation(0.1, seed=2)


def test_augment_runs_its_layers_in_order_on_the_inputs_alone():
    first, second = layers()
    expected = second(first(IMAGES, training=True), training=True)
    weights = np.linspace(0, 1, 6)
    got, labels, same_weights = data.augment(*layers())(IMAGES, LABELS, weights)
    np.testing.assert_array_equal(got, expected)
    assert labels is LABELS and same_weights is weights
    assert np.abs(np.asarray(got) - IMAGES).max() > 0.1


def test_augment_in_a_dataset_draws_anew_every_epoch_and_keeps_labels():
    rows = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).batch(3).map(data.augment(*layers()))
    epochs = [list(rows) for _ in range(2)]
    for epoch in epochs:
        assert np.concatenate([labels for _, labels in epoch]).tolist() == LABELS.tolist()
    assert np.abs(epochs[0][0][0] - epochs[1][0][0]).max() > 0


def test_augment_of_inputs_without_labels():
    got = data.augment(keras.layers.RandomFlip("horizontal", seed=0))(IMAGES)
    flipped = IMAGES[:, :, ::-1]
    for image, as_is, mirrored in zip(np.asarray(got), IMAGES, flipped, strict=True):
        assert (image == as_is).all() or (image == mirrored).all()


@pytest.mark.parametrize("wrong", [(), (np.abs,), (keras.layers.RandomFlip(), None)])
def test_augment_wants_layers(wrong):
    with pytest.raises(ValueError, match=r"`augment\(layers=...\)` must be one or more `keras.layers.Layer` objects"):
        data.augment(*wrong)


def test_random_tokens_redraws_the_share_it_says_uniformly():
    tokens = np.full((100, 1000), 3, "int32")
    noisy = np.asarray(data.RandomTokens(0.3, vocabulary=4, seed=0)(tokens, training=True))
    assert noisy.dtype == np.int32
    # Of a hundred thousand tokens 30 % are drawn anew from 4 values, one of which is the old one.
    shares = np.bincount(noisy.ravel(), minlength=4) / noisy.size
    np.testing.assert_allclose(shares, [0.075, 0.075, 0.075, 0.775], atol=0.005)


def test_random_tokens_in_inference_changes_nothing():
    tokens = np.arange(10, dtype="int32")[None]
    np.testing.assert_array_equal(data.RandomTokens(0.9, vocabulary=10, seed=0)(tokens), tokens)


def test_random_tokens_repeats_with_its_seed_and_survives_its_config():
    tokens = np.zeros((4, 50), "int32")
    layer = data.RandomTokens(0.5, vocabulary=9, seed=7)
    twin = data.RandomTokens.from_config(layer.get_config())
    np.testing.assert_array_equal(layer(tokens, training=True), twin(tokens, training=True))


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"rate": 1.0, "vocabulary": 9}, r"`RandomTokens\(rate=...\)` must be a finite number in \[0, 1\)"),
        ({"rate": float("nan"), "vocabulary": 9}, r"`RandomTokens\(rate=...\)` must be a finite number in \[0, 1\)"),
        ({"rate": 0.1, "vocabulary": 1}, r"`RandomTokens\(vocabulary=...\)` must be a whole number >= 2"),
        ({"rate": 0.1, "vocabulary": 2.5}, r"`RandomTokens\(vocabulary=...\)` must be a whole number >= 2"),
    ],
)
def test_random_tokens_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        data.RandomTokens(**arguments)
