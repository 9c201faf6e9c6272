"""Architecture parameters, and the paths that they sample."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tilewise.winas.supernet import Choice

LEAST = 1e-6
"""Probability below which no path falls while it is sampled, so that two different ones always can be."""


class Paths:
    """One vector of architecture parameters ``a`` per choice; their softmax is how likely each candidate is.

    Parameters
    ----------
    choices : mapping of str to Choice
        By layer.
    lr : float
        Learning rate of Adam without momentum: what a step does not sample it does not move.
    device : str
        Of the parameters.

    References
    ----------
    Cai et al., "ProxylessNAS: Direct Neural Architecture Search on Target Task and Hardware", ICLR 2019, section 3.2.
    """

    def __init__(self, choices: Mapping[str, Choice], lr: float, device: str) -> None:
        self.choices = choices
        self.alphas: dict[str, Tensor] = {
            name: nn.Parameter(torch.zeros(len(choice.candidates), device=device)) for name, choice in choices.items()
        }
        self.optimizer = torch.optim.Adam(list(self.alphas.values()), lr=lr, betas=(0.0, 0.999))

    def log_probabilities(self, name: str) -> Tensor:
        """Logarithms of how likely each candidate of a layer is, float64 on the CPU."""
        return torch.log_softmax(self.alphas[name].detach().double().cpu(), 0)

    def probabilities(self, name: str) -> Tensor:
        """How likely each candidate of a layer is, float64 on the CPU."""
        return self.log_probabilities(name).exp()

    def sample_one(self, generator: torch.Generator) -> None:
        """Let every choice run one candidate, drawn by its probabilities."""
        for name, choice in self.choices.items():
            choice.paths = (int(torch.multinomial(self.probabilities(name), 1, generator=generator)),)
            choice.gates = None

    def sample_two(self, generator: torch.Generator) -> dict[str, Tensor]:
        """Let every choice run two candidates, drawn by its probabilities, of which one is active; give the gates."""
        gates = {}
        for name, choice in self.choices.items():
            shares = self.probabilities(name).clamp_min(LEAST)
            pair = torch.multinomial(shares, 2, generator=generator)
            active = int(torch.multinomial(shares[pair], 1, generator=generator))
            choice.paths = (int(pair[0]), int(pair[1]))
            choice.gates = torch.tensor([1.0 - active, float(active)], device=self.alphas[name].device)
            gates[name] = choice.gates.requires_grad_()
        return gates

    def step(self, gate_gradients: Mapping[str, Tensor], penalty: Tensor) -> None:
        """Take a step down ``L_model + penalty``.

        ``L_model``'s gradient reaches the two sampled candidates only, through their gates: ``dL/da_i = sum_j dL/dg_j
        p_j (d_ij - p_i)``, with probabilities among the two. Afterwards the two are shifted together so that their
        common share, and with it the others', is not moved by their sampling.

        Parameters
        ----------
        gate_gradients : mapping of str to Tensor of shape (2,)
            By layer, of the gates that :meth:`sample_two` gave.
        penalty : Tensor, scalar
            A function of all architecture parameters.
        """
        self.optimizer.zero_grad(set_to_none=False)
        penalty.backward()  # type: ignore[no-untyped-call]
        before = {}
        with torch.no_grad():
            for name, of_gates in gate_gradients.items():
                alpha, pair = self.alphas[name], list(self.choices[name].paths)
                shares = torch.softmax(alpha[pair], 0)
                assert alpha.grad is not None
                alpha.grad[pair] += shares * (of_gates - shares @ of_gates)
                before[name] = torch.logsumexp(alpha[pair], 0)
            self.optimizer.step()
            for name, was in before.items():
                alpha, pair = self.alphas[name], list(self.choices[name].paths)
                alpha[pair] += was - torch.logsumexp(alpha[pair], 0)

    def squares(self) -> Tensor:
        """``||a||^2`` over all layers."""
        return torch.stack([a.square().sum() for a in self.alphas.values()]).sum()

    def entropy(self) -> float:
        """Mean entropy of the choices in nats: how undecided the search is."""
        shares = [self.probabilities(name) for name in self.alphas]
        return float(torch.stack([torch.special.entr(p).sum() for p in shares]).mean())
