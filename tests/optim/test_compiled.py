"""``torch.compile``: steps inside compiled code, models compiled and trained, and geoopt's optimizers as bases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import geoopt
import pytest
import torch
from torch import Tensor, nn

from gsam.nn import PeerMLP
from gsam.nodes import build_model
from gsam.optim import FGSAM, SAM, ChartAdam, FGSAMPlus, LorentzSAM, RiemannianAdam, RiemannianSAM, RiemannianSGD
from tests.contracts.optimizer_cases import BY_HAND, CASES, Case
from tests.optim.manifold_problems import Mixed
from tests.optim.problems import Problem, equal

pytestmark = [
    pytest.mark.filterwarnings("ignore:Sparse invariant checks"),
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf"),  # the compiler looks there
]
Step = Callable[..., Any]


@pytest.fixture(autouse=True)
def _forget_compiled_code() -> Iterator[None]:
    """Of the functions that many cases share, or the compiler gives up on them after eight."""
    yield
    torch.compiler.reset()


def compiled(function: Step) -> Step:
    """The frontend alone: what it does not see, and where it leaves the graph, does not depend on the backend."""
    return torch.compile(function, backend="eager")  # type: ignore[no-any-return]


def called(function: Step) -> Step:
    """As a call inside a larger compiled function."""
    return compiled(lambda *args, **kwargs: function(*args, **kwargs))


WAYS: dict[str, Callable[[Step], Step]] = {"itself": compiled, "called": called}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_compiled_step_is_the_step(case: Case, way: str) -> None:
    """Bit for bit, since it is not compiled."""
    found = []
    for wrap in (lambda function: function, WAYS[way]):
        problem = Problem()
        opt = case.build(problem.params, torch.optim.Adam)
        opt.step = wrap(opt.step)  # type: ignore[method-assign]
        for t in range(3):
            torch.manual_seed(t)
            problem.step(opt, peer=case.peer)
        assert opt.skipped_steps == 0
        found.append(problem.weights())
    assert equal(*found)


@pytest.mark.parametrize("case", [case for case in BY_HAND if case.scale_free], ids=str)
def test_a_compiled_step_by_hand(case: Case) -> None:
    climb, descend = (name == "gnn" for name in case.passes[0])
    found = []
    for wrap in (lambda function: function, compiled):
        problem = Problem()
        opt = case.build(problem.params, torch.optim.Adam)

        def step(problem: Problem = problem, opt: Any = opt) -> None:
            opt.zero_grad()
            problem.loss(climb).backward()
            with opt.perturbed():
                problem.loss(descend).backward()
            opt.descend()

        run = wrap(step)
        for _ in range(3):
            run()
        found.append(problem.weights())
    assert equal(*found)


BASES = [RiemannianAdam, RiemannianSGD, ChartAdam, geoopt.optim.RiemannianAdam, geoopt.optim.RiemannianSGD]


@pytest.mark.parametrize("kind", [LorentzSAM, RiemannianSAM])
@pytest.mark.parametrize("base", BASES, ids=lambda base: f"{base.__module__.split('.')[0]}-{base.__name__}")
def test_manifolds_are_seen(base: type[torch.optim.Optimizer], kind: type[RiemannianSAM]) -> None:
    """With geoopt's as bases too, which take points for plain numbers when compiled by themselves."""
    found = []
    for wrap in (lambda function: function, compiled):
        problem = Mixed("lorentz")
        opt = kind(problem.params, base, lr=0.1, rho=0.2)
        opt.step = wrap(opt.step)  # type: ignore[method-assign]
        for _ in range(3):
            opt.step(problem.closure(opt))
        found.append(problem.weights())
        points = problem.params[0]
        assert points.manifold.check_point_on_manifold(points, atol=1e-10, rtol=1e-10)
    assert equal(*found)


@pytest.mark.parametrize("base", BASES[3:], ids=lambda base: base.__name__)
def test_what_geoopt_does(base: type[torch.optim.Optimizer]) -> None:
    """Why ours run uncompiled: geoopt's own compiled step leaves the manifold, without a word."""
    problem = Mixed("lorentz")
    opt = base(problem.params, lr=0.1)  # type: ignore[call-arg]
    problem.closure(opt)()
    compiled(lambda: opt.step())()
    points = problem.params[0]
    assert not points.manifold.check_point_on_manifold(points, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(
    "build", [lambda p: SAM(p, torch.optim.Adam), lambda p: RiemannianAdam(p)], ids=["sam", "radam"]
)
def test_one_graph_is_refused(build: Callable[[Any], Any]) -> None:
    """``fullgraph=True`` asks for what cannot be, and is told so."""
    problem = Problem()
    opt = build(problem.params)
    before = problem.weights()
    step = torch.compile(lambda: opt.step(problem.closure(opt)), backend="eager", fullgraph=True)
    with pytest.raises(torch._dynamo.exc.Unsupported, match="should not be traced"):
        step()
    assert equal(problem.weights(), before)


def test_a_compiled_model_stays_compiled_in_a_closure() -> None:
    """The step is not compiled, what its closure calls is."""
    graphs: list[Any] = []

    def backend(graph: Any, inputs: Any) -> Any:
        graphs.append(inputs)
        return graph.forward

    problem = Problem()
    model = torch.compile(problem.model, backend=backend)
    opt = SAM(problem.params, torch.optim.Adam, module=problem.model)

    def closure() -> Tensor:
        opt.zero_grad()
        loss = nn.functional.cross_entropy(model(problem.x, problem.adjacency), problem.y)
        loss.backward()
        return loss

    opt.step(closure)
    assert len(graphs) == 1


# -- models -----------------------------------------------------------------------------------------------------------


def node_problem(norm: str = "batch") -> tuple[nn.Module, Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    model = build_model("gcn", 5, 3, hidden=8, dropout=0.0, norm=norm).double()
    edges = torch.randint(30, (2, 120))
    return model, torch.randn(30, 5, dtype=torch.float64), edges, torch.arange(30) % 3


def test_node_models_and_their_peers() -> None:
    """Values and gradients; in training mode, with batch norm."""
    model, x, edges, _ = node_problem()
    peer = PeerMLP(model)
    params = list(model.parameters())
    for function in (lambda: model(x, edges), lambda: peer(x)):
        results = []
        for run in (function, torch.compile(function, backend="aot_eager")):
            found = run()
            results.append([found, *torch.autograd.grad(found.square().sum(), params)])
        torch.testing.assert_close(*results, rtol=1e-10, atol=1e-12)


def _trained(kind: Callable[[nn.Module], Any], backend: str | None, dtype: torch.dtype, steps: int = 4) -> list[Tensor]:
    model, x, edges, y = node_problem()
    model, x = model.to(dtype), x.to(dtype)
    opt, peer = kind(model), PeerMLP(model)
    runs = [lambda: model(x, edges), lambda: peer(x)]
    if backend is not None:
        runs = [torch.compile(run, backend=backend) for run in runs]

    def closure(run: Callable[[], Tensor]) -> Tensor:
        opt.zero_grad()
        loss = nn.functional.cross_entropy(run(), y)
        loss.backward()
        return loss

    closures = [lambda run=run: closure(run) for run in (runs if isinstance(opt, FGSAM | FGSAMPlus) else runs[:1])]
    for _ in range(steps):
        opt.step(*closures)
    assert opt.skipped_steps == 0
    return [*model.parameters(), *model.buffers()]


TRAININGS: dict[str, Callable[[nn.Module], Any]] = {
    "sam": lambda m: SAM(m.parameters(), torch.optim.Adam, lr=0.01, rho=0.1, module=m),
    "fgsam": lambda m: FGSAM(m.parameters(), torch.optim.Adam, lr=0.01, rho=0.1, module=m),
    "fgsam+": lambda m: FGSAMPlus(m.parameters(), torch.optim.Adam, lr=0.01, rho=0.1, k=2, module=m),
}


@pytest.mark.parametrize("name", TRAININGS)
def test_training_a_compiled_model(name: str) -> None:
    """The weights and running statistics after several steps."""
    expected = _trained(TRAININGS[name], None, torch.float64)
    found = _trained(TRAININGS[name], "aot_eager", torch.float64)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.slow
def test_training_with_the_default_backend() -> None:
    """In float32, to 1e-6; with SGD, as Adam's first steps make 1 of a gradient of rounding errors."""
    make = lambda m: SAM(m.parameters(), torch.optim.SGD, lr=0.1, rho=0.1, module=m)  # noqa: E731
    expected, found = (_trained(make, backend, torch.float32) for backend in (None, "inductor"))
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
