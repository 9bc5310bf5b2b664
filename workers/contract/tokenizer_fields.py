"""Fields that choose and set a tokenizer, made from the registry: it alone has bounds, defaults and texts."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, Field, create_model

from pipeline.tokenizers.asked import check_taken
from pipeline.tokenizers.registry import TOKENIZERS, Kind, Option, Value, all_options


def _field(option: Option, names: list[str]) -> Any:
    limits: dict[str, Any] = {**option.limits}
    return Field(
        default=option.type(option.default),
        description=f"Of {', '.join(names)}: {option.says}.",
        json_schema_extra={"x-tokenizers": [*names]},
        **limits,
    )


def _type(option: Option) -> Any:
    return Literal[option.choices] if option.choices else option.type


def tokenizer_choice(null: str) -> Any:
    """The field for a tokenizer's name.

    Args:
        null: what null stands for, in words.
    """
    named = "; ".join(f"{kind.name} ({kind.says})" for kind in TOKENIZERS.values())
    # A list: keys of an object lose their order on the way, which is that of preference.
    shown: Any = [
        {
            "name": kind.name,
            "says": kind.says,
            "wants": kind.wants,
            "knob": kind.knob and kind.knob[0],
            "holds": kind.holds,
        }
        for kind in TOKENIZERS.values()
    ]
    return Field(
        default=None,
        description=f"One of: {named}. Null for {null}.",
        json_schema_extra={"x-tokenizers": shown},
    )


if TYPE_CHECKING:

    class TokenizerFields(BaseModel):
        """The fields, as far as code may name them."""

        tokenizer: str | None = None

    TokenizerName = str
else:
    TokenizerName = Literal[tuple(TOKENIZERS)]
    TokenizerFields = create_model(
        "TokenizerFields",
        tokenizer=(TokenizerName | None, tokenizer_choice("the first of them that the model takes")),
        **{name: (_type(option), _field(option, names)) for name, (option, names) in all_options().items()},
    )


def check_given(kind: Kind, fields: TokenizerFields, given: Collection[str]) -> None:
    """Refuses fields that the caller gave and a tokenizer does nothing with.

    Args:
        kind: what is to run.
        fields: with their values, defaults too.
        given: names of those that were given.

    Raises:
        UsageError: see `check_taken`.
    """
    options = options_of(fields)
    check_taken(kind, {name: options[name] for name in options if name in given})
    # Whether it wants words is also for its other options to say.
    own = {name: value for name, value in options.items() if name in kind.options}
    check_taken(kind, own, [name for name in ("words", "scope") if name in given])


def options_of(fields: TokenizerFields) -> dict[str, Value]:
    """The options of all tokenizers by name, as they were given or with their defaults."""
    return {name: getattr(fields, name) for name in all_options()}
