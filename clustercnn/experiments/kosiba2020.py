# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The comparison of networks and labels of Kosiba et al. (2020, MNRAS 496, 4141), from the sky to
the page.
"""

import json
import shutil
from pathlib import Path

import clustercnn
from clustercnn._utils.files import atomic_path
from clustercnn.experiments.analysis import analyse
from clustercnn.experiments.config import Kosiba2020Config
from clustercnn.experiments.figures import FIGURES
from clustercnn.experiments.page import write_page
from clustercnn.experiments.runs import json_ready, load_runs, train_runs, write_json
from clustercnn.experiments.sample import published_sample, simulated_sample

__all__ = ['run_kosiba2020']

_RECORD = 'experiment.json'
_OURS = (_RECORD, 'results.json', 'report.html', 'experts.csv', 'votes.csv', 'sky', 'runs')


def run_kosiba2020(output, *, data=None, config=None, n_workers=1, overwrite=False, quiet=None):
    """
    Compare the paper's networks with the package's own, on labels of experts and of volunteers.

    Parameters
    ----------
    output : str or path-like
        Folder for cutouts, runs, ``results.json``, figures and ``report.html``. Called again
        after an interruption with the same settings, it goes on where it stopped, and the
        results are the same on the same machine and as many cores.
    data : str or path-like, optional
        The published image set, see `~clustercnn.io.read_kosiba2020`. By default sky and people
        are *simulated*.
    config : Kosiba2020Config, optional
        Settings.
    n_workers : int, optional
        Processes that simulate and train. With more than one, a script must call this under
        ``if __name__ == '__main__':``, since each process imports it anew.
    overwrite : bool, optional
        Whether another experiment in the folder may be removed. Only another one is: with equal
        settings what is there is kept and gone on with. Remove the folder to start afresh.
    quiet : bool, optional
        Whether to hide progress bars.

    Returns
    -------
    results : dict
        What ``results.json`` holds: accuracy with its scatter over runs and its sampling
        intervals, ROC curves, tests, tables; see `the page <../user_guide/paper_again.html>`_.

    Raises
    ------
    FileExistsError
        If the folder holds an experiment with other settings, or other things of these names.
    TableReadError
        If the image set cannot be read.

    Notes
    -----
    The sample has the sizes of the paper: 1707 candidates of two experts, 1600 of thousands of
    volunteers, 404 of both, of which 85 clusters and 85 others are known by spectroscopy and
    are tested on. Everything learnt from lies on other fields than what is tested on.

    Examples
    --------
    >>> import inspect
    >>> from clustercnn.experiments import run_kosiba2020
    >>> list(inspect.signature(run_kosiba2020).parameters)[:3]
    ['output', 'data', 'config']
    """
    config = Kosiba2020Config() if config is None else config
    folder = Path(output)
    if folder.exists() and not folder.is_dir():
        msg = f'{folder}: is a file, expected the name of a folder'
        raise NotADirectoryError(msg)
    settings = {
        'config': config.to_dict(),
        'data': None if data is None else 'published image set',
        'version': clustercnn.__version__,
    }
    _claim(folder, settings, overwrite=overwrite)
    if data is None:
        sample = simulated_sample(folder, config=config, n_workers=n_workers, quiet=quiet)
    else:
        sample = published_sample(data, config=config, quiet=quiet)
    # what was trained on something else must not be taken for done
    digest = {**settings, 'digest': sample.digest()}
    _claim(folder, digest, overwrite=overwrite, parts=('runs', 'results.json', 'report.html'))
    train_runs(folder / 'runs', sample, config=config, n_workers=n_workers, quiet=quiet)
    runs = load_runs(folder / 'runs', sample, config=config)
    results = {'version': clustercnn.__version__, **analyse(sample, runs, config=config)}
    # whoever reads the file gets the same
    results = json_ready(results)
    write_json(folder / 'results.json', results)
    pictures = {}
    for name, draw in FIGURES.items():
        figure = draw(results)
        path = folder / f'{name}.png'
        path.unlink(missing_ok=True)
        if figure is not None:
            with atomic_path(path) as temporary:
                figure.savefig(temporary, dpi=150)
            pictures[name] = path
    write_page(folder / 'report.html', results, pictures)
    return results


def _claim(folder, settings, *, overwrite, parts=_OURS):
    """
    Make the folder one of an experiment with these settings, or say why it cannot be.
    """
    path = folder / _RECORD
    known = json.loads(path.read_text(encoding='utf-8')) if path.exists() else None
    if known is None:
        taken = [name for name in _OURS if (folder / name).exists()]
        if taken and not overwrite:
            msg = (
                f'{folder}: holds {", ".join(taken)}, but not of this experiment; choose another '
                'folder, or overwrite them (--overwrite, overwrite=True)'
            )
            raise FileExistsError(msg)
    else:
        different = _differences(known, settings)
        if not different:
            if known != settings:
                write_json(path, settings | known)
            return
        if not overwrite:
            more = f' and {len(different) - 3} other settings' if len(different) > 3 else ''
            msg = (
                f'{folder}: holds an experiment with another {", ".join(different[:3])}{more}; ask '
                'for the same (--quick if it was one), choose another folder, or overwrite it '
                '(--overwrite, overwrite=True)'
            )
            raise FileExistsError(msg)
    _remove(folder, parts)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(path, settings)


def _differences(known, wanted):
    """
    Return what two records say differently, each setting by its name.
    """
    names = []
    for key in known.keys() & wanted.keys():
        one, other = known[key], wanted[key]
        if isinstance(one, dict) and isinstance(other, dict):
            names += [
                f'{name} ({one.get(name)} instead of {other.get(name)})'
                for name in sorted(one.keys() | other.keys())
                if one.get(name) != other.get(name)
            ]
        elif one != other:
            names.append(f'{key} ({one} instead of {other})')
    return names


def _remove(folder, parts):
    for name in (*parts, *(f'{name}.png' for name in FIGURES)):
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
