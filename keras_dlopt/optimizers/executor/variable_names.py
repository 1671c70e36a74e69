"""What a variable is, by the name that Keras gives it."""


def is_embedding(variable):
    """Whether the variable itself is called an embedding: a kernel of a layer called so is not one."""
    return "embed" in variable.path.rpartition("/")[2].lower()
