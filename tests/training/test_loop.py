# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Training learns what there is to learn, nothing else, and goes on where it was killed.
"""

import dataclasses

import jax
import numpy as np
import optax
import pytest

from clustercnn.exceptions import TrainingError
from clustercnn.network import build_network, take
from clustercnn.training import (
    Steps,
    TrainingConfig,
    binary_auc,
    evaluate,
    loop,
    make_optimizer,
    make_steps,
    predict,
    train,
)


def assert_same(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


def run(network, config, steps, data, **options):
    return train(
        network,
        config,
        data(40, seed=1),
        seed=5,
        steps=steps,
        validation=data(20, seed=2),
        **options,
    )


@pytest.fixture(scope='module')
def whole(network, config, steps, data):
    return run(network, config, steps, data)


@pytest.mark.parametrize('name', ['cn', 'fusion', 'mobilenet'])
def test_thirty_two_items_are_learnt_by_heart(name, network, data, calm):
    # random labels: only a network whose gradients arrive everywhere gets there
    labels = np.random.default_rng(3).integers(0, 2, 32)
    options = {'dropout': 0.0}
    if name == 'cn':
        options |= {'l1': 0.0, 'n_stages': 2, 'dense_width': 64}
    if name == 'mobilenet':
        options |= {'stages': ((1, 16, 1, 1), (6, 24, 2, 2))}
    learner = build_network(name, network.inputs, n_classes=2, options=options)
    config = TrainingConfig(
        n_epochs=80, batch_size=32, learning_rate=3e-3, weight_decay=0.0, augmentation=calm
    )
    result = train(learner, config, data(32, seed=1, labels=labels), seed=1)
    assert result.history[-1]['loss'] < 0.1 * result.history[0]['loss']
    assert result.history[-1]['loss'] < 0.05


def test_true_labels_are_learnt_and_shuffled_ones_are_not(whole, network, config, steps, data):
    held = data(400, seed=9)
    assert evaluate(steps, whole.params, held, positive=(0,), batch_size=16)[1] > 0.95
    rng = np.random.default_rng(1)
    shuffled = data(40, seed=1, labels=rng.permutation(np.arange(40) % 2))
    result = train(network, config, shuffled, seed=5, steps=steps)
    # labels without relation to the pictures: whatever is found comes from a leak
    held = data(400, seed=9, labels=rng.permutation(np.arange(400) % 2))
    auc = evaluate(steps, result.params, held, positive=(0,), batch_size=16)[1]
    assert abs(auc - 0.5) < 3 * np.sqrt(1 / 12 / 100)
    assert result.history[-1]['loss'] > 0.75 * np.log(2)


def test_each_function_is_traced_once(whole, steps, network, config, data):
    assert whole.history[-1]['validation_auc'] is not None
    train(network, config, data(40, seed=4), seed=6, steps=steps)
    assert steps.n_traces == dict.fromkeys(('prepare', 'gradient', 'update', 'evaluate'), 1)


def test_other_lengths_share_what_is_compiled(whole, steps, network, config, data):
    assert whole.history
    longer = dataclasses.replace(config, n_epochs=13, monitor='auc')
    assert make_steps(network, longer, 56) is steps
    assert make_steps(network, dataclasses.replace(config, learning_rate=1e-3), 40) is not steps
    traced = steps.n_traces.copy()
    train(network, dataclasses.replace(config, n_epochs=1), data(56, seed=4), seed=6, steps=steps)
    assert steps.n_traces == traced


@pytest.mark.parametrize(('warmup', 'n_steps'), [(0.0, 1), (0.1, 7), (0.3, 60), (0.9, 20)])
def test_the_optimiser_is_that_of_optax(warmup, n_steps):
    schedule = optax.warmup_cosine_decay_schedule(
        0.0, 0.01, max(1, int(warmup * n_steps)), max(2, n_steps)
    )
    reference = optax.chain(optax.clip_by_global_norm(0.5), optax.adamw(schedule, weight_decay=0.1))
    config = TrainingConfig(warmup=warmup, learning_rate=0.01, weight_decay=0.1, clip_norm=0.5)

    # as it is compiled, for a number of steps that is not known then
    @jax.jit
    def update(gradient, state, params, n_steps):
        return make_optimizer(config, n_steps).update(gradient, state, params)

    params = {'kernel': jax.numpy.ones((2, 3))}
    state, other = make_optimizer(config, 1).init(params), reference.init(params)
    for number in range(n_steps + 2):
        gradient = np.random.default_rng(number).normal(size=(2, 3)).astype(np.float32)
        gradient = {'kernel': gradient}
        made, state = update(gradient, state, params, np.int32(n_steps))
        wanted, other = reference.update(gradient, other, params)
        np.testing.assert_allclose(made['kernel'], wanted['kernel'], atol=1e-8)


def test_same_seed_same_bits_other_seed_other_bits(whole, network, config, steps, data):
    assert_same(run(network, config, steps, data).params, whole.params)
    other = train(network, config, data(40, seed=1), seed=6, steps=steps)
    assert abs(other.params['logits']['kernel'] - whole.params['logits']['kernel']).max() > 0


def test_the_best_epoch_is_kept(whole, steps, data):
    losses = [entry['validation_loss'] for entry in whole.history]
    assert whole.best_epoch == 1 + int(np.argmin(losses))
    loss, _ = evaluate(steps, whole.params, data(20, seed=2), positive=(0,), batch_size=16)
    assert loss == pytest.approx(min(losses), rel=1e-6)


def killed_after(n_epochs, monkeypatch):
    written = []
    save = loop.save_checkpoint

    def save_and_die(*args):
        save(*args)
        written.append(1)
        if len(written) == n_epochs:
            raise KeyboardInterrupt

    monkeypatch.setattr(loop, 'save_checkpoint', save_and_die)


@pytest.mark.parametrize('n_epochs', [1, 2])
def test_resumed_run_is_the_uninterrupted_one(
    n_epochs, whole, network, config, steps, data, tmp_path, monkeypatch
):
    path = tmp_path / 'state.safetensors'
    with monkeypatch.context() as patch:
        killed_after(n_epochs, patch)
        with pytest.raises(KeyboardInterrupt):
            run(network, config, steps, data, checkpoint=path)
    # another process would have compiled functions of its own
    resumed = run(network, config, steps, data, checkpoint=path)
    assert_same(resumed.params, whole.params)
    assert resumed.history == whole.history
    assert resumed.best_epoch == whole.best_epoch
    # and once more, with nothing left to do
    assert_same(run(network, config, steps, data, checkpoint=path).params, whole.params)


@pytest.mark.parametrize('lost', ['optimizer', 'step', 'key'])
def test_a_broken_restore_is_noticed(
    lost, whole, network, config, steps, data, tmp_path, monkeypatch
):
    path = tmp_path / 'state.safetensors'
    with monkeypatch.context() as patch:
        killed_after(1, patch)
        with pytest.raises(KeyboardInterrupt):
            run(network, config, steps, data, checkpoint=path)
    restore = loop.restore

    def forgetful(template, arrays):
        stored = restore(template, arrays)
        value = jax.tree.map(lambda leaf: leaf * 0, stored['state'][lost])
        return stored | {'state': stored['state'] | {lost: value}}

    monkeypatch.setattr(loop, 'restore', forgetful)
    resumed = run(network, config, steps, data, checkpoint=path)
    last = [result.history[-1]['loss'] for result in (resumed, whole)]
    assert last[0] != last[1]


def test_a_changed_configuration_is_refused_with_the_difference(
    network, config, steps, data, tmp_path
):
    path = tmp_path / 'state.safetensors'
    short = dataclasses.replace(config, n_epochs=1)
    train(network, short, data(40, seed=1), seed=5, steps=steps, checkpoint=path)
    with pytest.raises(TrainingError, match='training.n_epochs: 1 in the checkpoint, 12 now'):
        train(network, config, data(40, seed=1), seed=5, steps=steps, checkpoint=path)
    with pytest.raises(TrainingError, match='training_data'):
        train(network, short, data(40, seed=2), seed=5, steps=steps, checkpoint=path)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(TrainingError, match='written completely'):
        train(network, short, data(40, seed=1), seed=5, steps=steps, checkpoint=path)


def test_a_loss_that_is_not_finite_stops_with_the_last_good_state(network, config, steps, data):
    broken = data(40, seed=1)
    weight = broken['weight'].copy()
    weight[17] = np.inf
    good = data(40, seed=1)
    state = steps.initial_state(3)
    before = jax.tree.map(np.array, state)
    after, metrics = steps.train(state, take(good | {'weight': weight}, np.arange(10, 26), 16), 9)
    assert not metrics['finite']
    assert_same(jax.tree.map(np.array, after), before)

    target = broken['target'].copy()
    target[17] = np.nan
    with pytest.raises(TrainingError, match='not finite in epoch 1') as caught:
        train(network, config, broken | {'target': target}, seed=3, steps=steps)
    assert 17 in caught.value.rows
    for leaf in jax.tree.leaves(caught.value.result.params):
        assert np.isfinite(leaf).all()


def test_padding_has_no_effect_on_a_step(network, data, calm):
    still = build_network(
        'fusion',
        network.inputs,
        n_classes=2,
        options={'widths': (16,), 'dense_width': 16, 'dropout': 0.0},
    )
    steps = Steps(still, config=TrainingConfig(augmentation=calm))
    batch = take(data(16, seed=1), np.arange(9), 16)
    rubbish = take(data(16, seed=2), np.arange(16), 16) | {'_mask': batch['_mask']}
    mixed = jax.tree.map(lambda one, other: np.concatenate([one[:9], other[9:]]), batch, rubbish)
    results = []
    for each in (batch, mixed):
        state = steps.initial_state(1)
        for _ in range(2):
            state, metrics = steps.train(state, each, 3)
        results.append((jax.tree.map(np.array, state['params']), float(metrics['loss'])))
    assert_same(results[0][0], results[1][0])
    assert results[0][1] == results[1][1]


def test_prediction_does_not_depend_on_order_or_number(whole, network, data):
    steps = Steps(network, dihedral=False)
    dataset = data(21, seed=3)
    logits, _ = predict(steps.predict, whole.params, dataset, batch_size=8)
    order = np.random.default_rng(1).permutation(21)
    mixed = jax.tree.map(lambda leaf: leaf[order], dataset)
    np.testing.assert_array_equal(
        predict(steps.predict, whole.params, mixed, batch_size=8)[0], logits[order]
    )
    few = jax.tree.map(lambda leaf: leaf[:1], dataset)
    np.testing.assert_array_equal(
        predict(steps.predict, whole.params, few, batch_size=8)[0], logits[:1]
    )
    assert steps.n_traces['predict'] == 1
    assert predict(steps.predict, whole.params, jax.tree.map(lambda x: x[:0], dataset)) is None


def test_zero_weights_are_refused(network, config, steps, data):
    dataset = data(40, seed=1) | {'weight': np.zeros(40, np.float32)}
    with pytest.raises(TrainingError, match='all training weights are zero'):
        train(network, config, dataset, seed=1, steps=steps)


def test_auc_is_that_of_counting_pairs():
    rng = np.random.default_rng(1)
    score = rng.integers(0, 20, 100)
    truth = rng.random(100) < 0.3
    pairs = (score[truth][:, None] > score[~truth]) + 0.5 * (score[truth][:, None] == score[~truth])
    assert binary_auc(score, truth) == pytest.approx(pairs.mean())
    assert binary_auc([1, 2], [True, True]) is None


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'n_epochs': 0}, 'n_epochs'),
        ({'learning_rate': -1.0}, 'learning_rate'),
        ({'monitor': 'accuracy'}, 'monitor'),
        ({'augmentation': {'shfit': 3}}, "no option 'shfit'"),
    ],
)
def test_wrong_settings_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        TrainingConfig(**options)


def test_batches_smaller_than_asked_for(network, calm, data):
    config = TrainingConfig(n_epochs=1, batch_size=64, augmentation=calm)
    steps = make_steps(network, config, 5)
    result = train(network, config, data(5, seed=1), seed=1, steps=steps)
    assert len(result.history) == 1 and np.isfinite(result.history[0]['loss'])


@pytest.mark.parametrize(
    ('n_items', 'batch_size', 'n_steps'),
    [(5, 5, 1), (100, 16, 7), (1023, 16, 64), (1024, 32, 32), (2048, 64, 32), (10_000, 64, 157)],
)
def test_small_sets_are_trained_in_small_batches(n_items, batch_size, n_steps):
    config = TrainingConfig()
    assert (config.batch_for(n_items), config.steps_per_epoch(n_items)) == (batch_size, n_steps)
    assert TrainingConfig(batch_size=50).batch_for(n_items) == min(50, n_items)
