"""The measures over parallel text: what each reads of a model, what it makes of it, its version.

A measure is a reading of activations (site and state) and a score over two languages' vectors:
mutual nearest neighbours (MEXA; NeuronXA, section 2.3), one of the paper's baselines (CKA, SVCCA,
ANC), or the mean cosine of a pair, plain or with each language's mean taken away. To add a measure
of any of these kinds, add an entry.
"""

from dataclasses import dataclass, fields, replace
from functools import lru_cache, partial
from typing import Literal

from studies.spec import Switches
from studies.values import unknown

Site = Literal["resid_post", "mlp_act", "mlp_hidden"]
State = Literal["raw", "positive", "magnitude"]
Score = Literal["mutual_nearest", "cka", "svcca", "anc", "cosine", "cosine_centred"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One measure. `first_layer` is 0 where the embeddings count as a layer, else 1.

    `state` is taken per token, before pooling: the activation itself (`raw`), whether it is above
    zero (`positive`, NAS), or its absolute value (`magnitude`, NAV); `pooled_state` is taken of the
    pooled vector instead, where a switch asks for that order. `score` compares the two languages'
    vectors. `switches` are those that change its value; `settings` are the ones set to another
    than the usual reading, by name. Bump `version` when the meaning of the value changes: it is
    part of every key.
    """

    site: Site
    state: State
    first_layer: int
    score: Score = "mutual_nearest"
    switches: tuple[str, ...] = ()
    pooled_state: State = "raw"
    settings: tuple[tuple[str, object], ...] = ()
    version: int = 1

    def layers(self, last: int) -> range:
        """The layers this measure has in a model of `last` blocks."""
        return range(self.first_layer, last + 1)


# Of the residual stream, from layer 1: the embedding of a last token that is always a period does
# not vary.
_hidden = partial(Measure, site="resid_post", state="raw", first_layer=1)

MEASURES: dict[str, Measure] = {
    "mexa": _hidden(first_layer=0, switches=("tie_rule",)),
    "nasca": Measure(
        site="mlp_act",
        state="positive",
        first_layer=1,
        switches=("nas_site", "nas_order", "tie_rule"),
    ),
    "navca": Measure(
        site="mlp_hidden",
        state="magnitude",
        first_layer=1,
        switches=("nav_site", "nas_order", "tie_rule"),
    ),
    "cka": _hidden(score="cka", switches=("sim_features", "cka")),
    "svcca": _hidden(score="svcca", switches=("sim_features", "svcca_keep")),
    "anc": _hidden(score="anc", switches=("sim_features", "anc_abs")),
    "cosine": _hidden(score="cosine"),
    "cosine_centred": _hidden(score="cosine_centred"),
}
# Those of the NeuronXA paper.
NEURONXA = ("mexa", "nasca", "navca", "cka", "svcca", "anc")

NEURON_SITES: dict[str, Site] = {"act": "mlp_act", "h": "mlp_hidden"}
FEATURES = {"hidden": "mexa", "nas": "nasca", "nav": "navca"}
# What these decide is a site or a state, and in the key as such.
_DECIDED = ("nas_site", "nav_site", "sim_features", "nas_order")
_USUAL = {item.name: item.default for item in fields(Switches)}


def resolve(name: str, *, switches: Switches) -> Measure:
    """The measure called `name` as the switches read it.

    Raises:
        ValueError: no measure has that name.
    """
    if name not in MEASURES:
        raise unknown("measure", name, known=MEASURES)
    measure = MEASURES[name]
    features = MEASURES[FEATURES[switches.sim_features]]
    return _read_as(measure, features if "sim_features" in measure.switches else None, switches)


@lru_cache(maxsize=1024)
def _read_as(measure: Measure, features: Measure | None, switches: Switches) -> Measure:
    """The measure as the switches read it; with `features` it compares what that measure reads."""
    if features is not None:
        # The neurons' own switches then say which neurons.
        found = _read_as(features, None, switches)
        measure = replace(
            measure, site=found.site, state=found.state, pooled_state=found.pooled_state
        )
    for switch in ("nas_site", "nav_site"):
        if switch in measure.switches:
            measure = replace(measure, site=NEURON_SITES[getattr(switches, switch)])
    if "nas_order" in measure.switches and switches.nas_order == "pool_then_state":
        measure = replace(measure, state="raw", pooled_state=measure.state)
    settings = tuple(
        (switch, getattr(switches, switch))
        for switch in measure.switches
        if switch not in _DECIDED and getattr(switches, switch) != _USUAL[switch]
    )
    return replace(measure, settings=settings)


def normed(measure: Measure, layer: int, *, last: int, switches: Switches) -> bool:
    """Whether the residual is read after the final norm: the switch, at the last layer alone."""
    return measure.site == "resid_post" and layer == last and switches.last_layer == "normed"
