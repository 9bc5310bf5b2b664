"""Every tokenizer there is, a line each. Free of torch.

Options of the command line, fields of the HTTP API and their bounds, help, OpenAPI and the page's forms are
made from here. To add a tokenizer, write its class in a file beside this one and add its line to
`TOKENIZERS`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pipeline.errors import UsageError

if TYPE_CHECKING:
    from pipeline.tokenizers.stream import StreamNeeds, StreamTokenizer


# What a model may have that a tokenizer needs.
Part = Literal["plain patches", "a class token"]


class Option(NamedTuple):
    """A number that a tokenizer is set with.

    Attributes:
        type: int or float.
        default: what holds where none is given.
        says: what it means, as help shows it.
        ge, gt, le, lt: bounds; None for none.
        unit: what the number is, in words: "a share of patches".
    """

    type: type[int] | type[float]
    default: float
    says: str
    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None
    unit: str | None = None

    @property
    def limits(self) -> dict[str, float]:
        """The bounds there are, by name."""
        bounds = {"ge": self.ge, "gt": self.gt, "le": self.le, "lt": self.lt}
        return {name: bound for name, bound in bounds.items() if bound is not None}

    @property
    def bounds(self) -> str:
        """The bounds in words; empty where there are none."""
        above = next((bound for bound in (self.ge, self.gt) if bound is not None), None)
        below = next((bound for bound in (self.le, self.lt) if bound is not None), None)
        words = [f"from {above:g}"] if above is not None else []
        if below is not None:
            words.append(f"to {below:g}" if self.lt is None else f"up to {below:g}")
        open_ends = [f"{bound:g}" for bound in (self.gt, self.lt) if bound is not None]
        return " ".join(words) + (f", {' and '.join(open_ends)} excluded" if open_ends else "")

    def holds(self, value: float) -> bool:
        """Whether a value is of the type and within the bounds."""
        if isinstance(value, bool) or (self.type is int and not float(value).is_integer()):
            return False
        return (
            (self.ge is None or value >= self.ge)
            and (self.gt is None or value > self.gt)
            and (self.le is None or value <= self.le)
            and (self.lt is None or value < self.lt)
        )


class Kind(NamedTuple):
    """A tokenizer, before it is loaded.

    Attributes:
        name: what `--tokenizer`, the API and results call it.
        says: what becomes of a frame, in a few words.
        where: "module:Class" in this package, loaded on first use. The class takes the options by name, after
            the vocabulary where it wants words.
        options: what it is set with, by name. Options of several tokenizers share a name only where they mean
            the same: then all but `says` must be equal.
        needs: what a model must have to take it.
        wants: "words" for a vocabulary, learned from the stream where none is given; else "nothing".
        near: of those that want words: the option that is the cosine distance up to which a patch has a word.
        knob: the option that trades fidelity for tokens, and which way saves more (1 up, -1 down), if any.
    """

    name: str
    says: str
    where: str
    options: Mapping[str, Option] = MappingProxyType({})
    needs: tuple[Part, ...] = ("plain patches",)
    wants: Literal["nothing", "words"] = "nothing"
    near: str | None = None
    knob: tuple[str, Literal[1, -1]] | None = None

    @property
    def says_needs(self) -> str:
        """What it needs, in words for those whose model has not all of it."""
        return f"it needs a Vision Transformer with {' and '.join(self.needs)}"

    def value(self, option: str, given: float | None = None) -> float:
        """The value of an option: its default where none is given.

        Raises:
            UsageError: it is out of range.
        """
        declared = self.options[option]
        if given is None:
            return declared.type(declared.default)
        if not declared.holds(given):
            what = declared.unit or ("a whole number" if declared.type is int else "a number")
            raise UsageError(
                f"--{flag(option)} {given} is out of range: give {what} {declared.bounds}".rstrip()
            )
        return declared.type(given)

    def check(self, given: Mapping[str, Any]) -> dict[str, float]:
        """All options of this tokenizer, with defaults for what is None or not given; others are left out.

        Raises:
            UsageError: one is out of range.
        """
        return {name: self.value(name, given.get(name)) for name in self.options}

    def load(self) -> Any:
        """The tokenizer's class."""
        module, name = self.where.split(":")
        return getattr(import_module(f"{__package__}.{module}"), name)

    def open(self, options: Mapping[str, Any], stream: StreamNeeds) -> StreamTokenizer:
        """A tokenizer for one stream.

        Args:
            options: by name; see `check`.
            stream: what it is to work on.

        Raises:
            UsageError: an option is out of range.
        """
        from pipeline.tokenizers.stream import open_stream

        return open_stream(self, self.check(options), stream)


def flag(option: str) -> str:
    """An option as it is written on the command line, without its dashes."""
    return option.replace("_", "-")


def by_name(*kinds: Kind) -> Mapping[str, Kind]:
    """The tokenizers by name, in that order.

    Raises:
        ValueError: two share a name, or an option that they do not agree on.
    """
    named = {kind.name: kind for kind in kinds}
    if len(named) != len(kinds):
        raise ValueError("two tokenizers share a name")
    declared: dict[str, Option] = {}
    for kind in kinds:
        for name, option in kind.options.items():
            if declared.setdefault(name, option)._replace(says="") != option._replace(says=""):
                raise ValueError(f"option {name} of {kind.name} differs from that of another tokenizer")
    return MappingProxyType(named)


_PAIRS = Option(int, 8, "pairs of tokens merged per layer", ge=0)
_DROP = Option(float, 0.5, "share of patches dropped", ge=0, lt=1, unit="a share of patches")

# In the order of preference where none was asked for.
TOKENIZERS = by_name(
    Kind(
        "inter",
        "patches near the same visual word become one token",
        "inter:InterTokenizer",
        {
            # The default was chosen by measurement (python -m benchmarks.defaults): with 1000 words, of the
            # settings whose change score was at least 0.75 on every clip, the one that kept fewest tokens.
            "threshold": Option(
                float,
                0.02,
                "cosine distance up to which a patch counts as a visual word",
                ge=0,
                le=2,
                unit="a cosine distance",
            )
        },
        wants="words",
        near="threshold",
        knob=("threshold", 1),
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
                float, 0.05, "share of tokens merged away per layer", ge=0, le=0.5, unit="a share of tokens"
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
        {"shrink": Option(float, 1.5, "times fewer clusters than patches along each side", ge=1, le=16)},
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
