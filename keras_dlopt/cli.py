"""`keras-dlopt`: the command line."""


def main(argv=None):
    raise SystemExit("keras-dlopt: no command yet")
