# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The classifier: joins cutouts and labels, which have units and names, to networks,
which see arrays only.
"""

from pathlib import Path

import numpy as np

from clustercnn import _classifier_file as model_file
from clustercnn._classifier_calibration import Calibrated
from clustercnn._classifier_data import (
    arrays_of,
    check_settings,
    empty_prediction,
    features_of,
    missing_bands,
    raw_features,
    warn_of_unseen,
)
from clustercnn._classifier_measure import apply_network, strangeness
from clustercnn._classifier_onnx import BACKENDS, RuntimeSession, as_onnx
from clustercnn._classifier_training import Training
from clustercnn._classifier_variants import Variants
from clustercnn._utils.files import atomic_path
from clustercnn._utils.summary import html_summary, text_summary
from clustercnn.core import CutoutStack, LabelSchema, PredictionSet
from clustercnn.exceptions import ModelFileError, TrainingError
from clustercnn.network import BandSpec, InputSpec, build_network, make_dataset, to_dict
from clustercnn.network.backend import PRECISIONS
from clustercnn.training import (
    TrainingConfig,
    prediction_steps,
    softmax,
)

__all__ = ['Classifier']

_MODELS = Path(__file__).parent / 'models'


class Classifier(Training, Calibrated, Variants):
    """
    A network, or an ensemble of equal ones, that gives class probabilities.

    Parameters
    ----------
    network : str, optional
        ``'cn'``, the paper's custom network, ``'mobilenet'``, MobileNetV2, or
        ``'fusion'``, the package's own.
    schema : LabelSchema or iterable of str, optional
        The classes; those of the labels by default.
    seed : int, optional
        For the split, initial parameters, order, dropout and augmentation. The same
        seed gives the same bits on a CPU.
    n_epochs : int, optional
        Passes over the training set.
    batch_size : int, optional
        Cutouts a training step; by default 64, and fewer for small sets, see
        `~clustercnn.training.TrainingConfig`.
    learning_rate : float, optional
        Highest learning rate.
    ensemble : int, optional
        Number of networks, trained from different seeds; the spread of their
        probabilities is ``p_cluster_std``.
    validation_fraction : float, optional
        Share of the labelled cutouts kept from training to choose the epoch and
        calibrate, unless `fit` is given a validation set; 0 for none.
    dihedral : bool, optional
        Whether predictions are averaged over flips and quarter turns; as the
        network has it by default.
    weights : str or path-like, optional
        File of published weights that ``'mobilenet'`` starts from, of Keras or of
        torchvision; see `~clustercnn.network.import_mobilenet`.
    network_options, training_options : dict, optional
        Further options, see `~clustercnn.network.CNConfig`,
        `~clustercnn.network.MobileNetConfig`, `~clustercnn.network.FusionConfig` and
        `~clustercnn.training.TrainingConfig`.

    Raises
    ------
    ValueError
        If an option is unknown or out of range.

    Notes
    -----
    A band counts as X-rays if it is called ``'xray'`` or its unit is counts; every
    other band is treated as a picture with a sky. The pixel scale and size of the
    training stack become the model's; `predict` brings other stacks to them, sharing
    counts by area. A band of the model that a stack lacks is marked as missing.

    Examples
    --------
    >>> from clustercnn import Classifier
    >>> from clustercnn.testing import tiny_labels, tiny_stack
    >>> classifier = Classifier(network='cn', n_epochs=2, seed=1, validation_fraction=0)
    >>> prediction = classifier.fit(tiny_stack(), tiny_labels()).predict(tiny_stack())
    >>> prediction.probability.shape
    (6, 4)
    """

    def __init__(
        self,
        network='cn',
        *,
        schema=None,
        seed=0,
        n_epochs=30,
        batch_size=None,
        learning_rate=2e-3,
        ensemble=1,
        validation_fraction=0.15,
        dihedral=None,
        weights=None,
        network_options=None,
        training_options=None,
    ):
        check_settings(network, seed, ensemble, validation_fraction)
        if schema is not None and not isinstance(schema, LabelSchema):
            schema = LabelSchema(tuple(schema))
        self.network = network
        self.schema = schema
        self.seed = int(seed)
        self.ensemble = int(ensemble)
        self.validation_fraction = float(validation_fraction)
        self.training_config = TrainingConfig(
            n_epochs=n_epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            **(training_options or {}),
        )
        self._dihedral = dihedral
        self._weights = weights
        self._network_options = dict(network_options or {})
        # a misspelt option shall fail here, not after the data are read
        probe = BandSpec(name='probe', kind='optical', shape=(512, 512), pixel_scale=1.0)
        build_network(
            network, InputSpec(bands=(probe,)), n_classes=2, options=self._network_options
        )
        self._model = None
        self._runtime = None
        self._origin = None

    def __getstate__(self):
        # a session of another runtime stays in its process
        return self.__dict__ | {'_runtime': None}

    def _fitted(self):
        if self._model is None:
            msg = 'this classifier is not trained yet; call fit() or load a model'
            raise TrainingError(msg)
        return self._model

    @property
    def n_parameters(self):
        """
        Number of trained values of one network.
        """
        return self._fitted()['network'].n_parameters

    @property
    def networks(self):
        """
        The network and the parameters of each member, 2-tuple of Network and list.
        """
        return self._fitted()['network'], self._fitted()['members']

    @property
    def inputs(self):
        """
        Bands and features the model sees, `~clustercnn.network.InputSpec`.
        """
        return self._fitted()['network'].inputs

    @property
    def history(self):
        """
        Losses by epoch, a tuple of dict for each network.
        """
        return tuple(self._fitted()['description']['history'])

    @property
    def metadata(self):
        """
        What is stored beside the weights: data, prior, calibration, versions; a dict.
        """
        return dict(self._fitted()['description'])

    def predict(self, stack, *, backend='jax', precision='auto', progress=False):
        """
        Give class probabilities.

        Parameters
        ----------
        stack : CutoutStack
            The cutouts. Their pixel scale and size may differ from the model's.
        backend : {'jax', 'onnxruntime'}, optional
            What computes the networks. Results of the two agree to about 1e-6 in
            float32.
        precision : {'auto', 'float32', 'bfloat16'}, optional
            What maps are computed in: float32 on a CPU and bfloat16 on a GPU by default.
        progress : bool or None, optional
            Whether to show a bar; None: on a terminal.

        Returns
        -------
        prediction : PredictionSet
            In the order of the stack: probabilities calibrated at the class prior of
            the training set, mean logits, the spread over the ensemble (None for a
            single network), and ``ood``, the distance from the training data in units
            of that of the strangest 5 % of its kind.

        Raises
        ------
        ValueError
            If the stack has none of the model's bands, or lacks its X-ray band.
        MissingDependencyError
            If the backend is not installed.

        Warns
        -----
        DataQualityWarning
            If cutouts have no pixel of the X-ray band.

        Notes
        -----
        Neither order nor number of the cutouts changes a result.
        """
        model = self._fitted()
        if not isinstance(stack, CutoutStack):
            msg = f"'stack' must be a CutoutStack, got {type(stack).__name__}"
            raise TypeError(msg)
        if backend not in BACKENDS:
            msg = f"'backend' must be one of {BACKENDS}, got {backend!r}"
            raise ValueError(msg)
        if precision not in PRECISIONS or (precision == 'bfloat16' and backend != 'jax'):
            known = PRECISIONS if backend == 'jax' else PRECISIONS[:2]
            msg = f"'precision' must be one of {known} with {backend!r}, got {precision!r}"
            raise ValueError(msg)
        inputs = model['network'].inputs
        missing = missing_bands(inputs, stack)
        description = model['description']
        meta = {
            'network': self.network,
            'n_members': len(model['members']),
            'training_data': description['data_digest'],
        }
        shares = zip(self.schema.classes, description['class_prior'], strict=True)
        meta |= {f'prior_{name}': share for name, share in shares}
        if missing:
            meta['missing_bands'] = ', '.join(missing)
        if not len(stack):
            return empty_prediction(model, self.schema, meta)
        warn_of_unseen(inputs, stack)
        dataset = make_dataset(inputs, arrays_of(stack), features=features_of(stack))
        if backend == 'jax':
            steps = prediction_steps(model['network'], description['dihedral'], precision)
            results = [
                apply_network(steps, params, dataset, progress=progress)
                for params in model['members']
            ]
        else:
            if self._runtime is None:
                self._runtime = RuntimeSession(model, self.schema)
            dataset |= {'raw_features': raw_features(inputs, stack)}
            logits, hidden = apply_network(self._runtime, None, dataset, progress=progress)
            results = list(zip(logits.swapaxes(0, 1), hidden.swapaxes(0, 1), strict=True))
        logits = np.mean([result[0] for result in results], axis=0)
        temperature = description['temperature']
        std = ood = None
        if len(results) > 1:
            positive = list(self.schema.positive_codes)
            each = [softmax(r[0], temperature=temperature)[:, positive].sum(1) for r in results]
            std = np.std(each, axis=0)
        if model['references'] is not None:
            ood = strangeness(model, dataset, [result[1] for result in results])
        return PredictionSet(
            ids=stack.ids,
            schema=self.schema,
            probability=softmax(logits, temperature=temperature),
            logits=logits,
            std=std,
            ood=ood,
            meta=meta,
        )

    def save(self, path, *, overwrite=False, card=None):
        """
        Write the model to one file, the same bytes every time.

        Parameters
        ----------
        path : str or path-like
            The file, ``.safetensors``.
        overwrite : bool, optional
            Whether an existing file may be replaced.
        card : dict, optional
            What users should know: intended use, data, limits. Kept with the model.
        """
        model = self._fitted()
        if card is not None:
            model['description']['card'] |= card
        model_file.write_model(
            path, model, name=self.network, schema=self.schema, overwrite=overwrite
        )

    def export_onnx(self, path, *, overwrite=False):
        """
        Write the model as ONNX, for programs without JAX.

        Parameters
        ----------
        path : str or path-like
            The file, ``.onnx``.
        overwrite : bool, optional
            Whether an existing file may be replaced.

        Raises
        ------
        MissingDependencyError
            If onnx is not installed (extra ``onnx``).

        Notes
        -----
        The graph goes from raw cutouts on the model's grid to calibrated probabilities, with
        preprocessing, flips and turns, and the ensemble; bringing cutouts to that grid is
        not in it, nor is ``ood``. Names, shapes and units are in the file's metadata.
        """
        content = as_onnx(self._fitted(), self.schema)
        with atomic_path(path, overwrite=overwrite) as temporary:
            temporary.write_bytes(content)

    @classmethod
    def load(cls, path):
        """
        Read a model; nothing in the file is executed.

        Parameters
        ----------
        path : str or path-like
            The file.

        Returns
        -------
        classifier : Classifier
            Ready to predict. Settings of the training are in `metadata`.

        Raises
        ------
        ModelFileError
            If the file is damaged, of another kind, or does not fit together.
        FileNotFoundError
            If there is no such file.
        """
        model, name, schema = model_file.read_model(path)
        description = model['description']
        try:
            config = {k: v for k, v in description['training'].items() if k != 'n_epochs'}
            classifier = cls(
                network=name,
                schema=schema,
                seed=description['seed'],
                n_epochs=description['training']['n_epochs'],
                batch_size=config.pop('batch_size'),
                learning_rate=config.pop('learning_rate'),
                ensemble=len(model['members']),
                # models of earlier versions do not say it
                validation_fraction=description['validation'].get('fraction', 0.15),
                dihedral=description['dihedral'],
                network_options=to_dict(model['network'].config),
                training_options=config,
            )
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            msg = f'{path}: its settings do not make sense ({error})'
            raise ModelFileError(msg) from error
        classifier._model = model
        return classifier

    @classmethod
    def pretrained_names(cls):
        """
        Return the names of the shipped models.

        Returns
        -------
        names : tuple of str
            Sorted.
        """
        return tuple(sorted(path.stem for path in _MODELS.glob('*.safetensors')))

    @classmethod
    def from_pretrained(cls, name='default'):
        """
        Return a shipped model.

        Parameters
        ----------
        name : str, optional
            One of `pretrained_names`.

        Returns
        -------
        classifier : Classifier
            Ready to predict.

        Raises
        ------
        ValueError
            If there is no such model; lists those that exist.

        Examples
        --------
        >>> from clustercnn import Classifier
        >>> Classifier.from_pretrained('my-model')
        Traceback (most recent call last):
            ...
        ValueError: there is no shipped model 'my-model'; ...
        """
        if name not in cls.pretrained_names():
            names = ', '.join(cls.pretrained_names()) or 'none'
            msg = f'there is no shipped model {name!r}; there are: {names}'
            raise ValueError(msg)
        return cls.load(_MODELS / f'{name}.safetensors')

    def _facts(self):
        facts = [('network', self.network)]
        if self.schema is not None:
            facts.append(('classes', ', '.join(self.schema.classes)))
            facts.append(('positive', ', '.join(self.schema.positive)))
        if self._model is None:
            return [*facts, ('state', 'not trained')]
        description = self._model['description']
        for band in self.inputs.bands:
            ny, nx = band.shape
            facts.append((f'band {band.name}', f'{nx} x {ny} of {band.pixel_scale:.3g} arcsec'))
        return [
            *facts,
            ('features', ', '.join(self.inputs.features) or 'none'),
            ('parameters', f'{self.n_parameters} in each of {len(self._model["members"])}'),
            ('trained on', f'{description["counts"]["used"]} cutouts'),
            ('temperature', f'{description["temperature"]:.3f}'),
        ]

    def __repr__(self):
        return text_summary(type(self).__name__, self._facts())

    def _repr_html_(self):
        return html_summary(type(self).__name__, self._facts())
