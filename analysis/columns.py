"""The columns that analysis reads of every table (docs/tables.md says what they mean).

The one idea: `SCHEMAS` are tables that fit into memory as frames, `STREAMED` ones with a row per
item and setting, of which a study has millions: they are read shard by shard. Files are unknown
here.
"""

from collections.abc import Mapping

import pyarrow as pa

TEXT, WHOLE, REAL = pa.string(), pa.int32(), pa.float64()
SCHEMAS: Mapping[str, pa.Schema] = {
    "alignment": pa.schema(
        [(name, TEXT) for name in ("study", "model", "revision", "dataset", "language", "pivot")]
        + [("measure", TEXT), ("pooling", TEXT), ("layer", WHOLE), ("n", WHOLE), ("value", REAL)]
        + [("ties", WHOLE), ("p_null", REAL), ("key", TEXT), ("switches", TEXT)]
        + [("truncated", WHOLE), ("pairs", TEXT), ("forward", REAL), ("backward", REAL)]
        + [("margin", REAL), ("duplicates", WHOLE), ("tokens", WHOLE), ("pivot_tokens", WHOLE)]
        + [("constant", WHOLE)]
    ),
    "items": pa.schema(
        [(name, TEXT) for name in ("study", "model", "revision", "benchmark", "language", "item")]
        + [("intervention", TEXT), ("layer", WHOLE), ("coefficient", REAL), ("gold", WHOLE)]
        + [("prediction", WHOLE), ("correct", pa.bool_()), ("options", WHOLE), ("key", TEXT)]
        + [("prompt", TEXT), ("truncated", pa.bool_()), ("correct_norm", pa.bool_())]
        + [("mass", REAL), ("other_mass", REAL)]
    ),
    "vectors": pa.schema(
        [(name, TEXT) for name in ("study", "model", "revision", "benchmark", "language", "pivot")]
        + [("prompt", TEXT), ("seed", WHOLE), ("layer", WHOLE), ("n", WHOLE), ("norm", REAL)]
        + [("resid_norm", REAL), ("reliability", REAL), ("key", TEXT)]
    ),
    "generations": pa.schema(
        [(name, TEXT) for name in ("study", "model", "revision", "benchmark", "language", "pivot")]
        + [("item", TEXT), ("intervention", TEXT), ("layer", WHOLE), ("coefficient", REAL)]
        + [("prompt", TEXT), ("engine", TEXT), ("output", TEXT), ("references", pa.list_(TEXT))]
        + [("source", TEXT), ("in_thought", pa.bool_())]
        + [("tokens", WHOLE), ("stopped", pa.bool_()), ("truncated", pa.bool_()), ("key", TEXT)]
        + [("sample", WHOLE), ("task", TEXT), ("settings", TEXT), ("exact", REAL), ("f1", REAL)]
        + [("f1_mixed", REAL), ("chrf", REAL), ("bleu", REAL), ("answer", TEXT)]
        + [("written_language", TEXT), ("written_script", TEXT), ("repetition", REAL)]
    ),
    "points": pa.schema(
        [(name, TEXT) for name in ("study", "model", "revision", "dataset", "language", "pivot")]
        + [("measure", TEXT), ("pooling", TEXT), ("layer", WHOLE), ("method", TEXT)]
        + [("item", TEXT), ("side", TEXT), ("x", REAL), ("y", REAL), ("key", TEXT)]
        + [("switches", TEXT)]
    ),
    "robustness": pa.schema(
        [(name, TEXT) for name in ("study", "model", "revision", "dataset", "language", "pivot")]
        + [("measure", TEXT), ("pooling", TEXT), ("layer", WHOLE), ("n", WHOLE), ("pairs", TEXT)]
        + [("check", TEXT), ("value", REAL), ("low", REAL), ("high", REAL), ("p", REAL)]
        + [("samples", WHOLE), ("key", TEXT), ("switches", TEXT)]
    ),
    "errors": pa.schema(
        [(name, TEXT) for name in ("key", "table", "model", "revision", "dataset", "benchmark")]
        + [("language", TEXT), ("pivot", TEXT), ("measure", TEXT), ("pooling", TEXT)]
        + [("layer", WHOLE), ("intervention", TEXT), ("coefficient", REAL), ("attempts", WHOLE)]
        + [("error", TEXT), ("traceback", TEXT)]
    ),
}
_NUMBERS, _COUNTS = pa.list_(REAL), pa.list_(WHOLE)
STREAMED: Mapping[str, pa.Schema] = {
    "items": pa.schema(
        [
            *SCHEMAS["items"],
            ("pivot", TEXT),
            ("seed", WHOLE),
            ("switches", TEXT),
            ("scores", _NUMBERS),
            ("ranks", _NUMBERS),
        ]
    ),
    "lens": pa.schema(
        [(name, TEXT) for name in ("study", "model", "revision", "benchmark", "language", "pivot")]
        + [("measure", TEXT), ("layer", WHOLE), ("item", TEXT), ("gold", WHOLE)]
        + [("native_logp", _NUMBERS), ("native_tokens", _COUNTS)]
        + [("native_characters", _COUNTS), ("native_bytes", _COUNTS)]
        + [("pivot_logp", _NUMBERS), ("pivot_tokens", _COUNTS)]
        + [("pivot_characters", _COUNTS), ("pivot_bytes", _COUNTS)]
        + [("prompt", TEXT), ("truncated", pa.bool_()), ("key", TEXT), ("switches", TEXT)]
    ),
}
