"""What a service may take at most."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Unit = Literal["gflops", "cores", "watts"]
_Amount = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Budget(BaseModel):
    """One of three, for all streams together.

    Attributes:
        gflops: 10^9 operations a second, audits included.
        cores: CPU cores busy with passes.
        watts: what its frames take, as the bill has it; wants a counter (NVML, RAPL).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    gflops: _Amount | None = None
    cores: _Amount | None = None
    watts: _Amount | None = None

    @model_validator(mode="after")
    def _check_one(self) -> Budget:
        if sum(amount is not None for amount in (self.gflops, self.cores, self.watts)) != 1:
            raise ValueError("a budget is one of gflops, cores and watts")
        return self

    @property
    def unit(self) -> Unit:
        """Which."""
        return "gflops" if self.gflops is not None else "cores" if self.cores is not None else "watts"

    @property
    def value(self) -> float:
        """How much of it."""
        value = self.gflops or self.cores or self.watts
        assert value is not None
        return value
