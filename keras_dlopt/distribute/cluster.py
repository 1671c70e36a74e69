"""Who trains together: the machines of a run and which of them this is, read from the environment."""

import dataclasses
import json
import re

from keras_dlopt.distribute.slurm import slurm_tasks

# Where a worker listens, unless its environment says otherwise: on Kubernetes every pod has its own address.
PORT = 12345
WORKERS = "KERAS_DLOPT_WORKERS"


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The workers of a run, and which of them this process is.

    Attributes:
        workers: "host:port" of each worker; the first is the chief, which writes checkpoints and logs.
        index: which of them this process is.
        source: where that was read, for messages.
    """

    workers: tuple[str, ...]
    index: int
    source: str

    def __post_init__(self):
        for worker in self.workers:
            found = isinstance(worker, str) and re.fullmatch(r".+:([0-9]{1,5})", worker)
            if not found or int(found[1]) > 65535:
                accepted = "'host:port', the port at most 65535"
                raise ValueError(f"{self.source}: a worker must be {accepted}. Received: {worker!r}")
        if len(set(self.workers)) < len(self.workers):
            raise ValueError(f"{self.source}: two workers share an address. Received: {', '.join(self.workers)}")
        if not isinstance(self.index, int) or not 0 <= self.index < len(self.workers):
            last = len(self.workers) - 1
            raise ValueError(f"{self.source}: the index must be a whole number from 0 to {last}: {self.index!r}")

    @property
    def is_chief(self):
        """Whether this is the first worker."""
        return self.index == 0


def resolve(environ):
    """The cluster that the environment describes, or `None` if it describes none.

    Looked for in this order: `TF_CONFIG` (TensorFlow's own form; `keras-dlopt launch`, Vertex AI, Ray Train and
    Kubeflow set it), `CLUSTER_SPEC` (Vertex AI, any framework), a step that Slurm's `srun` started, a pod of a
    Kubernetes JobSet or Indexed Job.

    Args:
        environ: the variables, such as `os.environ`; nothing else is read.

    Raises:
        ValueError: if what is there contradicts itself, or names tasks that Keras cannot train with.

    Example:

    >>> step = {"SLURM_STEP_ID": "0", "SLURM_PROCID": "2", "SLURM_JOB_ID": "7", "SLURM_STEP_NODELIST": "a[1-2]",
    ...         "SLURM_STEP_TASKS_PER_NODE": "2(x2)"}
    >>> cluster = resolve(step)
    >>> cluster.workers, cluster.index
    (('a1:20007', 'a1:20008', 'a2:20007', 'a2:20008'), 2)
    """
    if environ.get("TF_CONFIG", "").strip():
        return _from_json("TF_CONFIG", environ["TF_CONFIG"], ("chief", "master", "worker"))
    if environ.get("CLUSTER_SPEC", "").strip():
        return _from_json("CLUSTER_SPEC", environ["CLUSTER_SPEC"], ("workerpool0", "workerpool1"))
    if "SLURM_STEP_ID" in environ or "SLURM_STEPID" in environ:
        return _from_slurm(environ)
    if WORKERS in environ:
        return _from_kubernetes(environ)
    return None


def _from_json(name, text, trains):
    """TensorFlow's form: task types, the addresses of each, and which one this is."""
    try:
        config = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{name}: not JSON ({error}). Received: {text!r}") from None
    if not isinstance(config, dict) or not isinstance(config.get("cluster", {}), dict):
        raise ValueError(f"{name}: must be an object with the objects 'cluster' and 'task'. Received: {text}")
    cluster, task = config.get("cluster") or {}, config.get("task") or {}
    if not cluster:
        return None
    for kind, addresses in cluster.items():
        if not isinstance(addresses, list) or not all(isinstance(a, str) for a in addresses):
            raise ValueError(f"{name}: {kind!r} must be a list of 'host:port'. Received: {addresses!r}")
    others = [kind for kind, addresses in cluster.items() if addresses and kind not in trains]
    if others:
        hint = "; parameter servers do not work with Keras 3" if {"ps", "workerpool2"} & set(others) else ""
        raise ValueError(f"{name}: only {', '.join(trains)} train together, not {', '.join(others)}{hint}.")
    kind, index = (task.get(key) if isinstance(task, dict) else None for key in ("type", "index"))
    if kind == "evaluator":
        raise ValueError(f"{name}: an evaluator takes no part in training: start your evaluation script there.")
    if kind not in cluster:
        raise ValueError(f"{name}: the task's type must be one of {', '.join(cluster)}. Received: {kind!r}")
    index = int(index) if isinstance(index, str) and index.isdigit() else index
    own = cluster[kind]
    if not isinstance(index, int) or not 0 <= index < len(own):
        raise ValueError(f"{name}: task {kind!r} has {len(own)} members; its index cannot be {index!r}.")
    before = sum(len(cluster.get(k, ())) for k in trains[: trains.index(kind)])
    return Cluster(tuple(a for k in trains for a in cluster.get(k, ())), before + index, name)


def _from_slurm(environ):
    workers = slurm_tasks(environ)
    return Cluster(workers, _number(environ, "SLURM_PROCID", "Slurm"), "Slurm")


def _from_kubernetes(environ):
    """Pods of an Indexed Job have the host names JOB-0, JOB-1, ...; a JobSet names the Job SET-REPLICATED_JOB-0."""
    where = "Kubernetes"
    count, index = (_number(environ, key, where) for key in (WORKERS, "JOB_COMPLETION_INDEX"))
    if count < 1:
        raise ValueError(f"{where}: {WORKERS} must be at least 1. Received: {count}")
    jobset = environ.get("JOBSET_NAME")
    if jobset:
        job = f"{jobset}-{_text(environ, 'REPLICATED_JOB_NAME', where)}-0"
        subdomain = environ.get("JOBSET_SUBDOMAIN") or jobset
    else:
        job, subdomain = (_text(environ, key, where) for key in ("JOB_NAME", "JOB_SUBDOMAIN"))
    port = _number(environ, "KERAS_DLOPT_PORT", where) if environ.get("KERAS_DLOPT_PORT") else PORT
    return Cluster(tuple(f"{job}-{i}.{subdomain}:{port}" for i in range(count)), index, where)


def _text(environ, name, where):
    if not environ.get(name):
        raise ValueError(f"{where}: {name} is not set; docs/distribute.md shows what a worker needs.")
    return environ[name]


def _number(environ, name, where):
    text = _text(environ, name, where)
    if not text.isdigit():
        raise ValueError(f"{where}: {name} must be a whole number. Received: {text!r}")
    return int(text)
