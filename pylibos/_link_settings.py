# SPDX-License-Identifier: GPL-2.0-only
"""What one direction of a link does to frames, and how that reaches struct plh_link_config."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pylibos import _abi

_PROBABILITY = 2**32 / 100
_U32, _NS = 2**32 - 1, 2**63 - 1

# Keyword of link_to() and Link.set(): member of struct plh_link_config, its factor, its maximum.
_MEMBERS = {
    "delay_ms": ("delay_ns", 1e6, _NS),
    "jitter_ms": ("jitter_ns", 1e6, _NS),
    "rate_mbit": ("rate_bps", 1e6, _NS),
    "queue_packets": ("queue_packets", 1, _U32),
    "queue_bytes": ("queue_bytes", 1, _NS),
    "loss_pct": ("loss", _PROBABILITY, _U32),
    "duplicate_pct": ("duplicate", _PROBABILITY, _U32),
    "reorder_pct": ("reorder", _PROBABILITY, _U32),
    "corrupt_pct": ("corrupt", _PROBABILITY, _U32),
    "truncate_pct": ("truncate", _PROBABILITY, _U32),
}
SETTINGS = (*_MEMBERS, "loss_model")


def _probability(name: str, pct: float) -> int:
    if not 0 <= pct <= 100:
        raise ValueError(f"{name} is 0 to 100.")
    # 2**32 - 1 is certainty.
    return min(round(pct * _PROBABILITY), _U32)


@dataclass(frozen=True)
class GilbertElliott:
    """Losses in bursts: a link that is in a good or a bad state, each with its chance of loss.

    The model of netem's ``loss gemodel p r 1-h 1-k`` (tc-netem(8)): for each packet the state
    may change, then the packet is lost by the chance of the state before.  It begins in the
    good state.

    Args:
        p_pct: chance that a packet turns the good state into the bad one.
        r_pct: chance that a packet turns the bad state into the good one.
        loss_bad_pct: 1-h, chance of loss in the bad state.
        loss_good_pct: 1-k, chance of loss in the good state.

    Raises:
        ValueError: a chance is not 0 to 100.
    """

    p_pct: float
    r_pct: float
    loss_bad_pct: float = 100
    loss_good_pct: float = 0

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            _probability(name, getattr(self, name))

    @property
    def mean_loss_pct(self) -> float:
        """Share of packets that is lost in the long run."""
        if not self.p_pct:
            return self.loss_good_pct
        bad = self.p_pct / (self.p_pct + self.r_pct)
        return bad * self.loss_bad_pct + (1 - bad) * self.loss_good_pct


def configure(config: Any, settings: Mapping[str, Any]) -> None:
    """Write settings into a struct plh_link_config.

    Raises:
        TypeError: no such setting.
        ValueError: out of range, or both loss_pct and loss_model.
    """
    for key, value in settings.items():
        if key == "loss_model":
            _set_loss_model(config, value, settings.get("loss_pct", 0))
            continue
        if key not in _MEMBERS:
            raise TypeError(f"A link has no setting {key!r}; it has {', '.join(SETTINGS)}.")
        member, factor, limit = _MEMBERS[key]
        if key.endswith("_pct"):
            number = _probability(key, value)
        elif 0 <= value < float("inf"):
            number = min(round(value * factor), limit)
        else:
            raise ValueError(f"{key} is 0 or more.")
        if member == "loss" and not settings.get("loss_model"):
            config.loss_model = _abi.PLH_LOSS_BERNOULLI
        setattr(config, member, number)


def _set_loss_model(config: Any, model: GilbertElliott | None, loss_pct: float) -> None:
    if model is None:
        config.loss_model = _abi.PLH_LOSS_BERNOULLI
        return
    if not isinstance(model, GilbertElliott):
        raise TypeError(
            "loss_model is a GilbertElliott(...), or None for independent losses by loss_pct; "
            f"not {model!r}."
        )
    if loss_pct:
        raise ValueError("Give either loss_pct or loss_model: a link loses by one of them.")
    config.loss_model = _abi.PLH_LOSS_GILBERT_ELLIOTT
    config.loss = 0
    config.good_to_bad = _probability("p_pct", model.p_pct)
    config.bad_to_good = _probability("r_pct", model.r_pct)
    config.loss_in_bad = _probability("loss_bad_pct", model.loss_bad_pct)
    config.loss_in_good = _probability("loss_good_pct", model.loss_good_pct)


def has_chance(config: Any) -> bool:
    """Whether it loses, duplicates, reorders, corrupts or truncates packets."""
    chances = config.loss | config.duplicate | config.reorder | config.corrupt | config.truncate
    return bool(config.loss_model or chances)


def describe(config: Any) -> str:
    """Say in few words what a direction does, "5 ms, 10 Mbit/s, 1 % loss"; "" if nothing."""
    parts = []
    if config.delay_ns or config.jitter_ns:
        jitter = f" ± {config.jitter_ns / 1e6:g}" if config.jitter_ns else ""
        parts.append(f"{config.delay_ns / 1e6:g}{jitter} ms")
    if config.rate_bps:
        parts.append(f"{config.rate_bps / 1e6:g} Mbit/s")
    if config.loss_model == _abi.PLH_LOSS_GILBERT_ELLIOTT:
        parts.append("loss in bursts")
    for member, text in (
        ("loss", "loss"),
        ("duplicate", "duplicated"),
        ("reorder", "reordered"),
        ("corrupt", "corrupted"),
        ("truncate", "truncated"),
    ):
        if share := getattr(config, member):
            parts.append(f"{share / _PROBABILITY:.3g} % {text}")
    return ", ".join(parts)
