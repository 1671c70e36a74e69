"""Full-batch training through SciPy."""

import re

import keras
import numpy as np

from keras_dlopt.arguments import check_choice, check_number, invalid
from keras_dlopt.optimizers.objective import Objective, epsilon, make_batches, make_loss

# SciPy's methods that need gradients, or products with the Hessian; not those that need the Hessian itself.
METHODS = ("CG", "BFGS", "Newton-CG", "L-BFGS-B", "TNC", "SLSQP", "trust-constr", "trust-ncg", "trust-krylov")
SECOND_ORDER = ("Newton-CG", "trust-ncg", "trust-krylov")
BOUNDED = ("L-BFGS-B", "TNC", "SLSQP", "trust-constr")


def minimize(
    model,
    x,
    y=None,
    method="L-BFGS-B",
    *,
    sample_weight=None,
    loss=None,
    bounds=None,
    callbacks=None,
    batch_size=None,
    max_iterations=200,
    options=None,
    verbose=1,
):
    r"""Trains `model` on all data at once with one of SciPy's methods, which choose the step length themselves.

    $$\min_w \; \frac{1}{N} \sum_{i=1}^{N} \ell\big(y_i, f_w(x_i)\big) + \mathrm{regularization}(w)$$

    over the trainable variables, seen by SciPy as one flat float64 vector in the order of `model.trainable_variables`.
    The loss and its gradient come from one compiled function. Layers run as at inference (`training=False`): dropout
    does nothing and BatchNormalization uses its moving statistics and leaves them alone, since SciPy's methods need
    the same value for the same weights.

    Suits small models, where it reaches an accuracy no stochastic method does. Near the minimum a float32 loss no
    longer tells points apart; there its differences are taken from the gradients.

    Args:
        model: a compiled Keras model, or any with `loss` given; not built yet is fine.
        x: inputs: an array, or a list or dictionary of arrays, equally many rows each.
        y: targets, likewise; `None` for a model that adds its own loss.
        method: "L-BFGS-B", "CG", "BFGS", "TNC", "SLSQP" or "trust-constr"; or "Newton-CG", "trust-ncg" or
            "trust-krylov", which get exact products with the Hessian. BFGS, SLSQP and trust-constr hold a matrix of
            (number of weights)^2.
        sample_weight: a weight for each row, shape (rows,).
        loss: a Keras loss, its name or a function of `(y_true, y_pred)`, in place of the compiled one.
        bounds: `{pattern: (low, high)}`: the variables whose path matches (`re.search`, first match wins) stay within
            `low` and `high`, each a number, `None` for none, or an array of the variable's shape; or an array of shape
            (weights, 2) for the flat vector. For "L-BFGS-B", "TNC", "SLSQP" and "trust-constr". The start is clipped.
        callbacks: Keras callbacks; an iteration is an epoch to them (logs: `loss` and `gradient_norm`), there are no
            batches, and `model.stop_training = True` ends the run.
        batch_size: rows that go through the model at a time, >= 1; `None` for all. The result is the same (each
            batch's mean loss counts by its rows); the memory is not.
        max_iterations: >= 1.
        options: SciPy's options of the method, such as `{"maxcor": 20}` for L-BFGS-B.
        verbose: 1 for a progress line, 0 for none.

    Returns:
        SciPy's `OptimizeResult`, of the best point seen (`x`, `fun`, `jac`). The model's weights are left there, also
        when the run is interrupted with Ctrl-C.

    Raises:
        ValueError: for a method without gradients, bounds where a method knows none, a model that is neither compiled
            nor given a `loss`, a loss that is not finite at the start.

    Source: Byrd, Lu, Nocedal and Zhu 1995 (L-BFGS-B); the others in `scipy.optimize.minimize`.

    Example:

    >>> import keras, numpy as np
    >>> x = np.linspace(-1, 1, 50, dtype="float32")[:, None]
    >>> model = keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(1)])
    >>> model.compile(loss="mse")
    >>> result = minimize(model, x, 3 * x - 2, verbose=0)
    >>> [float(w[..., 0].round(3)) for w in map(np.atleast_1d, model.get_weights()[1])]
    [-2.0]
    """
    import scipy.optimize

    where = "minimize"
    check_choice(where, "method", method, METHODS)
    check_choice(where, "verbose", verbose, (0, 1))
    check_number(where, "max_iterations", max_iterations, low=1, integer=True)
    if bounds is not None and method not in BOUNDED:
        raise invalid(where, "bounds", bounds, f"None for {method}: {', '.join(BOUNDED)} take bounds")
    if loss is None and not model.compiled:
        raise invalid(where, "model", model.name, "compiled with a loss; or give one as `loss=`")

    objective = Objective(model, make_batches(x, y, sample_weight, batch_size), make_loss(loss))
    low, high = _limits(bounds, model.trainable_variables)
    start = np.clip(objective.vector(), low, high)
    objective.feasible = low, high
    value, _ = objective(start)
    if not np.isfinite(value):
        raise ValueError(f"`minimize(...)`: the loss at the start is {value}; check the data and the model's weights.")

    epochs = keras.callbacks.CallbackList(
        callbacks, add_history=True, model=model, epochs=max_iterations, steps=1, verbose=verbose
    )
    run = Run(objective, epochs, max_iterations, verbose)
    model.stop_training = False
    epochs.on_train_begin()
    try:
        result = scipy.optimize.minimize(
            run.evaluate,
            start,
            jac=True,
            hessp=objective.hessian_product if method in SECOND_ORDER else None,
            method=method,
            # Every point tried keeps to the bounds, so that the best one does.
            bounds=None if bounds is None else scipy.optimize.Bounds(low, high, keep_feasible=True),
            callback=run.end_iteration,
            options=_options(method, max_iterations, model.trainable_variables) | (options or {}),
        )
    except Stopped as reason:
        result = scipy.optimize.OptimizeResult(
            success=False, status=99, message=str(reason), nit=run.iteration, nfev=objective.calls, njev=objective.calls
        )
    finally:
        objective.assign(objective.best[1])
        run.finish()
    result.fun, result.x, result.jac = objective.best
    epochs.on_train_end({"loss": result.fun})
    return result


class Stopped(Exception):
    """Ends SciPy's loop: every method lets it pass, though not every one knows `StopIteration`."""


class Run:
    """What happens around SciPy's iterations: Keras's callbacks and the progress line."""

    def __init__(self, objective, callbacks, max_iterations, verbose):
        self.objective, self.callbacks, self.max_iterations = objective, callbacks, max_iterations
        self.iteration, self.begun, self.logs = 0, False, {}
        self.line = keras.utils.Progbar(
            max_iterations, verbose=verbose, stateful_metrics=["loss", "gradient_norm"], unit_name="iteration"
        )

    def evaluate(self, vector):
        if not self.begun:  # SciPy says when an iteration ends; the next one begins with its first evaluation
            self.begun = True
            self.callbacks.on_epoch_begin(self.iteration)
        return self.objective(vector)

    def end_iteration(self, vector, *_):
        value, gradient = self.objective(vector)
        self.objective.assign(vector)
        self.logs = {"loss": value, "gradient_norm": float(np.linalg.norm(gradient))}
        self.callbacks.on_epoch_end(self.iteration, dict(self.logs))
        self.iteration, self.begun = self.iteration + 1, False
        if self.iteration < self.max_iterations:  # the last update ends the line, in `finish`
            self.line.update(self.iteration, list(self.logs.items()))
        if self.objective.model.stop_training:
            raise Stopped("A callback stopped the run.")
        if self.iteration >= self.max_iterations:
            raise Stopped("The run reached `max_iterations`.")

    def finish(self):
        self.line.update(self.iteration, list(self.logs.items()), finalize=True)


def _limits(bounds, variables):
    """The lower and the upper end for each element of the flat vector."""
    sizes = [int(np.prod(v.shape)) for v in variables]
    if bounds is None:
        return np.full(sum(sizes), -np.inf), np.full(sum(sizes), np.inf)
    if isinstance(bounds, dict):
        for pattern in bounds:
            try:
                re.compile(pattern)
            except (TypeError, re.error):
                raise invalid("minimize", "bounds", pattern, "patterns that compile") from None
            if not any(re.search(pattern, v.path) for v in variables):
                paths = ", ".join(v.path for v in variables[:8])
                raise invalid("minimize", "bounds", pattern, f"patterns that match a variable's path (such as {paths})")
        limits = [_limits_of(v, bounds) for v in variables]
        low, high = (np.concatenate([pair[end].ravel() for pair in limits]) for end in (0, 1))
    else:
        try:
            pairs = np.asarray(bounds, "float64")
        except (TypeError, ValueError):
            pairs = np.empty(0)
        if pairs.shape != (sum(sizes), 2):
            accepted = f"a dictionary of patterns or an array of shape ({sum(sizes)}, 2)"
            raise invalid("minimize", "bounds", bounds, accepted)
        low, high = pairs.T
    if not np.all(low <= high):
        raise invalid("minimize", "bounds", bounds, "pairs (low, high) with low <= high")
    return low, high


def _limits_of(variable, bounds):
    pair = next((pair for pattern, pair in bounds.items() if re.search(pattern, variable.path)), (None, None))
    try:
        low, high = pair
        low, high = -np.inf if low is None else low, np.inf if high is None else high
        return [np.broadcast_to(np.asarray(end, "float64"), tuple(variable.shape)) for end in (low, high)]
    except (TypeError, ValueError):
        accepted = f"(low, high), each a number, None or an array of shape {tuple(variable.shape)} for {variable.path}"
        raise invalid("minimize", "bounds", pair, accepted) from None


def _options(method, max_iterations, variables):
    """SciPy's own limits, above which ours ends the run; where its defaults stop short of 1e-4, tighter ones."""
    limits = {} if method == "TNC" else {"maxiter": max_iterations + 1}
    own = {
        "L-BFGS-B": {"maxfun": 100 * max_iterations},
        "SLSQP": {"ftol": 1e-9},
        # TNC takes differences of gradients, which float32 weights must resolve.
        "TNC": {"accuracy": epsilon(variables) ** 0.5, "ftol": 1e-12, "gtol": 1e-7, "maxfun": 100 * max_iterations},
    }
    if method.startswith("trust"):
        limits["gtol"] = 1e-7
    return limits | own.get(method, {})
