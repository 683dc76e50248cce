"""The embeddings a norm penalty applies to."""

from __future__ import annotations

from torch import Tensor, nn


def factors(model: nn.Module, head: Tensor, relation: Tensor, tail: Tensor) -> tuple[Tensor, ...]:
    """The moduli of the embeddings of B triples, as N3 takes them: each ``[B, d]``.

    Models of ours say themselves (``model.regularization``). Of PyTorch Geometric's, those that factorise the tensor of
    triples have them: ComplEx, whose entries are complex, and DistMult.

    Raises:
        ValueError: the model is no such factorisation.
    """
    from torch_geometric.nn import ComplEx, DistMult

    own = getattr(model, "regularization", None)
    if own is not None and (found := own(head, relation, tail)):
        return tuple(found)
    if isinstance(model, ComplEx):
        nodes, relations = (model.node_emb, model.node_emb_im), (model.rel_emb, model.rel_emb_im)
        tables = ((nodes, head), (relations, relation), (nodes, tail))
        return tuple(_modulus(real(index), imaginary(index)) for (real, imaginary), index in tables)
    if isinstance(model, DistMult):
        return model.node_emb(head).abs(), model.rel_emb(relation).abs(), model.node_emb(tail).abs()
    raise ValueError(
        f"expected a model whose embeddings N3 applies to (ComplEx, DistMult, or one with regularization()), "
        f"found {type(model).__name__}; set n3 to 0"
    )


def _modulus(real: Tensor, imaginary: Tensor) -> Tensor:
    # hypot's gradient at 0 is NaN; the least normal number keeps it finite and is nothing beside a real entry
    return (real.square() + imaginary.square()).clamp_min(1e-37).sqrt()
