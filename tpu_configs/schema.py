"""What a family's file may hold. Reading one checks it whole: no slice comes out of a file with a fault."""

import math
import re

from keras_dlopt.arguments import check_choice, check_number, invalid
from keras_dlopt.tpu_configs.slices import COMMANDS, FIELDS, ZONE, Slice, Source, fill

_COUNTS = ("chips", "cores")
_FRAMEWORKS = ("tf", "jax")
_NUMBERS = ("hbm_gib", "bandwidth_gb_per_s", "peak_bf16_tflops", "compiler_hbm_gib")
_WHOLE = ("cores_per_chip", "chips_per_host", "compiler_devices_per_chip")
_CITED = (*_NUMBERS, *_WHOLE, "counts", "accelerator_type", "topology", "interconnect", "zones", "frameworks", "slices")
_OPTIONAL = ("ici_gb_per_s", "pod_chips", "runtimes", "commands", "no_commands", "notes")
_ROUNDING_GIB = 1  # the vendor rounds a chip's memory down, so the compiler may grant a little more


def read(file):
    """The slices of one family.

    Args:
        file: a path with `name` and `read_text`, the family's YAML file.

    Raises:
        ValueError: naming the file, the field, what is accepted and what was found.
    """
    import yaml

    try:
        data = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"`{file.name}` is not YAML: {' '.join(str(error).split())}") from error
    return _Family(file.name, data).slices()


class _Family:
    def __init__(self, file, data):
        self.file = file
        self.data = self._mapping("the file", data, ("family", "sources", *_CITED), _OPTIONAL)
        if ("commands" in data) == ("no_commands" in data):
            raise self._invalid("commands", data.get("commands"), "there, or else `no_commands` with the reason")
        if ("commands" in data) != ("runtimes" in data):
            raise self._invalid("runtimes", data.get("runtimes"), "there if `commands` is, and only then")
        self.known = self._sources()
        self.sources = {}

    def slices(self):
        """Checks every entry, then the slices, and that every source is used."""
        optional = self.data.keys() & set(_OPTIONAL)
        numbers = {field: self._number(field) for field in _NUMBERS}
        self.per = {field: self._number(field, integer=True) for field in _WHOLE}
        if numbers["compiler_hbm_gib"] * self.per["compiler_devices_per_chip"] >= numbers["hbm_gib"] + _ROUNDING_GIB:
            accepted = f"within the chip's {numbers['hbm_gib']:g} GiB"
            raise self._invalid("compiler_hbm_gib", numbers["compiler_hbm_gib"], accepted)
        self.shared = {
            "family": self._text("family", self.data["family"]),
            "counts": check_choice(self.file, "counts", self._cited("counts"), _COUNTS),
            "interconnect": self._text("interconnect", self._cited("interconnect")),
            "ici_gb_per_s": self._number("ici_gb_per_s") if "ici_gb_per_s" in optional else None,
            "pod_chips": self._number("pod_chips", integer=True) if "pod_chips" in optional else None,
            "frameworks": self._frameworks(),
            "commands": self._commands() if "commands" in optional else {},
            "no_commands": self._text("no_commands", self._cited("no_commands")) if "no_commands" in optional else None,
            "notes": tuple(self._text("notes", note) for note in self._list("notes", self.data.get("notes", []), 0)),
            **numbers,
        }
        self.accelerator_type = self._template("accelerator_type", "{number}")
        self.topology = self._template("topology", "{shape}")
        self.runtimes = self._runtimes() if "runtimes" in optional else {}
        self.zones = self._zones("zones", self._cited("zones"))
        rows = self._list("slices", self._cited("slices"))
        found = [self._slice(f"slices[{i}]", row) for i, row in enumerate(rows)]
        self._check_together(found)
        return found

    def _slice(self, field, row):
        self._mapping(field, row, ("name", "shape", "hosts", "vms"), ("zones",))
        shape = row["shape"]
        if not isinstance(shape, str) or not re.fullmatch("[1-9][0-9]*(x[1-9][0-9]*){1,2}", shape):
            raise self._invalid(f"{field}.shape", shape, 'two or three counts of chips such as "2x4"')
        chips = math.prod(int(n) for n in shape.split("x"))
        cores = chips * self.per["cores_per_chip"]
        number = chips if self.shared["counts"] == "chips" else cores
        name = f"{self.shared['family']}-{number}"
        if row["name"] != name:
            accepted = f"{name}, for {shape} is {chips} chips and {cores} cores"
            raise self._invalid(f"{field}.name", row["name"], accepted)
        pod = self.shared["pod_chips"]
        if pod is not None and chips > pod:
            raise self._invalid(f"{field}.shape", shape, f"at most pod_chips = {pod} chips")
        hosts = check_number(self.file, f"{field}.hosts", row["hosts"], low=1, integer=True)
        needed = math.ceil(chips / self.per["chips_per_host"])
        if hosts != needed:
            accepted = f"{needed}, for a host has {self.per['chips_per_host']} chips"
            raise self._invalid(f"{field}.hosts", hosts, accepted)
        vms = check_number(self.file, f"{field}.vms", row["vms"], low=1, integer=True)
        if vms < hosts or chips % vms:
            raise self._invalid(f"{field}.vms", vms, f"at least {hosts} (hosts) and a divisor of {chips} (chips)")
        return Slice(
            name=name,
            accelerator_type=self.accelerator_type.format(number=number),
            topology=self.topology.format(shape=shape),
            chips=chips,
            cores=cores,
            hosts=hosts,
            vms=vms,
            compiler_devices=chips * self.per["compiler_devices_per_chip"],
            zones=self._zones(f"{field}.zones", row["zones"]) if "zones" in row else self.zones,
            runtimes={key: text.format(pod="-pod" if vms > 1 else "") for key, text in self.runtimes.items()},
            sources=self._by_attribute(),
            **self.shared,
        )

    def _by_attribute(self):
        """The sources under the names of a slice's attributes, which are made of the file's fields."""
        made = {"chips": "slices", "vms": "slices", "cores": "cores_per_chip", "hosts": "chips_per_host"}
        made["compiler_devices"] = "compiler_devices_per_chip"
        kept = {field: found for field, found in self.sources.items() if field not in made.values()}
        return kept | {attribute: self.sources[field] for attribute, field in made.items()}

    def _check_together(self, found):
        chips = [s.chips for s in found]
        if chips != sorted(set(chips)):
            raise self._invalid("slices", [s.name for s in found], "each size once, the smallest first")
        ranks = {s.topology.count("x") for s in found}
        if len(ranks) > 1:
            raise self._invalid("slices", [s.topology for s in found], "all of two or all of three dimensions")
        cited = {source for sources in self.sources.values() for source in sources}
        for name, source in self.known.items():
            if source not in cited:
                raise self._invalid(f"sources.{name}", source.url, "the source of something in the file")

    def _sources(self):
        data = self.data["sources"]
        if not isinstance(data, dict) or not data:
            raise self._invalid("sources", data, "a mapping from names to `title` and `url`")
        for name, entry in data.items():
            self._mapping(f"sources.{name}", entry, ("title", "url"))
            self._text(f"sources.{name}.title", entry["title"])
            if not re.fullmatch(r"https://\S+", self._text(f"sources.{name}.url", entry["url"])):
                raise self._invalid(f"sources.{name}.url", entry["url"], "an https address")
        return {name: Source(entry["title"], entry["url"]) for name, entry in data.items()}

    def _cite(self, field, names):
        """Remembers where a field comes from."""
        names = names if isinstance(names, list) else [names]
        for name in names:
            if not isinstance(name, str) or name not in self.known:
                raise self._invalid(f"{field}.source", name, f"one or a list of {', '.join(self.known)}")
        if not names:
            raise self._invalid(f"{field}.source", names, f"one or a list of {', '.join(self.known)}")
        self.sources[field] = tuple(self.known[name] for name in names)

    def _cited(self, field):
        """The value of a field that is there with its source."""
        entry = self._mapping(field, self.data[field], ("value", "source"))
        self._cite(field, entry["source"])
        return entry["value"]

    def _number(self, field, integer=False):
        return check_number(self.file, field, self._cited(field), low=0, ends="()", integer=integer)

    def _frameworks(self):
        found = self._list("frameworks", self._cited("frameworks"))
        for name in found:
            check_choice(self.file, "frameworks", name, _FRAMEWORKS)
        if len(set(found)) != len(found):
            raise self._invalid("frameworks", found, "each framework once")
        return tuple(found)

    def _runtimes(self):
        frameworks = self.shared["frameworks"]
        data = self._mapping("runtimes", self.data["runtimes"], (*frameworks, "source"))
        self._cite("runtimes", data["source"])
        for name in frameworks:
            if not re.fullmatch(r"[a-z0-9.-]+(\{pod\}[a-z0-9.-]*)?", self._text(f"runtimes.{name}", data[name])):
                accepted = 'a software version such as "tpu-vm-tf-2.18.0{pod}-pjrt"'
                raise self._invalid(f"runtimes.{name}", data[name], accepted)
        return {name: data[name] for name in frameworks}

    def _commands(self):
        data = self._mapping("commands", self.data["commands"], (*COMMANDS, "source"))
        self._cite("commands", data["source"])
        for what in COMMANDS:
            text, field = self._text(f"commands.{what}", data[what]), f"commands.{what}"
            try:
                fill(text, dict.fromkeys(FIELDS, "x"))
                fits = not set("[]") & set(re.sub(r"\[[^][]*\]", "", text))
            except (ValueError, LookupError, AttributeError):
                fits = False
            if not (fits and text.startswith("gcloud ") and "{name}" in text and "{zone}" in text):
                accepted = "a gcloud command with {name} and {zone}, optional parts in [], and of the fields "
                raise self._invalid(field, text, accepted + ", ".join(FIELDS))
        return {what: data[what] for what in COMMANDS}

    def _template(self, field, slot):
        text = self._text(field, self._cited(field))
        if text.count(slot) != 1 or re.search(r"[{}\s]", text.replace(slot, "")):
            raise self._invalid(field, text, f"a name with one {slot} in it")
        return text

    def _zones(self, field, found):
        for zone in self._list(field, found):
            if not isinstance(zone, str) or not re.fullmatch(ZONE, zone):
                raise self._invalid(field, zone, 'zones such as "us-central1-a"')
        return tuple(found)

    def _list(self, field, found, least=1):
        if not isinstance(found, list) or len(found) < least:
            raise self._invalid(field, found, "a list" + " that is not empty" * bool(least))
        return found

    def _text(self, field, found):
        if not isinstance(found, str) or not found.strip():
            raise self._invalid(field, found, "a text")
        return found

    def _mapping(self, field, found, required, optional=()):
        if not isinstance(found, dict):
            raise self._invalid(field, found, f"a mapping with {', '.join(required)}")
        for key in required:
            if key not in found:
                raise ValueError(f"`{self.file}` must have `{key}` in {field}. Received: {sorted(map(str, found))}")
        for key in found:
            if key not in (*required, *optional):
                known = ", ".join((*required, *optional))
                raise ValueError(f"`{self.file}` must not have {key!r} in {field}. Accepted: {known}")
        return found

    def _invalid(self, field, value, accepted):
        return invalid(self.file, field, value, accepted)
