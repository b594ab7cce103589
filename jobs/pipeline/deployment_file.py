"""Reads a deployment file and says in plain lines what is wrong with it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from jobs.pipeline.config import Deployment
from udfs.align import Aligner
from udfs.reasons import Rejected

_SECRET_NAME = re.compile(r"PASS|SECRET|TOKEN|KEY|CREDENTIAL|JAAS", re.IGNORECASE)
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


class InvalidDeployment(ValueError):  # noqa: N818
    """Each line names the key, the value and what is allowed."""


Model = TypeVar("Model", bound=BaseModel)


def load_model(path: Path, model: type[Model], environment: Mapping[str, str], known_keys: str) -> Model:
    """Read, interpolate and validate a YAML file of any kind.

    Parameters
    ----------
    known_keys : where a person finds which keys there are.

    Raises
    ------
    InvalidDeployment : unreadable file, YAML error, unset variable, unknown key or value out of its range.
    """
    return validate_document(path, read_yaml(path), model, environment, known_keys)


def read_yaml(path: Path) -> Any:
    """A file as YAML.

    Raises
    ------
    InvalidDeployment : it cannot be read, or is no YAML.
    """
    try:
        return yaml.safe_load(path.read_text())
    except OSError as error:
        raise InvalidDeployment(f"{path}: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise InvalidDeployment(f"{path}: not YAML: {error}") from None


def validate_document(
    path: Path, document: Any, model: type[Model], environment: Mapping[str, str], known_keys: str
) -> Model:
    """The second half of `load_model`, for a document that is more than its file; it raises as that does."""
    if not isinstance(document, dict):
        raise InvalidDeployment(f"{path}: a mapping of keys is expected at the top level")
    try:
        return model.model_validate(_interpolate(document, environment, path))
    except ValidationError as error:
        lines = [_line(path, e, document, known_keys) for e in error.errors(include_url=False)]
        raise InvalidDeployment("\n".join(lines)) from None


def load_deployment(path: Path, environment: Mapping[str, str] = os.environ) -> Deployment:
    """Read a deployment file, and build from it what the workers will build.

    Raises
    ------
    InvalidDeployment : as `load_model`, or the workers could not use it.
    """
    deployment = load_model(path, Deployment, environment, "`meridian config schema`")
    try:
        Aligner(deployment.rules(path.parent), deployment.topics.raw.name)
    except OSError as error:
        raise InvalidDeployment(f"{path}: schemas: {error.filename}: {error.strerror}") from None
    except (ValueError, Rejected) as error:
        raise InvalidDeployment(f"{path}: {error}") from None
    return deployment


def variables(path: Path) -> dict[str, bool]:
    """The environment variables that a valid deployment file mentions, and whether each stands for a secret.

    A secret is what has a name like one, and all that goes into `kafka.properties`.
    """
    document = yaml.safe_load(path.read_text())
    secret = _mentioned(document.get("kafka", {}).get("properties"))
    return {name: name in secret or bool(_SECRET_NAME.search(name)) for name in sorted(_mentioned(document))}


def _mentioned(value: Any) -> set[str]:
    if isinstance(value, dict | list):
        parts = value.values() if isinstance(value, dict) else value
        return set().union(*map(_mentioned, parts))
    return {match[1] for match in _VARIABLE.finditer(value)} if isinstance(value, str) else set()


def _line(path: Path, error: Any, document: Any, known_keys: str) -> str:
    key = ".".join(str(part) for part in error["loc"]) or "(top level)"
    given = _as_written(document, error["loc"], error.get("input"))
    shown = "" if isinstance(given, dict | list) or error["type"] == "missing" else f" = {given!r}"
    if error["type"] == "extra_forbidden":
        return f"{path}: {key}{shown}: unknown key; {known_keys} lists the known ones"
    return f"{path}: {key}{shown}: {error['msg'].removeprefix('Value error, ')}"


def _as_written(document: Any, location: tuple[int | str, ...], default: Any) -> Any:
    """The value before interpolation: an error message must not show a secret."""
    for part in location:
        try:
            document = document[part]
        except (KeyError, IndexError, TypeError):
            return default
    return document


def _interpolate(value: Any, environment: Mapping[str, str], path: Path) -> Any:
    if isinstance(value, dict):
        return {k: _interpolate(v, environment, path) for k, v in value.items()}
    if isinstance(value, list):
        return [_interpolate(v, environment, path) for v in value]
    if not isinstance(value, str):
        return value

    def replace(match: re.Match[str]) -> str:
        name, default = match.groups()
        found = environment.get(name, default)
        if found is None:
            raise InvalidDeployment(f"{path}: ${{{name}}} is not set in the environment")
        return found

    return _VARIABLE.sub(replace, value)
