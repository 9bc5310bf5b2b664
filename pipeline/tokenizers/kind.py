"""What a tokenizer is before it is loaded: its name, its options and their bounds. Free of torch."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pipeline.errors import UsageError

if TYPE_CHECKING:
    from pipeline.tokenizers.stream import StreamNeeds, StreamTokenizer


# What a model may have that a tokenizer needs.
Part = Literal["plain patches", "a class token"]


# What an option may be set to.
Value = float | str


class Option(NamedTuple):
    """A number, switch or choice that a tokenizer is set with.

    Attributes:
        type: int, float, bool for a switch, which has no bounds and is off by default, or str for one of
            `choices`.
        default: what holds where none is given.
        says: what it means, as help shows it.
        ge, gt, le, lt: bounds; None for none.
        unit: what the number is, in words: "a share of patches".
        tries: of a `Kind.knob`: values that `vwt bench` holds against each other.
        choices: of a str: all that it may be.
    """

    type: type[int] | type[float] | type[bool] | type[str]
    default: Value
    says: str
    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None
    unit: str | None = None
    tries: tuple[float, ...] = ()
    choices: tuple[str, ...] = ()

    @property
    def limits(self) -> dict[str, float]:
        """The bounds there are, by name."""
        bounds = {"ge": self.ge, "gt": self.gt, "le": self.le, "lt": self.lt}
        return {name: bound for name, bound in bounds.items() if bound is not None}

    @property
    def bounds(self) -> str:
        """The bounds, or the choices, in words; empty where there are none."""
        if self.choices:
            return f"{', '.join(self.choices[:-1])} or {self.choices[-1]}"
        above = next((bound for bound in (self.ge, self.gt) if bound is not None), None)
        below = next((bound for bound in (self.le, self.lt) if bound is not None), None)
        words = [f"from {above:g}"] if above is not None else []
        if below is not None:
            words.append(f"to {below:g}" if self.lt is None else f"up to {below:g}")
        open_ends = [f"{bound:g}" for bound in (self.gt, self.lt) if bound is not None]
        return " ".join(words) + (f", {' and '.join(open_ends)} excluded" if open_ends else "")

    def holds(self, value: Value) -> bool:
        """Whether a value is of the type, and within the bounds or one of the choices."""
        if self.type is str or isinstance(value, str):
            return value in self.choices
        if self.type is bool:
            return value in (False, True)
        if isinstance(value, bool) or (self.type is int and not float(value).is_integer()):
            return False
        return (
            (self.ge is None or value >= self.ge)
            and (self.gt is None or value > self.gt)
            and (self.le is None or value <= self.le)
            and (self.lt is None or value < self.lt)
        )


_WHAT = {int: "a whole number", float: "a number", bool: "true or false", str: ""}


class Kind(NamedTuple):
    """A tokenizer, before it is loaded.

    Attributes:
        name: what `--tokenizer`, the API and results call it.
        says: what becomes of a frame, in a few words.
        where: "module:name" in this package of a class, or of a function that makes it, loaded on first use.
            It takes the options by name, and `vocabulary` where it wants words.
        options: what it is set with, by name. Options of several tokenizers share a name only where they mean
            the same: then all but `says` must be equal.
        needs: what a model must have to take it.
        wants: "words" for a vocabulary, learned from the stream where none is given; "words if near" where it
            wants one only if `near` is not 0; else "nothing".
        near: of those that want words: the option that is the cosine distance up to which a patch has a word.
        stateful: whether it keeps what its stream has paid for unless an option says otherwise, see
            `stateful.StatefulTokenizer`.
        control: whether it is there to be beaten by the others.
        holds: the option that is a target of the cosine which it holds by itself, if any.
        knob: the option that trades fidelity for tokens, and which way saves more (1 up, -1 down), if any.
    """

    name: str
    says: str
    where: str
    options: Mapping[str, Option] = MappingProxyType({})
    needs: tuple[Part, ...] = ("plain patches",)
    wants: Literal["nothing", "words", "words if near"] = "nothing"
    near: str | None = None
    knob: tuple[str, Literal[1, -1]] | None = None
    control: bool = False
    stateful: bool = False
    holds: str | None = None

    @property
    def says_needs(self) -> str:
        """What it needs, in words for those whose model has not all of it."""
        return f"it needs a Vision Transformer with {' and '.join(self.needs)}"

    def value(self, option: str, given: float | None = None) -> float:
        """The value of an option that is a number or switch: its default where none is given.

        Raises:
            UsageError: it is out of range.
        """
        value = self._checked(option, given)
        assert not isinstance(value, str), f"{option} is a choice"
        return value

    def choice(self, option: str, given: str | None = None) -> str:
        """The value of an option that is a choice: its default where none is given.

        Raises:
            UsageError: there is no such choice.
        """
        return str(self._checked(option, given))

    def near_of(self, given: Mapping[str, Any]) -> float:
        """The value of `near` among options by name, for one that wants words; see `value`."""
        assert self.near is not None, f"{self.name} wants no words"
        return self.value(self.near, given.get(self.near))

    def check(self, given: Mapping[str, Any]) -> dict[str, Value]:
        """All options of this tokenizer, with defaults for what is None or not given; others are left out.

        Raises:
            UsageError: one is out of range.
        """
        return {name: self._checked(name, given.get(name)) for name in self.options}

    def wants_words(self, options: Mapping[str, Any]) -> bool:
        """Whether it wants words with these options, by name; see `check`."""
        if self.wants == "words if near":
            assert self.near is not None
            return self.value(self.near, options.get(self.near)) > 0
        return self.wants == "words"

    def load(self) -> Any:
        """The tokenizer's class, or what makes it."""
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

    def _checked(self, option: str, given: Value | None) -> Value:
        declared = self.options[option]
        if given is None:
            return declared.type(declared.default)
        if not declared.holds(given):
            what = f"{declared.unit or _WHAT[declared.type]} {declared.bounds}".strip()
            wrong = "is not known" if declared.choices else "is out of range"
            raise UsageError(f"--{flag(option)} {given} {wrong}: give {what}")
        return declared.type(given)


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
