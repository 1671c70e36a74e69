"""All cases of the conformance table."""

import cases_curvature
import cases_drop_in
import cases_first_order
import cases_matrix
import cases_memory
import cases_rate_free
import cases_schedule_free

from keras_dlopt.optimizers.table import TABLE

CASES = [
    *cases_drop_in.CASES,
    *cases_first_order.CASES,
    *cases_memory.CASES,
    *cases_matrix.CASES,
    *cases_rate_free.CASES,
    *cases_schedule_free.CASES,
    *cases_curvature.CASES,
]

# One case a rule, the last: that with the most state.
ONE_EACH = list({case.name: case for case in CASES}.values())
# One rule a family. (Not SophiaG: under TensorFlow's strategies each replica draws labels of its own.)
ONE_A_FAMILY = list({TABLE[case.name].family: case for case in ONE_EACH if case.name != "SophiaG"}.values())
