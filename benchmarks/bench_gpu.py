# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Prediction and training on a GPU, beside PyTorch on the same one::

    python benchmarks/bench_gpu.py [--json FILE] [--networks fusion cn mobilenet]
        [--batches 256 1024 4096] [--rounds 5] [--peer-batch 1024]

Planes lie on the device on both sides and are ready, but for the rows that say *from cutouts*:
there counts, exposures and pictures lie on the device, and preprocessing, augmentation and the
average over flips and turns are in. The last row is all of `Classifier.predict`, from arrays in the
computer's memory, with the shipped model. *Difference* is that of the logits from ours in float32,
as a share of their norm. The share of the roof is that of additions and
multiplications in convolutions and products of matrices among those a product of two square
matrices of bfloat16 reaches in the same run. A time is that of several calls, divided.
"""

import argparse
import gc
import json
import time

import astropy.units as u
import jax
import jax.numpy as jnp
import numpy as np
from bench_train import CONFIG, N_STEPS, make_batch, make_data
from contest import INPUTS, make_case, make_params, make_planes, optional

from clustercnn import Classifier, CutoutStack
from clustercnn._utils.files import atomic_path
from clustercnn.network import FEATURES, build_network, take
from clustercnn.network.backend import computing_in
from clustercnn.training import Steps, TrainingConfig

ROOF = 8192
PRECISIONS = ('bfloat16', 'float32')


def operations(function, *arguments):
    """
    Return the additions and multiplications of the convolutions and products of a function.
    """

    def of(jaxpr):
        total = 0
        for equation in jaxpr.eqns:
            shapes = [one.aval.shape for one in equation.invars if hasattr(one.aval, 'shape')]
            out = equation.outvars[0].aval.shape
            if equation.primitive.name == 'dot_general':
                (contracted, _), _ = equation.params['dimension_numbers']
                total += 2 * np.prod(out) * np.prod([shapes[0][axis] for axis in contracted])
            elif equation.primitive.name == 'conv_general_dilated':
                filters = equation.params['dimension_numbers'].rhs_spec[0]
                kernel = shapes[1]
                total += 2 * np.prod(out) * np.prod(kernel) / kernel[filters]
            for value in equation.params.values():
                for inner in value if isinstance(value, tuple | list) else [value]:
                    inner = getattr(inner, 'jaxpr', inner)
                    if hasattr(inner, 'eqns'):
                        total += of(inner)
        return total

    return float(of(jax.make_jaxpr(function)(*arguments).jaxpr))


def seconds_of(call, wait, *, n_rounds, seconds=0.3):
    """
    Return the time of the first call and, of each round, of one of several calls.
    """
    started = time.perf_counter()
    wait(call())
    first = time.perf_counter() - started
    wait(call())
    started = time.perf_counter()
    wait(call())
    number = max(1, round(seconds / (time.perf_counter() - started)))
    times = []
    for _ in range(n_rounds):
        started = time.perf_counter()
        for _ in range(number):
            result = call()
        wait(result)
        times.append((time.perf_counter() - started) / number)
    return first, times


def row_of(
    case, side, precision, batch, call, wait, *, options, work=None, roof=None, difference=None
):
    """
    Measure a row, or note what kept it from being measured.
    """
    row = {'case': case, 'side': side, 'precision': precision, 'batch': batch}
    try:
        first, times = seconds_of(call, wait, n_rounds=options.rounds)
    except Exception as error:  # noqa: BLE001 - whatever a device cannot do is a result
        row['failed'] = f'{type(error).__name__}: {error}'.splitlines()[0][:200]
        options.keep(row)
        return
    rates = np.sort(batch / np.array(times))
    row |= {
        'cutouts_s': [float(f'{value:.4g}') for value in (rates[0], np.median(rates), rates[-1])],
        'first_call_s': round(first, 1),
    }
    if work is not None:
        row['gflop_a_cutout'] = float(f'{work / 1e9:.4g}')
        row['share_of_roof'] = float(f'{work * np.median(rates) / roof:.3g}')
    if difference is not None:
        row['difference'] = float(f'{difference:.2g}')
    options.keep(row)


def roof_of(options):
    """
    Return the operations a second of a product of matrices of bfloat16, best of the rounds.
    """
    rng = np.random.default_rng(3)
    a, b = (jnp.asarray(rng.normal(size=(ROOF, ROOF)), jnp.bfloat16) for _ in range(2))
    product = jax.jit(lambda a, b: a @ b)
    _, times = seconds_of(lambda: product(a, b), jax.block_until_ready, n_rounds=options.rounds)
    return 2 * ROOF**3 / min(times)


def on_device(tree):
    """
    Return a tree whose arrays lie on the device.
    """
    return jax.block_until_ready(jax.tree.map(jnp.asarray, tree))


def predictor(network, precision):
    """
    Return the compiled function that predicts.
    """

    @jax.jit
    def predict(params, planes):
        with computing_in(precision):
            return network.apply(params, planes)[0]

    return predict


def difference_of(logits, network, params, planes):
    """
    Return by how much logits differ from ours in float32, as a share of their norm.
    """
    ours = np.asarray(predictor(network, 'float32')(params, planes))
    return np.linalg.norm(logits - ours) / np.linalg.norm(ours)


def ours(name, batch, precision, options, roof):
    """
    Measure our network.
    """
    network, case = make_case(name)
    params, (planes, codes) = make_params(network), make_planes(network, batch)
    params, planes = on_device(params), on_device(planes)
    predict = predictor(network, precision)

    def row(case, call, work, **further):
        further |= {'options': options, 'work': work, 'roof': roof}
        row_of(case, 'ours', precision, batch, call, jax.block_until_ready, **further)

    few, few_codes = make_planes(network, 8)
    work = operations(lambda planes: network.apply(params, planes), few) / 8
    difference = difference_of(np.asarray(predict(params, few)), network, params, few)
    row(f'{case}, prediction', lambda: predict(params, planes), work, difference=difference)
    config = TrainingConfig(batch_size=batch, precision=precision)
    steps = Steps(network, config=config)
    state = [steps.initial_state(1, initial=params)]
    ready = on_device(make_batch(planes, codes))
    trained, statistics = network.divide(params)
    key = jax.random.key(0)
    work = operations(
        lambda batch: steps.gradient(trained, statistics, batch, key), make_batch(few, few_codes)
    )

    def step():
        state[0], metrics = steps.train(state[0], ready, N_STEPS)
        return metrics['loss']

    row(f'{case}, training', step, work / 8)


def from_cutouts(batch, precision, options):
    """
    Measure the package's own network from counts, exposures and pictures.
    """
    network = build_network('fusion', INPUTS, n_classes=4)
    raw = on_device(take(make_data(batch), np.arange(batch), batch))
    inputs = {name: value for name, value in raw.items() if name not in ('target', 'weight')}
    params = on_device(network.init(1))

    def row(case, call):
        row_of(case, 'ours', precision, batch, call, jax.block_until_ready, options=options)

    for dihedral, text in ((False, 'one view'), (True, '8 views')):
        steps = Steps(network, dihedral=dihedral, precision=precision)
        row(
            f'fusion, prediction from cutouts, {text}',
            lambda steps=steps: steps.predict(params, inputs),
        )
    steps = Steps(network, config=TrainingConfig(batch_size=batch, precision=precision))
    state = [steps.initial_state(1)]

    def step():
        state[0], metrics = steps.train(state[0], raw, N_STEPS)
        return metrics['loss']

    row('fusion, training from cutouts', step)


def peers(name, options):
    """
    Measure PyTorch, as it is and compiled, with channels last and bfloat16.
    """
    torch = optional('torch')
    if torch is None or not torch.cuda.is_available():
        return
    from torch_networks import make_twin, to_torch

    torch.backends.cudnn.benchmark = True
    network, case = make_case(name)
    batch = options.peer_batch
    params, (planes, codes) = make_params(network), make_planes(network, batch)
    given = {name: value.cuda() for name, value in to_torch(planes, channels_last=True).items()}
    wanted = torch.from_numpy(codes).cuda()

    def wait(_):
        torch.cuda.synchronize()

    for compiled in (False, True):
        side = f'PyTorch, {"compiled" if compiled else "eager"}'
        twin = make_twin(network, params).cuda().to(memory_format=torch.channels_last)
        model = torch.compile(twin) if compiled else twin

        def predict(model=model):
            with torch.inference_mode(), torch.autocast('cuda', torch.bfloat16):
                return model(given)

        optimizer = torch.optim.AdamW(twin.parameters(), lr=CONFIG.learning_rate, fused=True)

        def step(model=model, twin=twin, optimizer=optimizer):
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast('cuda', torch.bfloat16):
                loss = torch.nn.functional.cross_entropy(model(given), wanted) + twin.penalty()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(twin.parameters(), CONFIG.clip_norm)
            optimizer.step()

        twin.eval()
        difference = difference_of(predict().float().cpu().numpy(), network, params, planes)
        for text, call in (('prediction', predict), ('training', step)):
            twin.train(text == 'training')
            further = {'difference': difference} if text == 'prediction' else {}
            further['options'] = options
            row_of(f'{case}, {text}', side, 'bfloat16', batch, call, wait, **further)
        del twin, model, optimizer
        torch.cuda.empty_cache()


def whole_prediction(options):
    """
    Measure the whole of `Classifier.predict`, from arrays in memory.
    """
    classifier = Classifier.from_pretrained()
    n_items = 4096
    rng = np.random.default_rng(1)
    stack = CutoutStack.from_arrays(
        {
            'xray': rng.poisson(0.3, (n_items, 64, 64)).astype(np.float32),
            'optical': rng.normal(1000, 10, (n_items, 128, 128)).astype(np.float32),
        },
        pixel_scale={'xray': 4 * u.arcsec, 'optical': 2 * u.arcsec},
        features={name: rng.uniform(1, 100, n_items) for name in FEATURES},
    )
    row_of(
        'shipped model, 3 networks of 8 views, Classifier.predict',
        'ours',
        'bfloat16',
        n_items,
        lambda: classifier.predict(stack),
        lambda result: result,
        options=options,
    )


def main():
    """
    Run the benchmark.
    """
    parser = argparse.ArgumentParser(description=__doc__.split('::')[0])
    parser.add_argument('--json', metavar='FILE', help='write the rows there as well')
    parser.add_argument('--networks', nargs='+', default=['fusion', 'cn', 'mobilenet'])
    parser.add_argument('--batches', nargs='+', type=int, default=[256, 1024, 4096])
    parser.add_argument('--precisions', nargs='+', choices=PRECISIONS, default=list(PRECISIONS))
    parser.add_argument('--peer-batch', type=int, default=1024)
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument(
        '--processor', metavar='TEXT', help='what else it has to do, for the record'
    )
    options = parser.parse_args()
    device = jax.devices()[0]
    if device.platform == 'cpu':
        parser.error('JAX sees no GPU here')
    roof = roof_of(options)
    facts = {
        'device': device.device_kind,
        'jax': jax.__version__,
        'roof_tflop_s': float(f'{roof / 1e12:.4g}'),
        'processor': options.processor,
    }
    print(facts, flush=True)
    rows = []

    def keep(row):
        # after each, since time on a GPU may end
        print(row, flush=True)
        rows.append(row)
        if options.json:
            with atomic_path(options.json, overwrite=True) as temporary:
                text = json.dumps({'stage': 'gpu', **facts, 'rows': rows}, indent=2)
                temporary.write_text(text + '\n', encoding='utf-8')

    options.keep = keep
    for name in options.networks:
        for precision in options.precisions:
            # float32 is there for comparison only
            if precision == 'float32' and name != 'fusion':
                continue
            batches = options.batches if precision == 'bfloat16' else [options.peer_batch]
            for batch in batches:
                ours(name, batch, precision, options, roof)
                # what lies on the device goes with what refers to it
                gc.collect()
                if name == 'fusion':
                    from_cutouts(batch, precision, options)
                    gc.collect()
        peers(name, options)
    whole_prediction(options)


if __name__ == '__main__':
    main()
