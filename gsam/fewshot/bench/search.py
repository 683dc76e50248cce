"""Hyper-parameter search on validation classes, which goes on where it was killed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from gsam.evaluation import NonFiniteError
from gsam.fewshot.bench.cells import Cell
from gsam.fewshot.bench.config import SearchConfig
from gsam.fewshot.bench.search_space import Space
from gsam.fewshot.config import FewShotConfig
from gsam.fewshot.run import FewShotRun
from gsam.fewshot.training import meta_train
from gsam.files import read_json, write_json
from gsam.optim.recipes import recipe

Trial = Mapping[str, Any]


def search(
    cell: Cell, plan: SearchConfig, make_run: Callable[[FewShotConfig], FewShotRun], folder: Path
) -> dict[str, Any]:
    """Try values one after the other, keep each trial in a file of its own, and return the best.

    A trial whose file is there is not run again. What trial ``t`` tries depends only on the plan, ``t`` and the trials
    before it, so a search that was killed and continued chooses what an undisturbed one does.

    Args:
        cell: what is searched, and for which runs.
        plan: how long.
        make_run: binds a configuration to its data.
        folder: for the files of the trials.

    Raises:
        NonFiniteError: every trial failed.
    """
    trials: list[Trial] = []
    for number in range(plan.trials):
        path = folder / f"trial-{number:03d}.json"
        if not path.exists():
            values = suggest(cell.space, trials, plan.sampler_seed)
            config = replace(cell.configure(**{**plan.options, **values}), seeds=plan.seeds)
            write_json(path, {"number": number, "values": values, **_scored(make_run(config))})
        trials.append(read_json(path))
    return best(trials)


def suggest(space: Space, trials: Sequence[Trial], seed: int) -> dict[str, Any]:
    """The values of the next trial, by Optuna's TPE sampler: a function of the arguments alone.

    Failed trials count as worse than all others. The first ten trials are drawn at random, and parameters are drawn in
    the order of the space; so searches with the same seed begin with the same values of the parameters they share.

    Args:
        space: what is searched.
        trials: those that are finished, in order.
        seed: with the number of trials it seeds the sampler.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    state = int(np.random.SeedSequence([seed, len(trials)]).generate_state(1)[0])
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=state))
    distributions = {name: values.distribution() for name, values in space.items()}
    for trial in trials:
        value = trial["validation_accuracy"]
        kind = optuna.trial.TrialState.PRUNED if value is None else optuna.trial.TrialState.COMPLETE
        study.add_trial(
            optuna.trial.create_trial(state=kind, value=value, params=trial["values"], distributions=distributions)
        )
    return dict(study.ask(distributions).params)


def best(trials: Sequence[Trial]) -> dict[str, Any]:
    """The trial of the highest validation accuracy, the first of equals, and how many were tried.

    Raises:
        NonFiniteError: every trial failed.
    """
    finished = [trial for trial in trials if trial["validation_accuracy"] is not None]
    if not finished:
        raise NonFiniteError(
            f"expected one trial with finite scores, found none in {len(trials)}: {trials[-1]['error']}"
        )
    top = max(finished, key=lambda trial: (trial["validation_accuracy"], -trial["number"]))
    return {
        "values": top["values"],
        "validation_accuracy": top["validation_accuracy"],
        "trial": top["number"],
        "trials": len(trials),
        "failed_trials": len(trials) - len(finished),
    }


def validation_accuracy(run: FewShotRun, seed: int) -> float:
    """Best accuracy on the validation classes while training on one seed, in percent; no test class is looked at."""
    method, config = run.build_method(seed), run.config
    history = meta_train(
        method,
        run.graph,
        config.build_optimizer(method.parameters()),
        recipe(config.optimizer),
        run.samplers[seed]["train"],
        run.validation_episodes(seed),
        schedule=config.schedule,
    )
    return history.val_accuracy[history.best]


def _scored(run: FewShotRun) -> dict[str, Any]:
    """Mean over the seeds; a run that diverges fails the trial, for a mean over the others would be of other data."""
    try:
        per_seed = [validation_accuracy(run, seed) for seed in run.config.seeds]
    except NonFiniteError as error:
        return {"validation_accuracy": None, "error": str(error)}
    return {"validation_accuracy": float(np.mean(per_seed)), "per_seed": per_seed}
