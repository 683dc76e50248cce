"""A bench from configuration to results.json."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gsam import __version__
from gsam.environment import environment
from gsam.fewshot.bench.cells import Cell, expand
from gsam.fewshot.bench.config import BenchConfig
from gsam.fewshot.bench.errors import BenchError
from gsam.fewshot.bench.pool import Ready, cores, run_all
from gsam.fewshot.bench.units import FAILED, Outcome, SearchUnit, SeedUnit, Unit, read, run_unit
from gsam.fewshot.config import FewShotConfig
from gsam.fewshot.run import FewShotRun, identity, summary
from gsam.files import atomic_write, claim_folder, write_json

if TYPE_CHECKING:
    from gsam.datasets import NodeDataset

OnUnit = Callable[[Unit, Outcome], Any]


class Bench:
    """A checked grid of few-shot runs, ready to run in a folder.

    Args:
        config: what to run.
        out: folder for everything it writes.
        device: where to train.

    Raises:
        BenchError: a cell of the grid is out of range.
    """

    def __init__(self, config: BenchConfig, out: str | Path, *, device: str = "cpu") -> None:
        self.config, self.out, self.device = config, Path(out), device
        self.cells = expand(config)
        self._names: dict[str, str] = {}  # of the data sets, as they call themselves

    def check_data(self) -> None:
        """Load every data set and draw the splits of all seeds; nothing is computed or written.

        Raises:
            BenchError: data are missing, or do not allow the episodes.
        """
        seeds = self.config.seeds + (self.config.search.seeds if self.config.search else ())
        for name in dict.fromkeys(cell.config.dataset for cell in self.cells):
            tasks = {tuple(c.config.setting.values()): c for c in self.cells if c.config.dataset == name}
            data = self._load(name)
            self._names[name] = data.name
            for cell in tasks.values():
                try:
                    FewShotRun(replace(cell.config, seeds=seeds), data)
                except ValueError as error:
                    raise BenchError(f"{cell.dataset} {cell.setting}: {error}") from error

    def _load(self, name: str) -> NodeDataset:
        from gsam.datasets import load_nodes

        try:
            return load_nodes(name)
        except (ValueError, OSError) as error:
            raise BenchError(f"data set {name!r}: {error}") from error

    def open(self, source: str | Path, *, force: bool = False, resume: bool = False) -> None:
        """Claim the folder, and keep in it the file of the configuration and the configuration of every cell.

        A bench that is resumed may have more cells and seeds than before, but a cell must be what it was.

        Raises:
            BenchError: a cell was configured differently.
            OutputError: the folder is in use.
        """
        if resume:
            for cell in self.cells:
                _check_same(self._folder(cell) / "cell.json", self._identity(cell))
        text = Path(source).read_bytes()
        claim_folder(self.out, force=force, resume=resume)
        for cell in self.cells:
            write_json(self._folder(cell) / "cell.json", self._identity(cell))
        with atomic_write(self.out / "config.yaml") as file:
            file.write(text)

    def _identity(self, cell: Cell) -> dict[str, Any]:
        """What a cell's records depend on, beside the seed."""
        found = {name: value for name, value in cell.config.to_dict().items() if name != "seeds"}
        if (plan := self.config.search) is not None and cell.space:
            search = {"space": repr(cell.space), "trials": plan.trials, "seeds": plan.seeds}
            search |= {"sampler_seed": plan.sampler_seed, **plan.options}
            found |= {f"search {name}": value for name, value in search.items()}
        return {"gsam": __version__, **found}

    def _folder(self, cell: Cell) -> Path:
        return self.out / "cells" / cell.name

    @property
    def remaining(self) -> int:
        """The number of units that are not finished."""
        return sum(not unit.path.exists() for cell in self.cells for unit in self._units(cell))

    @property
    def size(self) -> int:
        """The number of units."""
        return sum(1 for cell in self.cells for _ in self._units(cell))

    def _units(self, cell: Cell) -> Iterator[Unit]:
        """All units of a cell, as far as they can be named: a seed's values are known once the search is done."""
        search = self._search(cell)
        if search is not None:
            yield search
        yield from self._seeds(cell, {})

    def _search(self, cell: Cell) -> SearchUnit | None:
        plan = self.config.search
        return SearchUnit(cell, plan, self._folder(cell) / "search", self.device) if plan and cell.space else None

    def _seeds(self, cell: Cell, chosen: dict[str, Any]) -> list[SeedUnit]:
        folder = self._folder(cell)
        return [SeedUnit(cell, chosen, s, folder / f"seed-{s}", self.device) for s in self.config.seeds]

    def run(self, *, workers: int | None = None, on_unit: OnUnit | None = None) -> None:
        """Run all units that are not finished.

        Args:
            workers: processes, at most; by default one for each core, or a single one on a GPU.
            on_unit: called with each unit that has just ended, and how.

        Raises:
            BenchError: a worker was killed.
        """

        def on_done(unit: Unit, outcome: Outcome) -> list[Ready[Unit]]:
            if on_unit is not None:
                on_unit(unit, outcome)
            return self._ready(unit.cell) if isinstance(unit, SearchUnit) and not outcome.failed else []

        ready = [unit for cell in self.cells for unit in self._ready(cell)]
        count = (cores() if self.device == "cpu" else 1) if workers is None else workers
        run_all(run_unit, ready, on_done, workers=min(count, max(self.remaining, 1)))

    def _ready(self, cell: Cell) -> list[Ready[Unit]]:
        """Units that can run now, with the place of the data set; its units go before those of the next."""
        order = [entry.label for entry in self.config.datasets].index(cell.dataset)
        search = self._search(cell)
        if search is not None and not search.path.exists():
            return [(order, search)]
        chosen = {} if search is None else read(search.path)["values"]
        return [(order, unit) for unit in self._seeds(cell, chosen) if not unit.path.exists()]

    def results(self) -> list[dict[str, Any]]:
        """The results of all cells, as in a single run's results.json, with the cell's labels and what was searched."""
        found = {**environment(self.device), "threads": 1}  # of a worker
        return [self._result(cell, dict(found)) for cell in self.cells]

    def _result(self, cell: Cell, environment: dict[str, Any]) -> dict[str, Any]:
        search = self._search(cell)
        found = read(search.path) if search is not None and search.path.exists() else None
        config = cell.configure(**(found["values"] if found else {}))
        name = self._names.get(config.dataset, config.dataset)
        units = self._seeds(cell, {})
        records = [read(unit.path) for unit in units if unit.path.exists()]
        failed = {str(unit.seed): _failure(unit, search) for unit in units if not unit.path.exists()}
        if failed:
            result = without_score(config, name, records, failed, environment)
        else:
            result = summary(config, name, records, environment)
        return {"cell": cell.labels, **result, **({"search": found} if found else {})}

    def write_results(self) -> list[dict[str, Any]]:
        """Write results.json, and return its content."""
        results = self.results()
        write_json(self.out / "results.json", results)
        return results


def without_score(
    config: FewShotConfig,
    dataset: str,
    records: Sequence[dict[str, Any]],
    failures: dict[str, str],
    environment: dict[str, Any],
) -> dict[str, Any]:
    """Results of a cell in which seeds failed: a mean over the others would be of easier data."""
    return {
        **identity(config, dataset),
        **dict.fromkeys(("accuracy_mean", "accuracy_ci95", "seconds_per_200_episodes")),
        "baseline": {},
        "baseline_ci95": {},
        "per_seed": list(records),
        "failed": failures,
        "environment": environment,
    }


def _failure(unit: SeedUnit, search: SearchUnit | None) -> str:
    """Why a seed has no record."""
    places = [unit.folder / FAILED, *([search.folder / FAILED] if search else [])]
    return next((str(read(path)["error"]) for path in places if path.exists()), "not run")


def _check_same(path: Path, wanted: dict[str, Any]) -> None:
    if not path.exists():
        return
    was, now = read(path), json.loads(json.dumps(wanted))
    changed = sorted(name for name in {*was, *now} if was.get(name) != now.get(name))
    if changed:
        names = ", ".join(changed)
        raise BenchError(f"expected {path.parent.name} as it was, found other values of {names}; use another --out")
