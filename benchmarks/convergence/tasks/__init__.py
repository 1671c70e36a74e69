"""The tasks, small enough for two cores: `TASKS[name]()` gives one."""

from convergence.tasks.closed_form import matrix, quadratic
from convergence.tasks.digits import autoencoder, convolutional, softmax
from convergence.tasks.embeddings import clicks
from convergence.tasks.task import Task
from convergence.tasks.transformer import characters

__all__ = ["TASKS", "Task"]

TASKS = {
    "quadratic": quadratic,
    "matrix": matrix,
    "softmax": softmax,
    "convolutional": convolutional,
    "autoencoder": autoencoder,
    "embeddings": clicks,
    "transformer": characters,
}
