"""The keys initialise and starts of a sweep file: where runs start from."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import ConfigDict, Field, model_validator

from scaling.sweep.fields import SpecModel, refuse

RunPrefix = Annotated[str, Field(pattern=r"^[0-9a-f]{1,16}$")]


class StartSpec(SpecModel):
    """The finished runs that a sweep starts from; without `from`, it starts from scratch."""

    model_config = ConfigDict(serialize_by_alias=True)  # `from` is a Python keyword

    source: Annotated[str, Field(min_length=1)] | None = Field(
        None,
        alias="from",
        description="a results folder, relative to the folder of results/; each run starts from "
        "the run with its model that was trained on the most tokens",
    )
    run: RunPrefix | None = Field(
        None, description="start from this run of that folder: its id, or the beginning of it"
    )

    @model_validator(mode="after")
    def _run_of_a_folder(self) -> Self:
        if self.run is not None and self.source is None:
            refuse(f"run {self.run} of which folder? Set initialise.from.", "run")
        return self
