"""One model on one device: the plain class behind a cluster's actor and a person's notebook.

It holds what is expensive to make (the weights, the pivot's vectors) and answers questions about
texts. It is an ordinary class, which a cluster makes remote.
"""

from collections.abc import Mapping, Sequence

from actors.answer import Answer
from actors.extraction.capture import Reading, Vectors, capture
from actors.extraction.lens import Latent, LensHead, LensNorm, lens
from actors.extraction.neurons import NeuronSite, NeuronStatistics, Weight, statistics
from actors.extraction.vectors import SteeringVectors, mean_difference
from actors.intervention.setting import Intervention, Setting
from actors.kinds.resources import PivotCache
from actors.model import Description, describe, load
from actors.prediction.decode import Sampling
from actors.prediction.generate import Generated, generate_tokens
from actors.prediction.score import Choice, ask, score
from actors.structure.sites import SiteName
from actors.sweeping.sweep import sweep_choices
from actors.work import run_unit
from studies.measures import State
from studies.spec import POOLINGS, ModelFacts, Pooling
from studies.texts import ChoiceItem, Normalise
from studies.unit import Unit


class ModelActor:
    """A loaded model. `run` serves the schedule, the other methods a person too."""

    def __init__(
        self, facts: ModelFacts, *, device: str = "auto", threads: int | None = None
    ) -> None:
        """Load the model that `facts` describe and prove its sites."""
        self._loaded = load(facts, device=device, threads=threads)
        self._pivots = PivotCache()

    def run(self, unit: Unit, artifacts: Mapping[str, bytes] = {}) -> Answer:
        """The rows of every cell in `unit`, from the `artifacts` of the cells it needs."""
        return run_unit(self._loaded, unit, artifacts=artifacts, pivots=self._pivots)

    def extract(
        self,
        texts: Sequence[str],
        *,
        site: SiteName = "resid_post",
        state: State = "raw",
        poolings: Sequence[Pooling] = POOLINGS,
        layers: Sequence[int] | None = None,
        include_bos: bool = True,
        setting: Setting = (),
        allow_truncation: bool = False,
    ) -> Vectors:
        """Pooled vectors of `texts` at one site; `layers` None means all that the site has.

        `setting` changes the model while they are read.
        """
        if layers is None:
            layers = self._loaded.sites.layers(site)
        readings = [
            Reading(site=site, state=state, pooling=pooling, layer=layer)
            for pooling in poolings
            for layer in layers
        ]
        encoded = self._loaded.encode(texts, allow_truncation=allow_truncation)
        return capture(
            self._loaded, encoded.sequences, readings, include_bos=include_bos, setting=setting
        )

    def score(
        self,
        items: Sequence[ChoiceItem],
        *,
        normalise: Normalise = "sum",
        allow_truncation: bool = False,
    ) -> list[Choice]:
        """The model's ranking of every item's options."""
        return score(self._loaded, items, normalise=normalise, allow_truncation=allow_truncation)

    def sweep(
        self,
        items: Sequence[ChoiceItem],
        settings: Sequence[Setting],
        *,
        normalise: Normalise = "sum",
        allow_truncation: bool = False,
    ) -> list[list[Choice]]:
        """The ranking of every item's options under every setting: [setting][item]."""
        return sweep_choices(
            self._loaded, items, settings, normalise=normalise, allow_truncation=allow_truncation
        )

    def patch(
        self,
        items: Sequence[ChoiceItem],
        sources: Sequence[str],
        *,
        layers: Sequence[int] | None = None,
        site: SiteName = "resid_post",
        allow_truncation: bool = False,
    ) -> dict[int, list[Choice]]:
        """The ranking of every item's options when, at one layer, the state of its last prompt
        token is replaced by that of its source: by layer, every layer of the site by default.

        `sources` are prompts, one for each item, such as the same question in English.
        """
        if len(sources) != len(items):
            raise ValueError(f"{len(sources)} sources for {len(items)} items: give one for each")
        chosen = tuple(self._loaded.sites.layers(site) if layers is None else layers)
        states = self.extract(
            sources,
            site=site,
            poolings=("last",),
            layers=chosen,
            allow_truncation=allow_truncation,
        )
        settings = [
            (
                Intervention(
                    site=site,
                    layer=layer,
                    operation="replace",
                    vector=states.get(site, state="raw", pooling="last", layer=layer),
                    where="last",
                ),
            )
            for layer in chosen
        ]
        swept = self.sweep(items, settings, allow_truncation=allow_truncation)
        return dict(zip(chosen, swept, strict=True))

    def lens(
        self,
        items: Sequence[ChoiceItem],
        *,
        layers: Sequence[int] | None = None,
        norm: LensNorm = "final_norm",
        head: LensHead = "lm_head",
        softcap: bool = True,
        allow_truncation: bool = False,
    ) -> list[Latent]:
        """Log-probabilities of every option's tokens at every layer, for every item."""
        asked = ask(self._loaded, items, allow_truncation=allow_truncation)
        questions = [entry.question for entry in asked]
        return lens(self._loaded, questions, layers=layers, norm=norm, head=head, softcap=softcap)

    def generate(
        self,
        prompts: Sequence[str],
        *,
        max_new_tokens: int = 32,
        setting: Setting = (),
        sampling: Sampling | None = None,
        stop: Sequence[str] = (),
        allow_truncation: bool = False,
    ) -> list[Generated]:
        """Continuations of `prompts`, greedy unless `sampling` says otherwise."""
        prefix = self._loaded.prefix
        return generate_tokens(
            self._loaded,
            [(*prefix, *ids) for ids in self._loaded.tokenise(prompts)],
            max_new_tokens=max_new_tokens,
            setting=setting,
            sampling=sampling,
            stop=stop,
            allow_truncation=allow_truncation,
        )

    def statistics(
        self,
        texts: Sequence[str],
        *,
        site: NeuronSite = "mlp_hidden",
        layers: Sequence[int] | None = None,
        weight: Weight = "sample",
        include_bos: bool = True,
        percentiles: Sequence[float] = (),
        allow_truncation: bool = False,
    ) -> NeuronStatistics:
        """Mean, mean size, share active and percentiles of every neuron over `texts`."""
        encoded = self._loaded.encode(texts, allow_truncation=allow_truncation)
        return statistics(
            self._loaded,
            encoded.sequences,
            site=site,
            layers=layers,
            weight=weight,
            include_bos=include_bos,
            percentiles=percentiles,
        )

    def steering_vectors(
        self,
        toward: Sequence[str],
        away: Sequence[str],
        *,
        layers: Sequence[int],
        site: SiteName = "resid_post",
        allow_truncation: bool = False,
    ) -> SteeringVectors:
        """Mean difference of the last token's states of two lists of prompts, pair by pair."""
        first = self._loaded.encode(toward, allow_truncation=allow_truncation).sequences
        second = self._loaded.encode(away, allow_truncation=allow_truncation).sequences
        return mean_difference(self._loaded, first, second, layers=layers, site=site)

    def describe(self) -> Description:
        """Device, dtype, attention backend, threads, memory and versions."""
        return describe(self._loaded)
