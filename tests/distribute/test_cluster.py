"""Workers read from the environment: TF_CONFIG, Vertex AI, Slurm, Kubernetes."""

import json
import pathlib
import subprocess

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_dlopt.distribute.cluster import Cluster, resolve
from keras_dlopt.distribute.slurm import expand_counts, expand_hosts


def tf_config(cluster, kind=None, index=None):
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})}


def vertex(cluster, kind, index):
    task = {"type": kind, "index": index, "trial": "1"}
    return {"CLUSTER_SPEC": json.dumps({"cluster": cluster, "task": task, "environment": "cloud", "job": "{}"})}


def slurm(nodes, counts, rank, **more):
    step = {"SLURM_STEP_ID": "0", "SLURM_JOB_ID": "123456", "SLURM_PROCID": str(rank)}
    return step | {"SLURM_STEP_NODELIST": nodes, "SLURM_STEP_TASKS_PER_NODE": counts} | more


JOBSET = {
    "JOBSET_NAME": "run",
    "REPLICATED_JOB_NAME": "workers",
    "KERAS_DLOPT_WORKERS": "2",
    "JOB_COMPLETION_INDEX": "1",
}

FOUND = [
    (tf_config({"worker": ["a:1", "b:2"]}, "worker", 1), ["a:1", "b:2"], 1),
    (tf_config({"worker": ["a:1", "b:2"]}, "worker", "1"), ["a:1", "b:2"], 1),
    (tf_config({"worker": ["b:1"], "chief": ["a:1"]}, "worker", 0), ["a:1", "b:1"], 1),
    (tf_config({"worker": ["b:1"], "chief": ["a:1"]}, "chief", 0), ["a:1", "b:1"], 0),
    (tf_config({"worker": ["[::1]:1"], "ps": []}, "worker", 0), ["[::1]:1"], 0),
    (vertex({"workerpool0": ["m-0:2222"], "workerpool1": ["w-0:2222", "w-1:2222"]}, "workerpool1", 1),
     ["m-0:2222", "w-0:2222", "w-1:2222"], 2),
    (slurm("n1", "1", 0), ["n1:23456"], 0),
    (slurm("n[1-2]", "2(x2)", 3), ["n1:23456", "n1:23457", "n2:23456", "n2:23457"], 3),
    (slurm("n[1-2]", "2,1", 1, SLURM_DISTRIBUTION="cyclic"), ["n1:23456", "n2:23456", "n1:23457"], 1),
    (slurm("a,c[07-08]", "1(x3)", 2, SLURM_DISTRIBUTION="plane"), ["a:23456", "c07:23456", "c08:23456"], 2),
    (JOBSET, ["run-workers-0-0.run:12345", "run-workers-0-1.run:12345"], 1),
    (JOBSET | {"JOBSET_SUBDOMAIN": "net", "KERAS_DLOPT_PORT": "99"},
     ["run-workers-0-0.net:99", "run-workers-0-1.net:99"], 1),
    ({"JOB_NAME": "job", "JOB_SUBDOMAIN": "svc", "KERAS_DLOPT_WORKERS": "1", "JOB_COMPLETION_INDEX": "0"},
     ["job-0.svc:12345"], 0),
]  # fmt: skip


@pytest.mark.parametrize("environ, workers, index", FOUND)
def test_finds_the_workers(environ, workers, index):
    found = resolve(environ | {"PATH": "/bin"})
    assert list(found.workers) == workers
    assert found.index == index and found.is_chief == (index == 0)


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"TF_CONFIG": ""},
        {"TF_CONFIG": "{}"},
        tf_config({}),
        {"JOB_COMPLETION_INDEX": "0"},  # any Indexed Job has that
        {"SLURM_JOB_ID": "1", "SLURM_PROCID": "0", "SLURM_NTASKS": "4"},  # the batch script itself, not a step
    ],
)
def test_finds_none(environ):
    assert resolve(environ) is None


def test_tf_config_counts_before_all_others():
    found = resolve(slurm("n1", "1", 0) | JOBSET | tf_config({"worker": ["a:1"]}, "worker", 0))
    assert found == Cluster(("a:1",), 0, "TF_CONFIG")


REFUSED = [
    ({"TF_CONFIG": "{"}, "TF_CONFIG: not JSON"),
    ({"TF_CONFIG": "[]"}, "TF_CONFIG: must be an object"),
    (tf_config({"worker": "a:1"}, "worker", 0), "'worker' must be a list"),
    (tf_config({"worker": ["a"]}, "worker", 0), "a worker must be 'host:port', the port at most 65535. Received: 'a'"),
    (tf_config({"worker": ["a:65536"]}, "worker", 0), "the port at most 65535. Received: 'a:65536'"),
    (tf_config({"worker": ["a:1", "a:1"]}, "worker", 0), "two workers share an address"),
    (tf_config({"worker": ["a:1"]}, "worker", 1), "task 'worker' has 1 members; its index cannot be 1"),
    (tf_config({"worker": ["a:1"]}, "worker", None), "its index cannot be None"),
    (tf_config({"worker": ["a:1"]}, "chief", 0), "the task's type must be one of worker. Received: 'chief'"),
    (tf_config({"worker": ["a:1"]}, "evaluator", 0), "an evaluator takes no part in training"),
    (tf_config({"worker": ["a:1"], "ps": ["p:1"]}, "worker", 0), "parameter servers do not work with Keras 3"),
    (vertex({"workerpool0": ["a:1"], "workerpool2": ["p:1"]}, "workerpool0", 0), "parameter servers"),
    (slurm("n[1-2]", "1", 0), "2 nodes, but tasks a node for 1"),
    (slurm("n[2-1]", "1", 0), "cannot read the list of nodes"),
    (slurm("n[1", "1", 0), "cannot read the list of nodes"),
    (slurm("n1", "x", 0), "cannot read the tasks a node"),
    (slurm("n1", "2", 0, SLURM_DISTRIBUTION="plane=2"), "only known for block and cyclic"),
    (slurm("n1", "1", 1), "the index must be a whole number from 0 to 0: 1"),
    (slurm("n1", "1", "x"), "SLURM_PROCID must be a whole number"),
    (slurm("", "1", 0), "SLURM_STEP_NODELIST is not set"),
    (JOBSET | {"KERAS_DLOPT_WORKERS": "0"}, "KERAS_DLOPT_WORKERS must be at least 1"),
    (JOBSET | {"JOB_COMPLETION_INDEX": "2"}, "the index must be a whole number from 0 to 1: 2"),
    (JOBSET | {"REPLICATED_JOB_NAME": ""}, "REPLICATED_JOB_NAME is not set"),
    (JOBSET | {"JOBSET_NAME": ""}, "JOB_NAME is not set"),
    (JOBSET | {"KERAS_DLOPT_PORT": "x"}, "KERAS_DLOPT_PORT must be a whole number. Received: 'x'"),
    (JOBSET | {"KERAS_DLOPT_PORT": "99999"}, "the port at most 65535. Received: 'run-workers-0-0.run:99999'"),
]


@pytest.mark.parametrize("environ, message", REFUSED)
def test_refuses_what_contradicts_itself(environ, message):
    with pytest.raises(ValueError) as refused:
        resolve(environ)
    assert message in str(refused.value)


counts = st.lists(st.integers(1, 5), min_size=1, max_size=6)


@given(counts, st.sampled_from(["block", "cyclic"]), st.booleans())
@settings(max_examples=60, deadline=None)
def test_slurm_every_task_has_an_address_of_its_own_on_its_node(tasks, placing, compact):
    nodes = [f"n{i:02d}" for i in range(1, len(tasks) + 1)]
    listed = f"n[01-{len(tasks):02d}]" if compact else ",".join(nodes)
    total = sum(tasks)
    found = [resolve(slurm(listed, ",".join(map(str, tasks)), i, SLURM_DISTRIBUTION=placing)) for i in range(total)]
    assert len({cluster.workers for cluster in found}) == 1
    assert [cluster.index for cluster in found] == list(range(total))
    hosts = [worker.split(":")[0] for worker in found[0].workers]
    assert {node: hosts.count(node) for node in nodes} == dict(zip(nodes, tasks, strict=True))
    if placing == "block":
        assert hosts == sorted(hosts)
    elif len(tasks) > 1:
        assert hosts[: len(tasks)] == nodes  # the first round visits every node


@given(st.lists(st.tuples(st.integers(0, 120), st.integers(0, 9)), min_size=1, max_size=5), st.integers(1, 4))
def test_slurm_ranges_expand_to_their_numbers(ranges, width):
    text = ",".join(f"{first:0{width}d}-{first + more:0{width}d}" for first, more in ranges)
    expected = [f"x{n:0{width}d}" for first, more in ranges for n in range(first, first + more + 1)]
    assert expand_hosts(f"x[{text}]") == expected


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 4)), min_size=1, max_size=5))
def test_slurm_counts_expand(runs):
    text = ",".join(f"{count}(x{times})" if times > 1 else f"{count}" for count, times in runs)
    assert expand_counts(text) == [count for count, times in runs for _ in range(times)]


@given(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=6, unique=True), st.data())
def test_tf_config_gives_back_what_it_was_made_of(hosts, data):
    workers = [f"{host}:1" for host in hosts]
    index = data.draw(st.integers(0, len(workers) - 1))
    assert resolve(tf_config({"worker": workers}, "worker", index)) == Cluster(tuple(workers), index, "TF_CONFIG")


EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"


def test_the_pods_of_the_jobset_example_find_each_other():
    """What Kubernetes and JobSet put into each pod is put in here."""
    jobset = yaml.safe_load((EXAMPLES / "distribute_jobset.yaml").read_text())
    replicated = jobset["spec"]["replicatedJobs"][0]
    job = replicated["template"]["spec"]
    assert job["completionMode"] == "Indexed" and job["completions"] == job["parallelism"]
    container = job["template"]["spec"]["containers"][0]
    annotations = {
        "metadata.annotations['jobset.sigs.k8s.io/jobset-name']": jobset["metadata"]["name"],
        "metadata.annotations['jobset.sigs.k8s.io/replicatedjob-name']": replicated["name"],
    }
    environ = {}
    for variable in container["env"]:
        source = variable.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath")
        environ[variable["name"]] = annotations[source] if source else variable["value"]
    for index in range(job["completions"]):
        found = resolve(environ | {"JOB_COMPLETION_INDEX": str(index)})
        port = container["ports"][0]["containerPort"]
        assert found.workers == (
            f"distribute-workers-0-0.distribute:{port}",
            f"distribute-workers-0-1.distribute:{port}",
        )
        assert found.index == index


def test_the_slurm_example_is_a_shell_script():
    path = EXAMPLES / "distribute_slurm.sbatch"
    subprocess.run(["bash", "-n", path], check=True)
    assert "srun " in path.read_text()
