"""The TPU files load and agree with themselves, what does not belong in them is refused, and commands are quoted."""

import dataclasses
import importlib.resources
import importlib.util
import json
import math
import os
import pathlib
import shlex
import subprocess
import sys

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from keras_dlopt import tpu_configs
from keras_dlopt.tpu_configs import schema

FOLDER = importlib.resources.files("keras_dlopt.tpu_configs")
FAMILIES = ("v2", "v3", "v4", "v5e", "v5p", "v6e", "7x")
NAMES = tpu_configs.names()


def family_of(name):
    return yaml.safe_load((FOLDER / f"{name}.yaml").read_text())


def test_there_is_one_file_a_family_and_the_generations_are_in_order():
    files = {file.name for file in FOLDER.iterdir() if file.name.endswith(".yaml")}
    assert files == {f"{family}.yaml" for family in FAMILIES}
    assert tuple(dict.fromkeys(tpu_configs.load(name).family for name in NAMES)) == FAMILIES
    for family in FAMILIES:
        chips = [s.chips for s in map(tpu_configs.load, NAMES) if s.family == family]
        assert len(chips) >= 5 and chips == sorted(chips)


@pytest.mark.parametrize("name", NAMES)
def test_every_slice_is_consistent(name):
    found = tpu_configs.load(name)
    compiler, shape = found.topology.split(":")
    family, number = name.split("-")
    cores_per_chip = 1 if family in ("v5e", "v6e") else 2
    assert compiler == {"7x": "tpu7x"}.get(family, family) and family == found.family
    assert found.chips == math.prod(map(int, shape.split("x"))) and found.cores == cores_per_chip * found.chips
    assert int(number) == (found.chips if family in ("v5e", "v6e") else found.cores)
    assert shape.count("x") == (1 if family in ("v2", "v3", "v5e", "v6e") else 2)
    assert found.hosts == math.ceil(found.chips / (8 if family in ("v5e", "v6e") else 4))
    assert found.vms == (1 if found.hosts == 1 else math.ceil(found.chips / 4))
    assert found.hbm_total_gib == found.chips * found.hbm_gib
    assert found.peak_total_tflops == found.chips * found.peak_bf16_tflops
    per_chip = found.compiler_devices * found.compiler_hbm_gib / found.chips
    assert 0.9 * found.hbm_gib < per_chip < found.hbm_gib + 1
    assert found.chips <= (found.pod_chips or math.inf)
    assert (family == "7x") == ("tf" not in found.frameworks) == (found.commands == {})


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_has_a_source(name):
    found = tpu_configs.load(name)
    uncited = {"name", "family", "notes", "sources"}
    for field in (f.name for f in dataclasses.fields(found)):
        if field not in uncited and getattr(found, field) not in (None, {}):
            assert found.sources[field], field
            assert all(source.url.startswith("https://") and source.title for source in found.sources[field])


# The sources' figures, typed in a second time: chip memory in GiB, GB/s, bfloat16 TFLOP/s, chips of the largest system.
STATED = {
    "v2-8": (16, 716, 46, None),
    "v3-8": (32, 900, 123, 1024),
    "v4-8": (32, 1200, 275, 4096),
    "v5e-8": (16, 819, 197, 256),
    "v5p-8": (95, 2765, 459, 8960),
    "v6e-8": (32, 1638, 918, 256),
    "7x-8": (192, 7380, 2307, 9216),
}


@pytest.mark.parametrize("name", STATED)
def test_the_figures_are_those_of_the_sources(name):
    found = tpu_configs.load(name)
    figures = (found.hbm_gib, found.bandwidth_gb_per_s, found.peak_bf16_tflops, found.pod_chips)
    assert figures == STATED[name]


def test_the_number_in_a_name_counts_what_the_vendor_counts():
    chips = {name: tpu_configs.load(name).chips for name in ("v2-8", "v3-8", "v4-8", "v5p-8", "7x-8", "v5e-8", "v6e-8")}
    assert chips == {"v2-8": 4, "v3-8": 4, "v4-8": 4, "v5p-8": 4, "7x-8": 4, "v5e-8": 8, "v6e-8": 8}


def test_an_accelerator_type_finds_its_slice():
    for name in NAMES:
        found = tpu_configs.load(name)
        assert tpu_configs.load(found.accelerator_type) is found
    assert tpu_configs.load("v5litepod-16").name == "v5e-16" and tpu_configs.load("tpu7x-8").name == "7x-8"


@pytest.mark.parametrize("name, near", [("v5e-7", "v5e-8"), ("v5litepod-9", "v5litepod-8"), ("tpu7x-9", "tpu7x-8")])
def test_an_unknown_slice_is_refused_with_those_near_it(name, near):
    with pytest.raises(ValueError, match=rf"load\(name=.*tpu list.*near it:.*{near}.*'{name}'"):
        tpu_configs.load(name)


@pytest.mark.parametrize("name", ["", "qqqqqqqq", None, 8, ["v5e-8"]])
def test_what_is_near_to_nothing_is_refused_as_well(name):
    with pytest.raises(ValueError, match=r"load\(name=.*v5e-8.*Received: name="):
        tpu_configs.load(name)


# What is done to v5e.yaml, and what the error says: field, then what was found.
VIOLATIONS = {
    "a figure missing": (lambda d: d.pop("hbm_gib"), r"must have `hbm_gib` in the file"),
    "a figure too many": (lambda d: d.update(price=1), r"must not have 'price' in the file"),
    "a figure without a source": (lambda d: d["hbm_gib"].pop("source"), r"must have `source` in hbm_gib"),
    "a bare figure": (lambda d: d.update(hbm_gib=16), r"\(hbm_gib=...\)` must be a mapping with value, source.*=16"),
    "a negative figure": (
        lambda d: d["hbm_gib"].update(value=-16),
        r"\(hbm_gib=.*a finite number > 0.*-16",
    ),
    "a figure that is zero": (lambda d: d["peak_bf16_tflops"].update(value=0), r"\(peak_bf16_tflops=.*> 0.*=0"),
    "a figure that is text": (lambda d: d["bandwidth_gb_per_s"].update(value="819"), r"\(bandwidth_gb_per_s=.*'819'"),
    "a figure that is not a number": (lambda d: d["ici_gb_per_s"].update(value=math.nan), r"\(ici_gb_per_s=.*nan"),
    "an infinite figure": (lambda d: d["ici_gb_per_s"].update(value=math.inf), r"\(ici_gb_per_s=.*inf"),
    "a figure that is true": (lambda d: d["hbm_gib"].update(value=True), r"\(hbm_gib=.*True"),
    "half a core": (lambda d: d["cores_per_chip"].update(value=1.5), r"\(cores_per_chip=.*whole number.*1.5"),
    "more than the chip has": (lambda d: d["compiler_hbm_gib"].update(value=17), r"\(compiler_hbm_gib=.*16 GiB.*=17"),
    "an unknown source": (lambda d: d["hbm_gib"].update(source="v7"), r"\(hbm_gib.source=.*v5e, .*'v7'"),
    "an empty list of sources": (lambda d: d["hbm_gib"].update(source=[]), r"\(hbm_gib.source=.*\[\]"),
    "a source that nothing cites": (
        lambda d: d["sources"].update(blog={"title": "A blog", "url": "https://x.org"}),
        r"\(sources.blog=.*something in the file.*https://x.org",
    ),
    "a source without a title": (lambda d: d["sources"]["v5e"].pop("title"), r"must have `title` in sources.v5e"),
    "a source without https": (lambda d: d["sources"]["v5e"].update(url="v5e.html"), r"\(sources.v5e.url=.*'v5e.html'"),
    "no sources": (lambda d: d.update(sources={}), r"\(sources=.*\{\}"),
    "an unknown unit of names": (lambda d: d["counts"].update(value="hosts"), r"\(counts=.*'chips', 'cores'.*'hosts'"),
    "a template without its slot": (lambda d: d["topology"].update(value="v5e"), r"\(topology=.*\{shape\}.*'v5e'"),
    "a template with another slot": (
        lambda d: d["accelerator_type"].update(value="v5-{number}-{size}"),
        r"\(accelerator_type=.*\{number\}.*size",
    ),
    "an empty interconnect": (lambda d: d["interconnect"].update(value=" "), r"\(interconnect=.*a text.*' '"),
    "a zone that is none": (lambda d: d["zones"].update(value=["here"]), r"\(zones=.*us-central1-a.*'here'"),
    "no zones": (lambda d: d["zones"].update(value=[]), r"\(zones=.*not empty.*\[\]"),
    "an unknown framework": (lambda d: d["frameworks"].update(value=["torch"]), r"\(frameworks=.*'tf', 'jax'.*'torch'"),
    "a framework twice": (lambda d: d["frameworks"].update(value=["tf", "tf"]), r"\(frameworks=.*once"),
    "a framework without a runtime": (lambda d: d["runtimes"].pop("jax"), r"must have `jax` in runtimes"),
    "a runtime that is none": (lambda d: d["runtimes"].update(tf="TF 2"), r"\(runtimes.tf=.*tpu-vm-tf.*'TF 2'"),
    "no runtimes": (lambda d: d.pop("runtimes"), r"\(runtimes=.*commands"),
    "no commands": (lambda d: d.pop("commands"), r"\(commands=.*no_commands"),
    "a command missing": (lambda d: d["commands"].pop("ssh"), r"must have `ssh` in commands"),
    "another program": (
        lambda d: d["commands"].update(ssh="rm {name} {zone}"),
        r"\(commands.ssh=.*gcloud.*'rm ",
    ),
    "a command without the name": (lambda d: d["commands"].update(ssh="gcloud {zone}"), r"\(commands.ssh=.*\{name\}"),
    "a command with an unknown field": (
        lambda d: d["commands"].update(create="gcloud {name} {zone} {colour}"),
        r"\(commands.create=.*accelerator_type.*colour",
    ),
    "a command with an unknown switch": (
        lambda d: d["commands"].update(create="gcloud {name} {zone} [--sport]"),
        r"\(commands.create=.*sport",
    ),
    "a command with a field of a field": (
        lambda d: d["commands"].update(create="gcloud {name} {zone} {name.upper.x}"),
        r"\(commands.create=.*upper",
    ),
    "an open brace": (lambda d: d["commands"].update(create="gcloud {name} {zone} {"), r"\(commands.create=.*\[\]"),
    "an open bracket": (lambda d: d["commands"].update(create="gcloud {name} {zone} [--spot"), r"\(commands.create="),
    "no slices": (lambda d: d["slices"].update(value=[]), r"\(slices=.*not empty"),
    "a slice with a wrong name": (
        lambda d: d["slices"]["value"][2].update(name="v5e-9"),
        r"\(slices\[2\].name=...\)` must be v5e-8, for 2x4 is 8 chips and 8 cores.*'v5e-9'",
    ),
    "a slice with a wrong shape": (
        lambda d: d["slices"]["value"][2].update(shape="2by4"),
        r"\(slices\[2\].shape=.*2x4.*'2by4'",
    ),
    "a slice on too many hosts": (
        lambda d: d["slices"]["value"][2].update(hosts=2),
        r"\(slices\[2\].hosts=...\)` must be 1, for a host has 8 chips.*=2",
    ),
    "a slice on too few virtual machines": (
        lambda d: d["slices"]["value"][4].update(vms=3),
        r"\(slices\[4\].vms=...\)` must be at least 4 \(hosts\) and a divisor of 32 \(chips\).*=3",
    ),
    "a slice larger than a pod": (lambda d: d["pod_chips"].update(value=128), r"\(slices\[7\].shape=.*128.*'16x16'"),
    "a slice without hosts": (lambda d: d["slices"]["value"][0].pop("hosts"), r"must have `hosts` in slices\[0\]"),
    "a slice twice": (lambda d: d["slices"]["value"].insert(0, d["slices"]["value"][0]), r"\(slices=.*each size once"),
    "slices in 2D and 3D": (
        lambda d: d["slices"]["value"][1].update(shape="2x2x1"),
        r"\(slices=.*two or all of three dimensions",
    ),
    "notes that are no list": (lambda d: d.update(notes="none"), r"\(notes=.*a list.*'none'"),
}


@pytest.mark.parametrize("violation", VIOLATIONS)
def test_a_file_with_a_fault_is_refused_with_file_field_and_value(violation, tmp_path):
    change, message = VIOLATIONS[violation]
    data = family_of("v5e")
    change(data)
    broken = tmp_path / "mine.yaml"
    broken.write_text(yaml.safe_dump(data, sort_keys=False))
    with pytest.raises(ValueError, match=rf"`mine\.yaml.*{message}") as refused:
        schema.read(broken)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ["- a\n- b\n", "", "plain"])
def test_a_file_that_is_no_mapping_is_refused(text, tmp_path):
    broken = tmp_path / "mine.yaml"
    broken.write_text(text)
    with pytest.raises(ValueError, match=r"`mine\.yaml\(the file=...\)` must be a mapping with family"):
        schema.read(broken)


def test_a_file_that_is_no_yaml_is_refused_in_one_line(tmp_path):
    broken = tmp_path / "mine.yaml"
    broken.write_text("family: [v5e\n")
    with pytest.raises(ValueError, match=r"`mine\.yaml` is not YAML: .*line 2") as refused:
        schema.read(broken)
    assert "\n" not in str(refused.value)


def test_the_files_are_read_as_they_are():
    for family in FAMILIES:
        data = family_of(family)
        assert [s.name for s in schema.read(FOLDER / f"{family}.yaml")] == [s["name"] for s in data["slices"]["value"]]


COMMANDS = {
    "create": "gcloud compute tpus tpu-vm create mine --zone=us-west4-a --accelerator-type=v5litepod-16 "
    "--version=tpu-vm-tf-2.18.0-pod-pjrt",
    "queued": "gcloud compute tpus queued-resources create mine --node-id=mine --zone=us-west4-a "
    "--accelerator-type=v5litepod-16 --runtime-version=tpu-vm-tf-2.18.0-pod-pjrt",
    "ssh": "gcloud compute tpus tpu-vm ssh mine --zone=us-west4-a",
    "delete": "gcloud compute tpus tpu-vm delete mine --zone=us-west4-a",
    "delete-queued": "gcloud compute tpus queued-resources delete mine --zone=us-west4-a --force",
}


@pytest.mark.parametrize("what", COMMANDS)
def test_commands(what):
    v5e = tpu_configs.load("v5e-16")
    assert v5e.command(what, "mine", "us-west4-a") == COMMANDS[what]
    assert v5e.command(what, "mine", "us-west4-a", project="lab") == f"{COMMANDS[what]} --project=lab"


def test_commands_take_the_runtime_spot_and_what_to_run():
    one, many = tpu_configs.load("v5e-8"), tpu_configs.load("v5e-16")
    assert " --version=tpu-vm-tf-2.18.0-pjrt" in one.command("create", "mine", "us-west4-a")
    assert many.command("create", "mine", "us-west4-a", runtime="jax", spot=True).endswith(
        "=v2-alpha-tpuv5-lite --spot"
    )
    assert tpu_configs.load("v6e-1").command("create", "m", "us-east5-a").endswith("--version=v2-alpha-tpuv6e")
    command = many.command("ssh", "mine", "us-west4-a", run="ls -l 'a b'; echo $HOME")
    assert shlex.split(command)[-2:] == ["--worker=all", "--command=ls -l 'a b'; echo $HOME"]


REFUSED = {
    "an unknown command": ({"what": "stop"}, r"v5e-8\(what=.*'create', 'queued'.*'stop'"),
    "a name with a capital": ({"name": "Mine"}, r"v5e-8\(name=.*lower-case.*'Mine'"),
    "a name with a hyphen at its end": ({"name": "mine-"}, r"v5e-8\(name=.*'mine-'"),
    "a name with a line break at its end": ({"name": "mine\n"}, r"v5e-8\(name=.*'mine\\n'"),
    "a name that is an option": ({"name": "--quiet"}, r"v5e-8\(name=.*'--quiet'"),
    "a name of 64 letters": ({"name": "a" * 64}, r"v5e-8\(name=.*up to 63"),
    "no name": ({"name": None}, r"v5e-8\(name=.*None"),
    "a region": ({"zone": "us-west4"}, r"v5e-8\(zone=.*such as 'us-central1-a'.*'us-west4'"),
    "an empty project": ({"project": " "}, r"v5e-8\(project=.*' '"),
    "a project of two lines": ({"project": "a\nb"}, r"v5e-8\(project=.*a\\nb"),
    "an unknown runtime": ({"runtime": "torch"}, r"v5e-8\(runtime=.*'tf', 'jax'.*'torch'"),
    "spot with delete": ({"what": "delete", "spot": True}, r"v5e-8\(spot=.*left out with 'delete'.*True"),
    "run with create": ({"run": "ls"}, r"v5e-8\(run=.*left out with 'create'.*'ls'"),
    "an empty run": ({"what": "ssh", "run": ""}, r"v5e-8\(run=.*a shell command.*''"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_commands_refuse_what_cannot_be_used(case):
    changed, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        tpu_configs.load("v5e-8").command(**{"what": "create", "name": "mine", "zone": "us-west4-a"} | changed)


def test_a_family_that_gcloud_cannot_create_says_so():
    with pytest.raises(ValueError, match=r"`7x-8` has no gcloud command to create it: .*Kubernetes"):
        tpu_configs.load("7x-8").command("create", "mine", "us-central1-c")


@settings(deadline=None)  # a busy machine is no fault
@given(
    st.text() | st.from_regex(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True),
    st.text() | st.just("us-west4-a"),
    st.text(min_size=1),
    st.sampled_from([name for name in NAMES if not name.startswith("7x")]),
)
@example("a;ls", "us-west4-a", "p", "v5e-8")
@example("mine", "us-west4-a;ls", "p", "v5e-8")
def test_a_command_is_refused_or_read_back_as_it_was_given(name, zone, text, slice_name):
    found = tpu_configs.load(slice_name)
    for what, key, flag in (("create", "project", "project"), ("ssh", "run", "command")):
        try:
            words = shlex.split(found.command(what, name, zone, **{key: text}))
        except ValueError as refused:
            assert str(refused).startswith(f"`{slice_name}(")
            continue
        assert words[:6] == ["gcloud", "compute", "tpus", "tpu-vm", what, name] and words[6] == f"--zone={zone}"
        assert words[-1] == f"--{flag}={text}"


def test_a_real_shell_reads_a_command_as_it_was_given():
    nasty = "$(touch pwned) `touch pwned` 'a' \"b\" \\ ; & | > * ~ # !\n\t%s -x"
    command = tpu_configs.load("v5e-8").command("ssh", "mine", "us-west4-a", project="it's; $HOME", run=nasty)
    done = subprocess.run(["sh", "-c", f"printf '%s\\0' {command}"], capture_output=True, text=True, check=True)
    assert done.stdout.split("\0")[5:-1] == [
        *("mine", "--zone=us-west4-a", "--project=it's; $HOME", "--worker=all", f"--command={nasty}")
    ]


def test_listing_imports_neither_keras_nor_a_backend():
    code = """
import sys
sys.argv = ["keras-dlopt"]
from keras_dlopt import cli
assert cli.main(["tpu", "list"]) == cli.main(["tpu", "show", "v5e-8"]) == 0
assert cli.main(["tpu", "command", "v5e-8", "--name", "mine", "--zone", "us-west4-a"]) == 0
print(*{name.split(".")[0] for name in sys.modules} & {"tensorflow", "keras", "jax", "torch", "numpy", "libtpu"})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == ""


def test_the_page_has_every_family_as_it_is_now():
    page = (pathlib.Path(__file__).parents[1] / "docs" / "tpu.md").read_text()
    for family in FAMILIES:
        slices = [s for s in map(tpu_configs.load, NAMES) if s.family == family]
        first, last = slices[0], slices[-1]
        figures = (first.counts, first.hbm_gib, first.bandwidth_gb_per_s, first.peak_bf16_tflops, first.interconnect)
        row = (family, f"{first.name} ... {last.name}", *map(str, figures), ", ".join(first.frameworks))
        assert f"| {' | '.join(row)} |" in page


COMPILER = """
import json, sys
from jax.experimental import topologies
found = {}
for name in json.loads(sys.argv[1]):
    devices = topologies.get_topology_desc(topology_name=name, platform="tpu").devices
    found[name] = (len(devices), len({tuple(device.coords) for device in devices}))
print(json.dumps(found))
"""


@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="needs the TPU compiler: pip install libtpu")
def test_the_tpu_compiler_knows_every_topology():
    slices = [tpu_configs.load(name) for name in NAMES]
    env = os.environ | {"TPU_SKIP_MDS_QUERY": "1", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", COMPILER, json.dumps([s.topology for s in slices])]
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found == {s.topology: [s.compiler_devices, s.chips] for s in slices}
