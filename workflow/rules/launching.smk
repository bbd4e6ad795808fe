# Where the work of a rule runs, and what its Slurm job asks for. No rules here.
#
# Both are read from Snakemake's resources: they decide nothing about a result, and nothing is made again when
# they change.

import contextlib
import json
import os
import shlex
import sys

from snakemake.common.tbdstring import TBDString
from snakemake.exceptions import NestedCoroutineError, ResourceValidationError, WorkflowError
from snakemake.resources import Resource

from msgbench.config.dataset import PHOTOGRAPHS
from msgbench.config.document import known_launcher
from msgbench.config.sentences import nearest
from msgbench.config.split import check_processes, require_use
from msgbench.errors import MsgbenchError

# The rules whose work a launcher runs, and the task that it is.
TASK_OF = {
    "prepare": "prepare",
    "train": "train",
    "evaluate": "evaluate",
    "evaluate_real": "evaluate",
    "sample": "evaluate",
    "samples_of_all": "evaluate",
}

settings = workflow.resource_settings
default_resources = settings.default_resources or {}
set_resources = settings.overwrite_resources or {}
# Snakemake adds its own guesses of memory and disk to every --default-resources; only they have no text.
GUESSED = {resource for resource, given in default_resources.items() if given.raw is None}
# What the value of a resource may be computed from, once its job is known.
OF_A_JOB = ("wildcards", "input", "attempt", "threads")


# Launchers.


def launcher_of(rule):
    """What runs the work of `rule`: its resource `launcher` (a profile's default), else the config's launcher."""
    for given in (set_resources.get(rule, {}), default_resources):
        if "launcher" in given:
            return str(given["launcher"].raw).strip("'\"")
    return benchmark.launcher


def is_submitted(rule):
    """Whether the work of `rule` is a Slurm job, for which the rule itself only waits."""
    return launcher_of(rule) == "slurm"


def local_slots(rule):
    """Slots of this machine that a job of `rule` takes."""
    return 0 if is_submitted(rule) else 1


def threads_of(rule):
    """Threads of this machine that a job of `rule` takes: those of its training, one where it only waits."""

    def threads(wildcards):
        return 1 if is_submitted(rule) else experiment_of(wildcards).training.num_threads

    return threads


def threads_to_prepare(wildcards):
    """Cores of this machine that packing a dataset takes: all for a copy of yours, one for the rest."""
    spec = dataset_of(wildcards)
    busy = spec.source in PHOTOGRAPHS and not spec.is_stand_in and not is_submitted("prepare")
    return workflow.cores if busy else 1


# Resources.


def asked_by(rule, resources):
    """What the Slurm job of `rule` asks for, of Snakemake's `resources`; raises ConfigError where it cannot be asked."""
    ignored = GUESSED - set(set_resources.get(rule, {})) | set(workflow.global_resources)
    given = {
        resource: value
        for resource, value in resources.items()
        if resource not in ignored and not isinstance(value, TBDString)
    }
    return benchmark.cluster.of_rule(TASK_OF[rule], rule, given)


def stated_for(rule):
    """The resources of `rule` that have a value before its jobs are known."""
    found = {}
    for resource, given in {**default_resources, **set_resources.get(rule, {})}.items():
        if given.raw is None or any(word in str(given.raw) for word in OF_A_JOB):
            continue
        known = {"wildcards": None, "input": [], "attempt": 1, "threads": 1, "async_run": None}
        try:
            value = given.evaluate(**known, rulename=rule)
        except WorkflowError as error:
            raise WorkflowError(f"resources.{rule}.{resource}: {error}")
        if value.is_evaluable():
            raise WorkflowError(
                f"resources.{rule}.{resource}: {given.raw} is also a name of Python, which Snakemake takes it for; "
                f"give it quotes of its own: {resource}=\"'{given.raw}'\""
            )
        found[resource] = value.value
    return {resource: value for resource, value in found.items() if value is not None}


def job_arguments(rule):
    """Arguments of `msgbench launch` that say where the work of `rule` runs, and what its job asks for."""

    def arguments(wildcards, resources):
        asked = {}
        if is_submitted(rule):
            # Snakemake would show an error here with its own traceback; `refused_jobs` says it before a job starts.
            with contextlib.suppress(MsgbenchError):
                asked = asked_by(rule, resources).stated()
        return [
            *("--launcher", launcher_of(rule)),
            *("--task", TASK_OF[rule]),
            *("--resources", json.dumps(asked)),
        ]

    return arguments


SUBMITTED = [launched for launched in TASK_OF if is_submitted(launched)]
if SUBMITTED:
    # A line of each job every ten seconds would bury what matters; `msgbench status` shows them all.
    os.environ.update(MSGBENCH_PROGRESS_SECONDS="600")


# What is refused before anything starts, and said in the end.


def require_slurm_of_profile():
    """Refuse a `--profile slurm` that would not submit: other default-resources replace its own as a whole."""
    # The profile's mark, in a key that nobody sets by hand.
    marked = "launcher" in settings.overwrite_resource_scopes
    chosen = "launcher" in default_resources or benchmark.launcher == "slurm"
    if marked and not chosen and not all("launcher" in set_resources.get(r, {}) for r in TASK_OF):
        own = [given for given in default_resources.args if not given.startswith("tmpdir=")]
        raise WorkflowError(
            "--profile slurm: its default-resources, which choose Slurm, are replaced as a whole by others; "
            f"name the launcher among them: --default-resources {shlex.join(['launcher=slurm', *own])}"
        )


def require_jobs():
    """Refuse launchers that are not known, and resources that cannot be asked for, of whatever rule."""
    try:
        for launched in TASK_OF:
            known_launcher(launcher_of(launched), f"resources.{launched}.launcher")
            if is_submitted(launched):
                asked = asked_by(launched, stated_for(launched))
                if TASK_OF[launched] == "train":
                    specs = benchmark.experiments.values()
                    require_use(specs, asked.processes("train"), f"resources.{launched}")
    except MsgbenchError as error:
        raise WorkflowError(str(error))


def refused_jobs():
    """For each job of this start that asks for what it cannot have, the sentence that refuses it.

    That is what only its wildcards tell, and for a training as many processes as it cannot be shared by.
    """
    found = []
    for job in workflow.dag.needrun_jobs(exclude_finished=False):
        rule_name, named = job.rule.name, job.wildcards
        if rule_name not in SUBMITTED:
            continue
        try:
            asked = asked_by(rule_name, dict(job.resources.items()))
        except MsgbenchError as error:
            of = named.get("experiment") or named.get("dataset")
            found.append(f"{error} (a job of {of})" if of else str(error))
            continue
        try:
            if rule_name == "train":
                processes = asked.processes("train")
                where = f"resources.train of {named.experiment}"
                check_processes(experiment_of(named), processes, where)
        except MsgbenchError as error:
            found.append(str(error))
    return sorted(set(found))


def require_possible_jobs():
    """Refuse to start while a job of this start asks for what it cannot have."""
    found = refused_jobs()
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise WorkflowError(f"{found[0]}{more}")


def in_a_sentence(rule, resource, given):
    """The resource `given`; where a job of `rule` has no value of it, that is a sentence with its key, and no traceback."""

    def value(wildcards, input, attempt, threads, rulename, async_run):
        known = {"input": input, "attempt": attempt, "threads": threads}
        try:
            return given.evaluate(wildcards, rulename=rulename, async_run=async_run, **known).value
        except NestedCoroutineError:
            raise  # the sizes of files are not known yet
        except WorkflowError as error:
            why, *more = str(error).splitlines()
            if more:  # Snakemake's advice about quotes, around the error of Python
                why = f"{type(error.__context__).__name__}: {error.__context__}"
            names = ", ".join(f"wildcards.{name}" for name in wildcards.keys())
            raise ResourceValidationError(
                f"resources.{rule}.{resource}: {given.raw} has no value for {' '.join(wildcards)} ({why}); it may use "
                f"{', '.join(filter(None, [names, 'input, attempt, threads']))}"
            )

    return Resource(resource, value, raw=given.raw)


def say_in_sentences():
    """Have resources that only a job can tell fail in a sentence."""
    for rule_ in (rule_ for rule_ in workflow.rules if rule_.name in SUBMITTED):
        for resource, given in list(rule_.resources.items()):
            of_a_job = any(word in str(given.raw) for word in OF_A_JOB)
            if given.is_evaluable() and given.raw is not None and of_a_job:
                rule_.resources[resource] = in_a_sentence(rule_.name, resource, given)


def require_known_rules():
    """Refuse resources that are set for a rule that does not exist."""
    known = {rule_.name for rule_ in workflow.rules}
    for named in set_resources:
        if named not in known and SUBMITTED:
            raise WorkflowError(f"set-resources: {named!r} is no rule{nearest(named, TASK_OF)}")


def require_slurm_here():
    """Refuse to start what is submitted where nothing can be submitted."""
    from msgbench.launch.slurm import require_slurm

    try:
        if any(job.rule.name in SUBMITTED for job in workflow.dag.needrun_jobs()):
            require_slurm(layout.root.absolute())
    except MsgbenchError as error:
        raise WorkflowError(str(error))


def tell_what_goes_on():
    """Where things stand when Snakemake ends before the work is done."""
    if SUBMITTED:
        print(
            "Slurm jobs that were submitted go on without Snakemake, and the same command waits for them again. "
            "`msgbench status` shows where everything stands; `msgbench cancel RUN` ends a job.",
            file=sys.stderr,
        )


require_slurm_of_profile()
require_jobs()
