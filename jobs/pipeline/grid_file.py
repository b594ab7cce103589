"""Reading a grid file, and building from it what the workers will build."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from jobs.pipeline.deployment_file import InvalidDeployment, load_model
from jobs.pipeline.grid_config import GridDeployment
from udfs.grid.place import Places
from udfs.layer_file import LayerError


def load_grid_deployment(path: Path, environment: Mapping[str, str] = os.environ) -> GridDeployment:
    """Read, interpolate and validate a grid file.

    Raises
    ------
    InvalidDeployment : each line names the key, the value and what is allowed.
    """
    deployment = load_model(path, GridDeployment, environment, "`meridian join schema`")
    try:
        for grid in deployment.rules(path.parent).grids:
            Places(grid)
    except LayerError as error:
        raise InvalidDeployment(f"{path}: grids: layer: {error}") from None
    return deployment
