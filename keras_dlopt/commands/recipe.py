"""`keras-dlopt recipe`: checks a recipe of callbacks."""

import json

from keras_dlopt.commands.command import Refused, command, import_keras_quietly


@command("check a recipe of callbacks, or print the JSON schema of recipes")
def recipe(parser):
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("path", nargs="?", metavar="FILE", help="a YAML file: `callbacks: [...]`")
    which.add_argument("--schema", action="store_true", help="print the schema")

    def run(arguments):
        import_keras_quietly()
        from keras_dlopt import callbacks

        if arguments.schema:
            print(json.dumps(callbacks.recipe_schema(), indent=1))
            return 0
        try:
            made = callbacks.from_recipe(arguments.path)
        except (OSError, ValueError) as error:
            raise Refused(str(error)) from error
        print("\n".join(type(callback).__name__ for callback in made))
        return 0

    return run
