"""Write texts with vLLM: one model folder open as an engine, for units of written text alone.

Token ids go in and come out: tokenizer, prompts, ends and rows are those of transformers' way, so
that texts of both engines can be compared. The engine lives in this very process, so that ending
the process ends it; over several GPUs it has one process for each, which end with this one.
"""

import gc
import logging
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import torch

from actors.answer import Answer, EngineDiedError, answer_of
from actors.kinds.generation import EncodedPrompts, written
from actors.loading.device import first_device
from actors.loading.engine import (
    HOW_TO_INSTALL,
    LOGGING,
    cache_bytes,
    environment,
    nameless,
    reason,
    refuse,
    silence,
    tokenised,
)
from actors.loading.weights import refuse_odd
from actors.model import Description, processor
from actors.prediction.decode import Ending, Ends, draw
from actors.prediction.generate import Prompt
from studies.models.config import head_width, read_config
from studies.models.folder import opened
from studies.spec import ModelFacts
from studies.unit import Unit

# After so many new tokens a text is searched for stop strings that several tokens may spell.
SEARCH_TOKENS = 16


class _Request(NamedTuple):
    """One text to write: where a sample of a prompt stops and how its tokens are drawn."""

    prompt: Prompt
    ends: Ends
    parameters: Any
    most: int


class Engine:
    """A model that vLLM has open. It writes, and answers nothing else."""

    def __init__(
        self, facts: ModelFacts, *, device: str = "auto", threads: int | None = None
    ) -> None:
        """Open the model that `facts` describe.

        Args:
            facts: what is known of the model.
            device: `auto`, `cpu`, `cuda`, or `spread`: all GPUs that this process sees, each with
                a process of its own (or the CPU, by the way that several GPUs go).
            threads: CPU threads for this process; None leaves them as they are.

        Raises:
            ValueError: vLLM is not installed, or cannot open this model as it is asked for.
        """
        refuse(facts, device=device)
        if threads is not None:
            torch.set_num_threads(threads)
        folder = str(opened(facts))
        refuse_odd(facts, folder=folder)
        self._model, self._ends = tokenised(facts, folder=folder)
        self._stop_tokens: dict[str, frozenset[int]] = {}
        self._dead = False
        self._set_num_threads = torch.set_num_threads
        with environment(), silence():
            self._vllm = _import()
            self._on_cpu = _on_cpu(facts, device=device)
            if self._on_cpu:
                _refuse_heads(facts, folder=folder)
            try:
                with nameless():
                    self._engine = _open(self._vllm, facts, folder=folder, device=device)
            except ValueError:
                self._vllm.distributed.cleanup_dist_env_and_memory()
                raise
        if LOGGING not in os.environ:  # what fails from here on is an error that is raised
            logging.getLogger("vllm").setLevel(logging.CRITICAL)

    def run(self, unit: Unit, artifacts: Mapping[str, bytes] = {}) -> Answer:  # noqa: ARG002
        """The rows of every cell in `unit`; no cell of written text needs an artifact.

        Raises:
            ValueError: the unit is for another model, is not of written text, or has a prompt or an
                end that cannot be.
            EngineDiedError: vLLM failed in the middle of it: this engine is of no further use.
        """
        facts = self._model.facts
        if unit.model.identity != facts.identity:
            raise ValueError(
                f"the unit is for model {unit.model.label!r} and this engine holds "
                f"{facts.label!r}: send it to a worker that holds that model"
            )
        if unit.kind != "generation":
            raise ValueError(
                f"cells of table {unit.table!r} read inside the model, and vLLM only writes: "
                "use --engine hf"
            )
        return answer_of(unit, written(self._model, unit, write=self._write, engine=engine()))

    def describe(self) -> Description:
        """Where and how the model runs. What vLLM reserves is not what the model needs: no peak."""
        assert self._engine is not None, "an engine that is closed has nothing to tell"
        config = self._engine.vllm_config
        name = processor() if self._on_cpu else torch.cuda.get_device_name()
        return Description(
            model=self._model.facts.label,
            engine=engine(),
            device="cpu" if self._on_cpu else "cuda",
            device_name=name,
            dtype=self._model.facts.dtype,
            attention="vllm",
            threads=torch.get_num_threads(),
            batch_tokens=config.scheduler_config.max_num_batched_tokens,
            weight_bytes=self._model.facts.bytes,
            peak_bytes=0,
            notes=self._model.notes,
        )

    def close(self) -> None:
        """End it, so that its memory is free for what this process opens next."""
        if self._engine is None:
            return
        with environment(), silence():
            self._engine.engine_core.shutdown()
            self._engine = None
            gc.collect()
            self._vllm.distributed.cleanup_dist_env_and_memory()
        torch.set_num_threads = self._set_num_threads

    def _write(self, asked: Sequence[EncodedPrompts]) -> list[list[list[Ending]]]:
        """The texts of all sets, written at once."""
        if self._dead or self._engine is None:
            raise EngineDiedError("this engine has failed before or was closed: open another")
        requests: list[_Request] = []
        for one in asked:
            self._refuse_too_long(one)
            ends = Ends(self._model.tokenizer, one.contents.stop, ends=self._ends)
            for prompt in one.prompts:
                requests += self._samples(one, prompt, ends)
        try:
            found = iter(self._texts(requests, self._generate(requests)))
        except Exception as error:
            self._dead = True  # requests may still be in it, and a process of it may be gone
            said = f"{type(error).__name__}: {reason(error)}"
            raise EngineDiedError(f"vLLM failed while it wrote: {said}") from error
        return [
            [[next(found) for _ in range(one.contents.sampling.n)] for _ in one.prompts]
            for one in asked
        ]

    def _samples(self, asked: EncodedPrompts, prompt: Prompt, ends: Ends) -> list[_Request]:
        """A request for every sample of a prompt."""
        kinds = self._vllm.sampling_params.RequestOutputKind
        contents = asked.contents
        spelled = any(len(text.encode()) > 1 for text in contents.stop)
        stops = frozenset(self._ends).union(*map(self._tokens_with, contents.stop))
        requests = []
        for sample in range(contents.sampling.n):
            drawn = draw(contents.sampling, sample=sample)
            parameters = self._vllm.SamplingParams(
                temperature=drawn.temperature if drawn else 0.0,
                top_p=drawn.top_p if drawn else 1.0,
                seed=drawn.seed_of(prompt) if drawn else None,
                max_tokens=contents.max_new_tokens,
                stop_token_ids=sorted(stops),
                ignore_eos=True,  # the tokens above are all there are
                detokenize=False,
                # Half precision overflows, and a token chosen among no numbers is no answer.
                logprobs=0 if self._model.facts.dtype == "float16" else None,
                output_kind=kinds.DELTA if spelled else kinds.FINAL_ONLY,
                stream_interval=SEARCH_TOKENS if spelled else None,
            )
            requests.append(_Request(prompt, ends, parameters, contents.max_new_tokens))
        return requests

    def _generate(self, requests: Sequence[_Request]) -> list[list[int]]:
        """The new tokens of every request; those behind a stop string may be among them."""
        for number, one in enumerate(requests):
            prompt = {"prompt_token_ids": list(one.prompt)}
            self._engine.add_request(str(number), prompt, one.parameters)
        found: list[list[int]] = [[] for _ in requests]
        while self._engine.has_unfinished_requests():
            stopped = []
            for output in self._engine.step():
                number, (new,) = int(output.request_id), output.outputs
                one = requests[number]
                if new.cumulative_logprob is not None and not math.isfinite(new.cumulative_logprob):
                    raise ValueError(
                        "the logits of what follows a prompt are not finite, as the model "
                        "overflows: use --dtype bfloat16 or float32"
                    )
                found[number] += new.token_ids
                if not output.finished:
                    read = one.ends.window + len(new.token_ids)
                    before, *last = (one.prompt[-1], *found[number][-read - 1 :])[-read - 1 :]
                    if one.ends.holds(before, last):
                        stopped.append(output.request_id)
            if stopped:
                self._engine.abort_request(stopped)
        return found

    def _texts(self, requests: Sequence[_Request], found: Sequence[list[int]]) -> Iterator[Ending]:
        """What the tokens say, each text up to where it ends."""
        for one, new in zip(requests, found, strict=True):
            before = one.prompt[-1]
            length = one.ends.length(before, new)
            ending = one.ends.finish(before=before, new=new, length=length)
            by_itself = ending.stopped != "length"
            assert by_itself or len(new) == one.most, f"a text ended at token {new[-1]}"
            yield ending

    def _tokens_with(self, stop: str) -> frozenset[int]:
        """The tokens whose text holds a stop string: each of them ends a text."""
        if stop not in self._stop_tokens:
            tokenizer = self._model.tokenizer
            most = self._engine.model_config.get_vocab_size()
            one_each = [[number] for number in range(min(len(tokenizer), most))]
            texts = tokenizer.batch_decode(one_each, clean_up_tokenization_spaces=False)
            held = (number for number, text in enumerate(texts) if stop in text)
            self._stop_tokens[stop] = frozenset(held)
        return self._stop_tokens[stop]

    def _refuse_too_long(self, asked: EncodedPrompts) -> None:
        """Raise ValueError for what fits the model's context and not the engine's memory."""
        most = self._engine.model_config.max_model_len
        longest = max(map(len, asked.prompts), default=0) + asked.contents.max_new_tokens
        if longest > most:
            raise ValueError(
                f"a prompt and its {asked.contents.max_new_tokens} new tokens are {longest} "
                f"tokens, and vLLM has room for {most} here: set VLLM_CPU_KVCACHE_SPACE to more "
                f"GiB where there is no GPU, take more or larger GPUs, or use "
                "--engine hf"
            )


def engine() -> str:
    """The name and version of what writes, as rows carry it."""
    try:
        return f"vllm {version('vllm')}"
    except PackageNotFoundError:
        return f"vllm {version('vllm-cpu')}"


def _import() -> Any:
    """The package, with nothing to say but errors."""
    logging.getLogger("vllm").setLevel(os.environ[LOGGING])
    try:
        import vllm
        import vllm.distributed
        import vllm.sampling_params
        import vllm.usage.usage_lib
    except (ImportError, OSError) as error:
        raise ValueError(
            f"the package 'vllm' is installed and cannot be imported ({error}): {HOW_TO_INSTALL}"
        ) from error
    return vllm


def _refuse_heads(facts: ModelFacts, *, folder: str) -> None:
    """Raise ValueError for heads of a width that has no kernel here: vLLM would fail at work."""
    from vllm.v1.attention.backends.cpu_attn import CPUAttentionBackend

    width, known = head_width(read_config(Path(folder))), CPUAttentionBackend
    if width is not None and width not in known.get_supported_head_sizes():
        raise ValueError(
            f"model {facts.label!r} has attention heads of width {width}, for which vLLM has no "
            f"kernel without a GPU (it has {', '.join(map(str, known.get_supported_head_sizes()))})"
            ": use --engine hf"
        )


def _on_cpu(facts: ModelFacts, *, device: str) -> bool:
    """Whether the engine works on the CPU, as vLLM was built for that or for GPUs.

    Raises:
        ValueError: that is not the device asked for.
    """
    from vllm.platforms import current_platform

    kind, built_for = first_device(device).type, "cpu" if current_platform.is_cpu() else "cuda"
    if kind != built_for:
        raise ValueError(
            f"model {facts.label!r} is to run on device {kind!r} and the vLLM of this machine is "
            f"built for {built_for!r}: {HOW_TO_INSTALL}"
        )
    return built_for == "cpu"


def _open(vllm: Any, facts: ModelFacts, *, folder: str, device: str) -> Any:
    """vLLM's engine of the model in a folder."""
    spread = device == "spread"
    on_cpu = vllm.platforms.current_platform.is_cpu()
    given = vllm.EngineArgs(
        model=folder,
        skip_tokenizer_init=True,
        trust_remote_code=facts.trust_remote_code,
        dtype=facts.dtype,
        max_model_len=-1,  # the model's, or what there is memory for
        tensor_parallel_size=max(1, torch.cuda.device_count()) if spread else 1,
        distributed_executor_backend="mp" if spread else "uni",  # never Ray's, which it would find
        enforce_eager=on_cpu,
        kv_cache_memory_bytes=cache_bytes(facts) if on_cpu else None,
        generation_config="vllm",
        disable_log_stats=True,
        use_tqdm_on_load=False,
        seed=0,
    )
    usage = vllm.usage.usage_lib.UsageContext.LLM_CLASS
    try:
        return vllm.LLMEngine.from_engine_args(given, usage_context=usage)
    except Exception as error:  # vLLM raises a dozen kinds; each becomes one sentence
        raise ValueError(
            f"model {facts.label!r} cannot be opened by {engine()}: {reason(error)}; use "
            "--engine hf"
        ) from error
