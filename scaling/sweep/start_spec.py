"""The keys initialise and starts of a sweep file: the weights that runs start from."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from scaling.sweep.fields import SpecModel

RunPrefix = Annotated[str, Field(pattern=r"^[0-9a-f]{1,16}$")]


class StartSpec(SpecModel):
    """From which finished runs the runs of a sweep start; from none, they start as drawn."""

    model_config = ConfigDict(serialize_by_alias=True)  # `from` is a word of Python

    source: Annotated[str, Field(min_length=1)] | None = Field(
        None,
        alias="from",
        description="a results folder, relative to where results/ lies; of the runs with the same "
        "model, the one on the most tokens",
    )
    run: RunPrefix | None = Field(None, description="one run of that folder, by how its id begins")

    @model_validator(mode="after")
    def _run_of_a_folder(self) -> Self:
        if self.run is not None and self.source is None:
            raise PydanticCustomError(
                "initialise",
                "run {run} of which folder? Say from.",
                {"run": self.run, "at": ("run",)},
            )
        return self
