"""The process that holds the TPU compiler: `python -m keras_dlopt.distribute.aot.worker LOG`.

It reads requests from standard input and writes answers to standard output, both one JSON object a line; whatever the
libraries print goes to the file LOG. Nothing of Keras is imported here, and nothing here by the user's process.
"""

import json
import os
import sys
import threading
import time

from keras_dlopt.distribute.aot import hlo


def main():
    answers = os.fdopen(os.dup(1), "w")
    log = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    compiler = _Compiler()
    for line in sys.stdin:
        print(json.dumps(compiler.answer(json.loads(line))), file=answers, flush=True)


def _end_with(parent):
    """A user's process that is killed closes nothing, and a compilation would go on for minutes."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


class _Compiler:
    """libtpu's compile-only client, one for each topology."""

    def __init__(self):
        self.topologies = {}

    def answer(self, request):
        import jax

        started = time.perf_counter()
        try:
            executable = self.compile(**request)
        except jax.errors.JaxRuntimeError as error:
            return {"error": str(error), "seconds": time.perf_counter() - started}
        seconds = time.perf_counter() - started
        memory = executable.get_compiled_memory_stats()
        names = ("peak_memory", "argument_size", "output_size", "alias_size", "temp_size", "generated_code_size")
        cost = executable.cost_analysis()
        return {
            "error": None,
            "seconds": seconds,
            "memory": {name: getattr(memory, f"{name}_in_bytes") for name in names},
            "flops": cost["flops"],
            "bytes": cost["bytes accessed"],
            **hlo.read(executable.hlo_modules()[0].to_string()),
        }

    def compile(self, path, topology, partitions):
        import numpy as np
        from jax._src import compiler  # no public call compiles a module made elsewhere
        from jax._src.interpreters import mlir
        from jax._src.lib import xla_client
        from jax.experimental import topologies
        from jaxlib.mlir import ir

        if topology not in self.topologies:
            self.topologies[topology] = topologies.get_topology_desc(topology_name=topology, platform="tpu")
        devices = self.topologies[topology].devices[:partitions]
        assignment = np.array([[device.id for device in devices]])
        options = compiler.get_compile_options(1, partitions, device_assignment=assignment)
        options.executable_build_options.use_shardy_partitioner = partitions > 1
        with mlir.make_ir_context():
            with open(path, "rb") as file:
                module = ir.Module.parse(file.read())
            _drop_copies(module.operation)
            return devices[0].client.compile(module, xla_client.DeviceList(tuple(devices)), options)


def _drop_copies(operation):
    """Takes out the mhlo.copy operations that TensorFlow leaves in its StableHLO, which libtpu does not know."""
    for region in operation.regions:
        for block in region:
            for inner in list(block.operations):
                _drop_copies(inner.operation)
                if inner.operation.name == "mhlo.copy":
                    inner.operation.results[0].replace_all_uses_with(inner.operation.operands[0])
                    inner.operation.erase()


if __name__ == "__main__":
    main()
