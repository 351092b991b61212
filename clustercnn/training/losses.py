# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What a network is trained to say: probabilities of classes, or how people will vote.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy import special

__all__ = ['label_loss', 'probability_loss', 'vote_loss', 'vote_shares']

# what is never said must not have a probability of zero, or one slip costs everything
_LEAST_SHARE = 1e-4
# votes that the network may know the outcome of; beyond, nothing is left for chance
_CONCENTRATION = (0.1, 1e4)
# logarithm of a concentration below which gamma(c) is 1 / c to all digits
_SMALL = -12.0


def _as_said(log_probability, confusion):
    """
    Return log probabilities of what is said from those of what is true.
    """
    if confusion is None:
        return log_probability
    matrix = np.maximum(np.asarray(confusion, np.float64), _LEAST_SHARE)
    logarithm = jnp.asarray(np.log(matrix / matrix.sum(axis=1, keepdims=True)), jnp.float32)
    return special.logsumexp(log_probability[:, :, None] + logarithm, axis=1)


def probability_loss(logits, target, *, confusion=None):
    """
    Return the cross-entropy of soft labels.

    Parameters
    ----------
    logits : 2D `~jax.Array`
        Shape ``(n, n_classes)``.
    target : 2D `~jax.Array`
        Probability of each class.
    confusion : sequence of sequence of float, optional
        Probability that a label says the second class where the first is true.

    Returns
    -------
    loss : 1D `~jax.Array`
        Of each item.

    Notes
    -----
    With a matrix the probabilities of the network go through it before they are compared with
    the labels, the forward correction of Patrini et al. (2017, arXiv:1609.03683): the network then
    learns what is true although the labels are not.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from clustercnn.training import probability_loss
    >>> loss = probability_loss(jnp.zeros((1, 2)), jnp.array([[0.3, 0.7]]))
    >>> round(float(loss[0]), 4)
    0.6931
    """
    return -(target * _as_said(jax.nn.log_softmax(logits), confusion)).sum(axis=1)


def vote_loss(logits, votes, *, confusion=None):
    """
    Return minus the log probability of counts of votes.

    Parameters
    ----------
    logits : 2D `~jax.Array`
        Shape ``(n, n_classes)``. Their exponentials are the concentrations of a Dirichlet
        distribution, whose mean is the softmax: that is the probability predicted. The sum of the
        concentrations, limited to 0.1 to 10 000, says how far people will agree.
    votes : 2D `~jax.Array`
        Number of votes for each class; an item without votes has no loss.
    confusion : sequence of sequence of float, optional
        Probability that a person says the second class where the first is true; the mean
        goes through it as in `probability_loss`.

    Returns
    -------
    loss : 1D `~jax.Array`
        Of each item.

    Notes
    -----
    The Dirichlet-multinomial likelihood of zoobot (Walmsley et al. 2022, MNRAS 509, 3966): an item
    with two votes says less than one with forty, and people who agree on an item do not make the
    network certain beyond what they agree on elsewhere.

    Examples
    --------
    Concentrations of one: all outcomes of two votes are equally likely.

    >>> import jax.numpy as jnp
    >>> from clustercnn.training import vote_loss
    >>> loss = vote_loss(jnp.zeros((3, 2)), jnp.array([[2.0, 0.0], [1.0, 1.0], [0.0, 2.0]]))
    >>> [round(float(value), 4) for value in jnp.exp(-loss)]
    [0.3333, 0.3333, 0.3333]
    """
    total = special.logsumexp(logits, axis=1)
    total = jnp.clip(total, *np.log(_CONCENTRATION))
    said = _as_said(jax.nn.log_softmax(logits), confusion)
    n_votes = votes.sum(axis=1)
    ways = special.gammaln(n_votes + 1) - special.gammaln(votes + 1).sum(axis=1)
    each = _log_rising(said + total[:, None], votes).sum(axis=1)
    return _log_rising(total, n_votes) - each - ways


def _log_rising(logarithm, number):
    """
    Return ``log(gamma(c + number) / gamma(c))`` of a concentration c given by its logarithm.

    By way of the beta function, which loses no digits where c is large; where it is small the
    limit is taken, which does not underflow.
    """
    some = number > 0
    number = jnp.where(some, number, 1.0)
    small = logarithm < _SMALL
    beta = special.betaln(jnp.exp(jnp.where(small, 0.0, logarithm)), number)
    value = special.gammaln(number) + jnp.where(small, logarithm, -beta)
    return jnp.where(some, value, 0.0)


def label_loss(logits, batch, config):
    """
    Return the loss of each item of a batch that a configuration asks for.

    Parameters
    ----------
    logits : 2D `~jax.Array`
        Shape ``(n, n_classes)``.
    batch : dict
        With ``'target'``, or ``'votes'``.
    config : TrainingConfig or None
        Says which; the plain cross-entropy without.

    Returns
    -------
    loss : 1D `~jax.Array`
        Of each item.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from clustercnn.training import TrainingConfig, label_loss
    >>> batch = {'votes': jnp.array([[1.0, 0.0]])}
    >>> loss = label_loss(jnp.zeros((1, 2)), batch, TrainingConfig(target='votes'))
    >>> round(float(loss[0]), 4)
    0.6931
    """
    if config is None:
        return probability_loss(logits, batch['target'])
    if config.target == 'votes':
        return vote_loss(logits, batch['votes'], confusion=config.confusion)
    return probability_loss(logits, batch['target'], confusion=config.confusion)


def vote_shares(dataset, config):
    """
    Return what was said of each item: shares of the votes, or soft labels.

    Parameters
    ----------
    dataset : dict
        With ``'target'``, and ``'votes'`` where the configuration asks for them.
    config : TrainingConfig
        Says which.

    Returns
    -------
    shares : 2D `~numpy.ndarray`
        Shape ``(n, n_classes)``.

    Examples
    --------
    >>> import numpy as np
    >>> from clustercnn.training import TrainingConfig, vote_shares
    >>> vote_shares({'votes': np.array([[3.0, 1.0]])}, TrainingConfig(target='votes')).tolist()
    [[0.75, 0.25]]
    """
    if config.target != 'votes':
        return dataset['target']
    return dataset['votes'] / dataset['votes'].sum(axis=1, keepdims=True)
