# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
A plain convolutional network in PyTorch of the size of ``fusion``, trained as long, with the same
flips and turns, the same part kept from training, and the same average over flips and turns.
"""

import numpy as np
import torch
from torch import nn

from clustercnn.labels import split_by_group

# those of the package's default settings for sets of less than a thousand
N_EPOCHS, BATCH_SIZE, LEARNING_RATE, WEIGHT_DECAY = 30, 16, 2e-3, 1e-3
WIDTHS = (24, 40, 56, 72)


def plain_network(n_bands, n_classes):
    """
    Return the network: four convolutions with normalisation and pooling, two dense layers.
    """
    layers, n_in = [], n_bands
    for number, width in enumerate(WIDTHS):
        size, stride = (5, 2) if number == 0 else (3, 1)
        layers += [
            nn.Conv2d(n_in, width, size, stride=stride, padding=size // 2, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        ]
        if number:
            layers.append(nn.MaxPool2d(2))
        n_in = width
    return nn.Sequential(
        *layers,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(n_in, 128),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Linear(128, n_classes),
    )


def _turned(x, index):
    """
    Return pictures flipped or turned in one of eight ways.
    """
    x = torch.rot90(x, index % 4, (2, 3))
    return torch.flip(x, (3,)) if index >= 4 else x


def _averaged(network, x):
    """
    Return log probabilities averaged over the eight ways.
    """
    network.eval()
    with torch.no_grad():
        parts = [
            torch.cat([network(_turned(part, index)) for part in torch.split(x, 64)])
            for index in range(8)
        ]
    return torch.log_softmax(torch.stack(parts).mean(0), dim=1)


def classify(pictures, train, test, seed):
    """
    Train on some pictures and return the class probabilities of others.

    Parameters
    ----------
    pictures : Pictures
        The set.
    train, test : 1D `~numpy.ndarray` of int
        Rows.
    seed : int
        Of everything random.

    Returns
    -------
    probability : 2D `~numpy.ndarray`
        Shape ``(n_test, n_classes)``.
    facts : dict
        Size and epochs.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    x = np.stack(list(pictures.bands.values()), axis=1).astype(np.float32)
    held = split_by_group(pictures.groups[train], fractions=(0.85, 0.15), seed=seed) == 1
    fitted, chosen = train[~held], train[held]
    mean, spread = x[fitted].mean((0, 2, 3)), x[fitted].std((0, 2, 3))
    x = torch.from_numpy((x - mean[:, None, None]) / spread[:, None, None])
    y = torch.from_numpy(pictures.codes.astype(np.int64))
    network = plain_network(x.shape[1], len(pictures.classes))
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    per_epoch = -(-len(fitted) // BATCH_SIZE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, LEARNING_RATE, total_steps=N_EPOCHS * per_epoch, pct_start=0.1
    )
    best, best_epoch, best_state = np.inf, 0, None
    for epoch in range(1, N_EPOCHS + 1):
        network.train()
        order = rng.permutation(fitted)
        for start in range(0, len(order), BATCH_SIZE):
            rows = order[start : start + BATCH_SIZE]
            batch = torch.cat([_turned(x[row : row + 1], int(rng.integers(8))) for row in rows])
            loss = nn.functional.cross_entropy(network(batch), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        value = float(nn.functional.nll_loss(_averaged(network, x[chosen]), y[chosen]))
        if value < best:
            best, best_epoch = value, epoch
            best_state = {name: leaf.clone() for name, leaf in network.state_dict().items()}
    network.load_state_dict(best_state)
    facts = {
        'parameters': sum(leaf.numel() for leaf in network.parameters()),
        'epochs': N_EPOCHS,
        'best_epoch': best_epoch,
    }
    return _averaged(network, x[test]).exp().numpy(), facts
