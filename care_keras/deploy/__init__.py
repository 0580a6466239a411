"""The deploy form: the same function in operations that phones run fast."""

from care_keras.deploy.deploy_model import DeployModel
from care_keras.deploy.fuse import Rewrites, fuse

__all__ = ["DeployModel", "Rewrites", "fuse"]
