"""`keras-dlopt compress`: prunes and quantizes a saved model, and reports what that gained."""

import os

from keras_dlopt.commands.command import Refused, command, count, import_keras_quietly, need_tensorflow, share


@command("prune and quantize a saved model, and report sizes, speed and accuracy before and after")
def compress(parser):
    add = parser.add_argument
    add("model", metavar="MODEL", help="a .keras file of a compiled model")
    add("--data", required=True, metavar="FILE", help=".npz with x and y, and x_test and y_test to score on")
    add("--prune", type=share, metavar="SHARE", help="share of weights to zero, such as .8")
    add("--quantize", choices=("int8", "dynamic", "float16"), help="int8 is trained for, the others are not")
    add("--epochs", type=count, default=5, metavar="N", help="of training, for each of the two (default: 5)")
    add("--learning-rate", type=float, default=1e-4, metavar="RATE", help="of Adam there (default: 1e-4)")
    add("--out", default="runs/compress", metavar="FOLDER", help="where the files go (default: runs/compress)")

    def run(arguments):
        for file in (arguments.model, arguments.data):
            if not os.path.isfile(file):
                raise Refused(f"there is no file {file!r}")
        if arguments.prune is None and arguments.quantize is None:
            raise Refused("nothing to do: give --prune, --quantize, or both")
        import_keras_quietly()
        need_tensorflow()
        from keras_dlopt.commands.compress_file import compress_file

        try:
            report = compress_file(
                arguments.model,
                arguments.data,
                arguments.out,
                prune=arguments.prune,
                quantize=arguments.quantize,
                epochs=arguments.epochs,
                learning_rate=arguments.learning_rate,
            )
        except (ValueError, OSError) as reason:
            raise Refused(str(reason)) from reason
        print(report)
        print(f"Written to {arguments.out}: before.tflite, after.tflite, after.keras, report.json, report.png")
        return 0

    return run
