"""Slurm's compact notations: lists of hosts, tasks a node, and where each task of a step runs."""

import re

# Ports from here on, by the number of the job, so that two jobs on a node do not meet.
FIRST_PORT = 20000
PORTS = 10000


def slurm_tasks(environ):
    """The address of every task of this step, in the order of `SLURM_PROCID`.

    Args:
        environ: the variables that `srun` sets.

    Raises:
        ValueError: if a variable is missing or cannot be read, or the step places its tasks in a way of its own.
    """
    nodes = expand_hosts(_first(environ, "SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST", "SLURM_NODELIST"))
    counts = expand_counts(_first(environ, "SLURM_STEP_TASKS_PER_NODE", "SLURM_TASKS_PER_NODE"))
    if len(nodes) != len(counts):
        raise ValueError(f"Slurm: {len(nodes)} nodes, but tasks a node for {len(counts)}.")
    job = _first(environ, "SLURM_JOB_ID", "SLURM_JOBID")
    if not job.isdigit():
        raise ValueError(f"Slurm: SLURM_JOB_ID must be a whole number. Received: {job!r}")
    port = FIRST_PORT + int(job) % PORTS
    tasks = [(node, local) for node, count in zip(nodes, counts, strict=True) for local in range(count)]
    placing = environ.get("SLURM_DISTRIBUTION", "block").split(":")[0].split(",")[0]
    if placing == "cyclic":
        tasks.sort(key=lambda task: task[1])  # stable: the nodes keep their order
    elif placing not in ("block", "*", "unknown") and max(counts) > 1:
        raise ValueError(f"Slurm: which task runs where is only known for block and cyclic, not for {placing!r}.")
    return tuple(f"{node}:{port + local}" for node, local in tasks)


def expand_hosts(text):
    """The hosts of a compact list.

    >>> expand_hosts("gpu[08-10,12],login1")
    ['gpu08', 'gpu09', 'gpu10', 'gpu12', 'login1']
    >>> expand_hosts("r[1-2]n[1-2]")
    ['r1n1', 'r1n2', 'r2n1', 'r2n2']
    """
    item = r"(?:[^\[\],]|\[[^\[\]]*\])+"  # commas divide, except within brackets
    if not re.fullmatch(f"{item}(?:,{item})*", text):
        raise ValueError(f"Slurm: cannot read the list of nodes {text!r}.")
    hosts = []
    for part in re.findall(item, text):
        names = [""]
        for literal, ranges in re.findall(r"([^\[\]]+)|\[([^\[\]]*)\]", part):
            ends = [literal] if literal else _expand_ranges(ranges, text)
            names = [name + end for name in names for end in ends]
        hosts += names
    return hosts


def expand_counts(text):
    """Tasks a node: how many each node has.

    >>> expand_counts("2(x3),1")
    [2, 2, 2, 1]
    """
    counts = []
    for part in text.split(","):
        found = re.fullmatch(r"([0-9]+)(?:\(x([0-9]+)\))?", part)
        if not found:
            raise ValueError(f"Slurm: cannot read the tasks a node {text!r}.")
        counts += [int(found[1])] * int(found[2] or 1)
    return counts


def _expand_ranges(ranges, text):
    ends = []
    for part in ranges.split(","):
        found = re.fullmatch(r"([0-9]+)(?:-([0-9]+))?", part)
        if not found or int(found[2] or found[1]) < int(found[1]):
            raise ValueError(f"Slurm: cannot read the list of nodes {text!r}.")
        first, last = int(found[1]), int(found[2] or found[1])
        ends += [f"{number:0{len(found[1])}d}" for number in range(first, last + 1)]
    return ends


def _first(environ, *names):
    for name in names:
        if environ.get(name):
            return environ[name]
    raise ValueError(f"Slurm: {names[0]} is not set; start the workers with `srun`.")
