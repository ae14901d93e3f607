"""What models were given, word for word: the first items of every text that a study reads.

A reader judges a benchmark by its prompts, and rows hold none. Three items of each are kept beside
the rows, as every model was given them; any other is read again from the data (show.py).
"""

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from analysis.storage.record import EXAMPLES
from orchestrator.storage.store import Store
from studies.content import Content
from studies.models.folder import opened_small
from studies.prompt_options import Chat
from studies.spec import ModelFacts

KEPT = 3
ExampleRecord = dict[str, Any]
# Texts as a model is given them, under a chat template or, with None, without one; None where it
# cannot be said.
Wording = Callable[[Sequence[str], Chat | None], list[str] | None]


def of_content(content: Content, name: str, *, most: int | None = KEPT) -> ExampleRecord:
    """The first items of a content, or all of them, before any chat template.

    `name` is what the content is called among the pins of run.json.
    """
    return {
        "name": name,
        "benchmark": content.dataset_name,
        "language": content.language,
        "pivot": content.pivot,
        "prompt": content.prompt,
        "chat": None if content.chat is None else asdict(content.chat),
        "items": content.shown()[:most],
    }


def worded(
    records: Iterable[ExampleRecord], *, wordings: Mapping[str, Wording]
) -> list[ExampleRecord]:
    """The records with `given` in every item: what the model of each name was given."""
    found = []
    for record in records:
        texts = [item["text"] for item in record["items"]]
        chat = _chat(record["chat"])
        by_model = {name: word(texts, chat) for name, word in wordings.items()}
        items = [
            item | {"given": {name: said[place] for name, said in by_model.items() if said}}
            for place, item in enumerate(record["items"])
        ]
        found.append(record | {"items": items})
    return found


def wordings(models: Iterable[ModelFacts]) -> dict[str, Wording]:
    """How each model is given a text; one whose tokenizer cannot be read here is left out."""
    from actors.tokens.tokenised import TokenisedModel, prefix_of
    from actors.tokens.tokenizer import load_tokenizer

    found: dict[str, Wording] = {}
    for facts in models:
        try:
            tokenizer, _ = load_tokenizer(facts, folder=str(opened_small(facts)))
            held = TokenisedModel(
                facts=facts,
                tokenizer=tokenizer,
                prefix=prefix_of(tokenizer),
                vocabulary=sys.maxsize,  # nothing is looked up here
            )
        except Exception:
            # Whatever is wrong with it, the actor says so; an example is not worth a run.
            continue
        found[facts.label] = _wording(held)
    return found


def keep(records: Sequence[ExampleRecord], *, store: Store) -> None:
    """Write the records beside the rows, those of earlier launches with them."""
    before = read(store)
    kept = {record["name"]: record for record in before}
    for record in records:
        kept[record["name"]] = _joined(kept.get(record["name"]), record)
    if list(kept.values()) != before:
        text = json.dumps(list(kept.values()), ensure_ascii=False, indent=1)
        store.files.put(EXAMPLES, text.encode("utf-8", "backslashreplace"))


def unworded(models: Iterable[ModelFacts], *, store: Store) -> list[ModelFacts]:
    """The models of which no record says yet what they were given."""
    records = read(store)
    given = {name for one in records for item in one["items"] for name in item.get("given", {})}
    return [model for model in models if model.label not in given]


def _joined(before: ExampleRecord | None, now: ExampleRecord) -> ExampleRecord:
    """A record with what other models were given of the same items by an earlier launch."""
    if before is None or any(before.get(name) != now[name] for name in ("prompt", "chat")):
        return now
    given = {item["id"]: item.get("given", {}) for item in before["items"]}
    items = [item | {"given": given.get(item["id"], {}) | item["given"]} for item in now["items"]]
    return now | {"items": items}


def read(store: Store) -> list[ExampleRecord]:
    """The records that a run has, none where an older version wrote it."""
    try:
        found = json.loads(store.files.read(EXAMPLES))
    except (FileNotFoundError, ValueError):
        return []
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _chat(record: ExampleRecord | None) -> Chat | None:
    """How texts are put in a chat template, from its plain values."""
    if record is None:
        return None
    arguments = tuple((name, value) for name, value in record["arguments"])
    return Chat(**record | {"arguments": arguments})


def _wording(held: Any) -> Wording:
    """A model's own way: its prefix before a text, or its chat template around it."""

    def word(texts: Sequence[str], chat: Chat | None) -> list[str] | None:
        try:
            said = held.in_chat(texts, chat=chat)
            ids = held.tokenise(said)
        except Exception:
            return None  # the actor says why; these texts are none that it was given
        prefix = held.tokenizer.decode(list(held.prefix), skip_special_tokens=False)
        own = [len(held.begin(one, chat=chat)) > len(one) for one in ids]
        return [prefix + text if before else text for before, text in zip(own, said, strict=True)]

    return word
