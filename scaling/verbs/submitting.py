"""The verb that hands a sweep to a cluster: submit."""

from __future__ import annotations

from pathlib import Path

import click

from scaling.verbs.options import root_option, sweep_argument


@click.command()
@sweep_argument
@root_option
@click.option("--address", required=True, help="Address of Ray Jobs, such as http://head:8265.")
@click.option("--no-wait", is_flag=True, help="End once the job is taken; do not show its output.")
@click.option(
    "--python", default="python", show_default=True, help="Interpreter to use on the head node."
)
def submit(sweep_file: Path, root: Path, address: str, no_wait: bool, python: str) -> int:
    """\b
    scaling submit sweeps/large.yaml --address http://head:8265 --root /shared/me
    scaling submit sweeps/large.yaml --address http://head:8265 --root /shared/me --no-wait

    Run a sweep as a job of a Ray cluster. The sweep file and --root lie on the file system that
    the nodes share, at the same path here and there. Ctrl-C leaves the job running; `scaling
    cancel` ends it. Needs the extra [cluster].
    """
    from scaling.orchestration.jobs import JobRequest, submit_job
    from scaling.sweep.reading import load_sweep
    from scaling.units import clean_line

    spec = load_sweep(sweep_file)  # report its errors here rather than on the cluster
    job = submit_job(JobRequest(address=address, sweep_file=sweep_file, root=root, python=python))
    results = root / "results" / spec.name
    click.echo(f"job {job.job_id} is taken; results: {results}", err=True)
    if no_wait:
        click.echo(job.job_id)
        return 0
    try:
        for line in job.follow():
            click.echo(clean_line(line))
    except KeyboardInterrupt:
        click.echo(f'the job goes on; "scaling cancel {results}" ends it', err=True)
        raise
    return job.find_exit_code()
