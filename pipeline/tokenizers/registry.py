"""Every tokenizer there is, a line each. Free of torch.

Options of the command line, fields of the HTTP API and their bounds, help, OpenAPI and the page's forms are
made from here. To add a tokenizer, write its class in a file beside this one and add its line to
`TOKENIZERS`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from pipeline.errors import UsageError
from pipeline.tokenizers.kind import Kind, Option, Part, Value, by_name, flag

__all__ = [
    "TOKENIZERS",
    "Kind",
    "Option",
    "Part",
    "Value",
    "all_options",
    "by_name",
    "flag",
    "kind_of",
    "preferred",
    "taken_with",
]

_PAIRS = Option(int, 8, "pairs of tokens merged per layer", ge=0, tries=(4, 8, 12, 16, 20))
_DROP = Option(
    float,
    0.5,
    "share of patches dropped",
    ge=0,
    lt=1,
    unit="a share of patches",
    tries=(0.1, 0.25, 0.5, 0.7, 0.85),
)

_CACHE = Option(
    str,
    "bf16",
    "type that a stream's keys and values are kept in",
    choices=("fp32", "bf16", "int8"),
)

# In the order of preference where none was asked for: first what needs least of the operations for a cosine
# p5 of .98 (`vwt bench`, BENCHMARKS.md).
TOKENIZERS = by_name(
    Kind(
        "recall",
        "what did not change since the stream's last frame is recalled, the rest computed anew",
        "recall:RecallTokenizer",
        {
            "target": Option(
                float,
                0.98,
                "5th percentile of the cosine to the answers of `full` that is to be kept",
                ge=0.5,
                lt=1,
                unit="a cosine",
                tries=(0.95, 0.97, 0.98, 0.99, 0.995),
            ),
            "cache": _CACHE,
            # One by one: on the CPU rounding up costs what it adds. For runtimes that want few lengths.
            "bucket": Option(int, 1, "tokens that run are rounded up to a multiple of it", ge=1, le=256),
            # Off: at the same share keys won on every sample clip (docs/tokenizers.md).
            "merge_words": Option(
                float,
                0.0,
                "where a whole frame runs merged, cosine distance up to which patches of one visual word "
                "merge; 0 to merge by keys, without words",
                ge=0,
                le=2,
                unit="a cosine distance",
            ),
        },
        wants="words if near",
        near="merge_words",
        knob=("target", -1),
        stateful=True,
        holds="target",
    ),
    Kind(
        "inter",
        "what kept its visual word since the stream's last frame is recalled, the rest computed anew",
        "inter:inter_tokenizer",
        {
            # The default keeps a cosine p5 of .98 on every sample clip in both forms (`vwt bench`,
            # BENCHMARKS.md); the paper's .1 does not.
            "threshold": Option(
                float,
                0.02,
                "cosine distance up to which a patch counts as a visual word, or as unchanged",
                ge=0,
                le=2,
                unit="a cosine distance",
                tries=(0.005, 0.02, 0.05, 0.1, 0.2),
            ),
            "cache": _CACHE,
            "exact": Option(
                bool,
                False,
                "the paper's form: nothing is recalled, patches of a frame near the same word become one",
            ),
            # Off: over native frames of the sample clips it gained on some and lost on others (vwt bench).
            "count_sizes": Option(
                bool, False, "as exact, but attention counts a merged token per patch, as token merging does"
            ),
        },
        wants="words",
        near="threshold",
        knob=("threshold", 1),
        stateful=True,
    ),
    Kind(
        "intra",
        "the flattest patches are dropped",
        "intra:IntraTokenizer",
        {"drop": _DROP},
        knob=("drop", 1),
    ),
    Kind(
        "merge",
        "after every layer the most similar pairs of tokens become one (ToMe)",
        "merge:MergeTokenizer",
        {"r": _PAIRS},
        knob=("r", 1),
    ),
    Kind(
        "pitome",
        "after every layer tokens in crowds of similar ones merge, rare ones are spared (PiToMe)",
        "pitome:PitomeTokenizer",
        {
            "merge_share": Option(
                float,
                0.05,
                "share of tokens merged away per layer",
                ge=0,
                le=0.5,
                unit="a share of tokens",
                tries=(0.02, 0.05, 0.08, 0.12),
            )
        },
        knob=("merge_share", 1),
    ),
    Kind(
        "mctf",
        "after every layer pairs of similar, little attended, small tokens become one (MCTF)",
        "mctf:MctfTokenizer",
        {"r": _PAIRS},
        knob=("r", 1),
    ),
    Kind(
        "cluster",
        "neighbouring patches become clusters inside the model, of which every patch is made anew",
        "cluster:ClusterTokenizer",
        {
            "shrink": Option(
                float,
                1.5,
                "times fewer clusters than patches along each side",
                ge=1,
                le=16,
                tries=(1.25, 1.5, 2, 3),
            )
        },
        knob=("shrink", 1),
    ),
    Kind(
        "ats",
        "patches are sampled by what the class token takes from them, as many as the frame needs (ATS)",
        "ats:AtsTokenizer",
        {"drop": _DROP},
        needs=("plain patches", "a class token"),
        knob=("drop", 1),
    ),
    Kind(
        "zerotprune",
        "patches that few attend to, or that a more important one resembles, are dropped (Zero-TPrune)",
        "zerotprune:ZeroTPruneTokenizer",
        {"drop": _DROP},
        knob=("drop", 1),
    ),
    Kind(
        "prune",
        "the patches that the class token attends to least are dropped",
        "prune:PruneTokenizer",
        {"drop": _DROP},
        needs=("plain patches", "a class token"),
        knob=("drop", 1),
    ),
    Kind(
        "random",
        "patches are dropped at random: a control",
        "random:RandomTokenizer",
        {"drop": _DROP},
        knob=("drop", 1),
        control=True,
    ),
    Kind("full", "every patch is a token: the plain model", "full:FullTokenizer", needs=()),
)


def kind_of(name: str) -> Kind:
    """A tokenizer by its name.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in TOKENIZERS:
        raise UsageError(f"unknown tokenizer '{name}'; use one of {', '.join(TOKENIZERS)}")
    return TOKENIZERS[name]


def taken_with(parts: Collection[Part]) -> tuple[str, ...]:
    """Names of the tokenizers that a model with these parts takes."""
    return tuple(name for name, kind in TOKENIZERS.items() if set(kind.needs) <= set(parts))


def preferred(taken: Sequence[str]) -> Kind:
    """What runs where none was asked for, by the names of those that a model takes."""
    return next(kind for name, kind in TOKENIZERS.items() if name in taken)


def all_options() -> dict[str, tuple[Option, list[str]]]:
    """Every option there is, with the names of the tokenizers that have it."""
    found: dict[str, tuple[Option, list[str]]] = {}
    for kind in TOKENIZERS.values():
        for name, option in kind.options.items():
            found.setdefault(name, (option, []))[1].append(kind.name)
    return found
