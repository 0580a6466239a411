"""The deploy form: the same function in operations that phones run fast."""

from care_keras.deploy.fuse import Rewrites, fuse
from care_keras.deploy.lift import lift
from care_keras.primitives.deploy_model import DeployModel

__all__ = ["DeployModel", "Rewrites", "fuse", "lift"]
