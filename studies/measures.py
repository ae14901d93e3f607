"""The alignment measures: which activation each reads, what it makes of it, and its version.

A measure here is a reading of activations (site and state); the score over two languages' vectors
is the same for all: mutual nearest neighbours (MEXA; NeuronXA, section 2.3). To add a measure of
this kind, add an entry. How activations are read is unknown here.
"""

from dataclasses import dataclass, replace
from typing import Literal

from studies.spec import Switches

Site = Literal["resid_post", "mlp_act", "mlp_hidden"]
State = Literal["raw", "positive", "magnitude"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One measure. `first_layer` is 0 where the embeddings count as a layer, else 1.

    `state` is taken per token, before pooling: the activation itself (`raw`), whether it is above
    zero (`positive`, NAS), or its absolute value (`magnitude`, NAV). `switch` names the switch that
    decides between the two neuron sites, if there is one. Bump `version` when the
    meaning of the value changes: it is part of every key.
    """

    site: Site
    state: State
    first_layer: int
    switch: Literal["nas_site", "nav_site"] | None = None
    version: int = 1

    def layers(self, last: int) -> range:
        """The layers this measure has in a model of `last` blocks."""
        return range(self.first_layer, last + 1)


MEASURES: dict[str, Measure] = {
    "mexa": Measure(site="resid_post", state="raw", first_layer=0),
    "nasca": Measure(site="mlp_act", state="positive", first_layer=1, switch="nas_site"),
    "navca": Measure(site="mlp_hidden", state="magnitude", first_layer=1, switch="nav_site"),
}

NEURON_SITES: dict[str, Site] = {"act": "mlp_act", "h": "mlp_hidden"}


def resolve(name: str, *, switches: Switches) -> Measure:
    """The measure called `name` with the switches applied to its site.

    Raises:
        ValueError: no measure has that name.
    """
    if name not in MEASURES:
        known = ", ".join(MEASURES)
        raise ValueError(f"unknown measure {name!r}: expected one of {known}")
    measure = MEASURES[name]
    if measure.switch is None:
        return measure
    return replace(measure, site=NEURON_SITES[getattr(switches, measure.switch)])


def normed(measure: Measure, *, layer: int, last: int, switches: Switches) -> bool:
    """Whether the residual is read after the final norm: the switch, at the last layer alone."""
    return measure.site == "resid_post" and layer == last and switches.last_layer == "normed"
