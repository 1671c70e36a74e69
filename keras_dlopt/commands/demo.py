"""`keras-dlopt demo`: an optimization ladder on a real task."""

import time

from keras_dlopt.commands.command import INTERRUPTED, Refused, command, count, import_keras_quietly, need_tensorflow

IMAGES = ("digits", "mnist", "fashion_mnist", "cifar10")


@command("train an optimization ladder on a real task, from gradient descent to a pruned int8 model, with a report")
def demo(parser):
    add = parser.add_argument
    add("--task", choices=("digits", "text"), default="digits", help="what to learn (default: digits)")
    add("--data", choices=IMAGES, help="images for --task digits, downloaded once (default: scikit-learn's digits)")
    add("--seeds", type=count, default=1, metavar="N", help="how often to train every rung (default: 1)")
    add("--epochs", type=count, metavar="N", help="budget of every rung (default: the task's)")
    add("--rungs", default="1-10", metavar="LIST", help="such as 5,6,8-10, and what those build on (default: 1-10)")
    add("--rows", type=count, metavar="N", help="use only the first N rows of each part: a quick look")
    add("--tune", action="store_true", help="first search the learning rates anew: ten times as long")
    add("--out", default="runs/demo", metavar="FOLDER", help="where the report goes (default: runs/demo)")

    def run(arguments):
        started = time.perf_counter()
        if arguments.task == "text" and arguments.data:
            raise Refused(f"--data {arguments.data} does not go with --task text, which reads Python's own sources")
        import_keras_quietly()
        need_tensorflow()
        from keras_dlopt import demo

        try:
            report = demo.run(
                arguments.data or arguments.task,
                rungs=arguments.rungs,
                seeds=arguments.seeds,
                epochs=arguments.epochs,
                rows=arguments.rows,
                out=arguments.out,
                tune=arguments.tune,
                started=started,
            )
        except demo.Unavailable as reason:
            raise Refused(str(reason)) from reason
        return 0 if report["status"] == "complete" else INTERRUPTED

    return run
