"""A sweep as a job of a Ray cluster: the driver runs there, and this machine may go away.

    submit ──HTTP──► Ray Jobs on the head node ──► scaling run SWEEP.yaml --address auto

The job is the same command a user of the head node would type. Its sweep file and its results lie
on the file system that the cluster's nodes share; nothing is uploaded. Needs the extra `[cluster]`
(`ray[default]`) on both sides.
"""

from __future__ import annotations

import importlib
import shlex
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scaling.errors import EnvironmentFault, UsageError

_ENDED = ("SUCCEEDED", "FAILED", "STOPPED")
_POLL_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRequest:
    """What is to run where.

    Attributes:
        address: Address of Ray Jobs, `http://host:8265`.
        sweep_file: As the head node sees it.
        root: Folder of results/ and reports/, as every node sees it.
        python: The interpreter to run it with there.
    """

    address: str
    sweep_file: Path
    root: Path
    python: str = "python"

    @property
    def command(self) -> str:
        """The words of the job, for a shell."""
        words = ["run", str(self.sweep_file.absolute()), "--root", str(self.root.absolute())]
        return shlex.join([self.python, "-m", "scaling", *words, "--address", "auto"])


class SubmittedJob:
    """A job that Ray Jobs has taken.

    Args:
        client: Ray Jobs client.
        job_id: Its submission id.
    """

    def __init__(self, client: Any, job_id: str) -> None:
        self._client, self.job_id = client, job_id

    def follow(self) -> Iterator[str]:
        """What the job prints, as it comes, until it ends.

        Raises:
            EnvironmentFault: The cluster no longer answers.
        """
        shown = 0
        while True:
            ended = self._ask(self._client.get_job_status).value in _ENDED
            log: str = self._ask(self._client.get_job_logs)
            whole = len(log) if ended else log.rfind("\n") + 1
            if whole > shown:
                yield from log[shown:whole].splitlines()
                shown = whole
            if ended:
                return
            time.sleep(_POLL_SECONDS)

    def find_exit_code(self) -> int:
        """What the job's command ended with.

        Raises:
            EnvironmentFault: It did not come to an end by itself (stopped, or never started).
        """
        details = self._ask(self._client.get_job_info)
        code: int | None = details.driver_exit_code
        if code is None or code < 0:
            raise EnvironmentFault(
                f"job {self.job_id} ended as {details.status.value}: {details.message}. Finished "
                "runs are kept; submitting it again continues."
            )
        return code

    def _ask(self, question: Any) -> Any:
        try:
            return question(self.job_id)
        except Exception as error:  # from requests or from Ray; both mean no answer
            raise EnvironmentFault(
                f"Ray Jobs no longer answers about {self.job_id}: {error}. The job may still run: "
                'look with "scaling status" at its results.'
            ) from error


def submit_job(request: JobRequest) -> SubmittedJob:
    """Hand a sweep to a cluster.

    Raises:
        UsageError: The address is not one of Ray Jobs, or the extra is not installed.
        EnvironmentFault: Nobody answers there, or it is another version of Ray.
    """
    if not request.address.startswith(("http://", "https://")):
        raise UsageError(
            f"{request.address}: Ray Jobs has an address such as http://head:8265. To drive a "
            'cluster from one of its nodes, use "scaling run --address".'
        )
    try:
        jobs = importlib.import_module("ray.job_submission")
        client = jobs.JobSubmissionClient(request.address)
    except ImportError as error:
        raise UsageError(
            f"submitting needs the extra [cluster] ({error}): pip install 'scaling[cluster]'"
        ) from error
    except Exception as error:  # ConnectionError, or RuntimeError if versions differ
        raise _explain(error, request.address) from error
    name = "".join(char if char.isalnum() else "-" for char in request.sweep_file.stem)
    wanted = f"scaling-{name[:40]}-{uuid.uuid4().hex[:8]}"
    try:
        job_id = client.submit_job(entrypoint=request.command, submission_id=wanted)
    except Exception as error:
        raise _explain(error, request.address) from error
    return SubmittedJob(client, job_id)


def _explain(error: Exception, address: str) -> EnvironmentFault:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    said = lines[0][:300].rstrip(".")
    if "agent" in said.lower():  # the dashboard answered but has no agent to start the job
        return EnvironmentFault(
            f"Ray Jobs at {address} did not take it: {said}. Another Ray on the head node may hold "
            "the port of its agent (52365): start the head with --dashboard-agent-listen-port, or "
            "end the other."
        )
    return EnvironmentFault(
        f"Ray Jobs at {address} did not take it: {said}. Check that the head node was "
        "started with its dashboard (ray[default]), and that its Ray has this one's version."
    )
