"""distribute_train.py on Ray Train: `pip install "keras-dlopt[ray]"`, then

    python examples/distribute_ray.py --workers 2

Ray's TensorflowTrainer sets TF_CONFIG in each of its workers, which is all that `distribute.strategy()` needs. On a Ray
cluster the workers are spread over its machines; without one, Ray starts here.
"""

import argparse
import pathlib

import ray
from ray.train import RunConfig, ScalingConfig
from ray.train.tensorflow import TensorflowTrainer

HERE = pathlib.Path(__file__).parent


def train(config):
    import distribute_train  # in the worker, after Ray has set TF_CONFIG
    from ray import train

    history = distribute_train.main(config)
    train.report({name: values[-1] for name, values in history.items()})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--gpu", action="store_true", help="a GPU for each worker")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--folder", default="runs/distribute", help="shared by all machines")
    arguments = parser.parse_args()
    ray.init(runtime_env={"env_vars": {"PYTHONPATH": str(HERE)}}, include_dashboard=False)
    folder = pathlib.Path(arguments.folder).absolute()
    trainer = TensorflowTrainer(
        train,
        train_loop_config={"epochs": arguments.epochs, "folder": str(folder / "backup")},
        scaling_config=ScalingConfig(num_workers=arguments.workers, use_gpu=arguments.gpu),
        run_config=RunConfig(storage_path=str(folder)),
    )
    trainer.fit()
