"""`keras-dlopt optimizers`: the table of all optimizers."""

from keras_dlopt.commands.command import Refused, command, import_keras_quietly, print_uncut, table


@command("list the optimizers: paper, bytes of state, default learning rate, what each is tested against")
def optimizers(parser):
    parser.add_argument("--family", metavar="NAME", help='only these, such as "drop-in" (default: all)')
    parser.add_argument("--markdown", action="store_true", help="as a Markdown table, as in docs/optimizers.md")

    def run(arguments):
        import_keras_quietly()

        from keras_dlopt.optimizers.table import TABLE, WRAPPERS

        rows = [*TABLE.values(), *WRAPPERS.values()]
        families = list(dict.fromkeys(row.family for row in rows))
        if arguments.family not in (None, *families):
            raise Refused(f"--family must be one of {', '.join(families)}. Received: {arguments.family!r}")
        listed = table(
            *("name", "family", "paper", "bytes a parameter>", "learning rate>", "tested against"),
            markdown=arguments.markdown,
        )
        for row in rows:
            if arguments.family in (None, row.family):
                rate = "the inner one's" if row.name in WRAPPERS else f"{row.learning_rate:g}"
                listed.add_row(row.name, row.family, row.paper, f"{row.state_bytes:g}", rate, row.tested_against)
        print_uncut(listed)
        return 0

    return run
