"""Emulated AWS service: botocore's model of the service validates each request and response."""

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import botocore.session
from botocore import xform_name
from botocore.model import ListShape, MapShape, OperationModel, ServiceModel, Shape, StructureShape
from botocore.validate import ParamValidator

REGION = "us-east-1"
ACCOUNT = "123456789012"

Parameters = dict[str, Any]


class ServiceError(Exception):
    """AWS error response: its code, its message and the other members of its shape."""

    def __init__(self, code: str, message: str, **members: Any) -> None:
        super().__init__(message)
        self.code, self.message, self.members = code, message, members


@functools.cache
def _model(name: str) -> ServiceModel:
    model: ServiceModel = botocore.session.get_session().get_service_model(name)
    return model


class Service:
    """The operations for which a backend has a method. Every other operation is an error, never a silent 200."""

    def __init__(self, name: str, *backends: object) -> None:
        self.model, self.name, self.backends = _model(name), name, backends

    def operation(self, name: str) -> OperationModel:
        """Return the model of an operation. Raises ServiceError if it is not emulated."""
        if name not in self.model.operation_names or not self._methods(name):
            raise ServiceError("UnknownOperationException", f"{self.name}:{name} is not emulated")
        return self.model.operation_model(name)

    def call(self, name: str, parameters: Parameters) -> Parameters:
        """Validate the parameters, run the operation and validate its output. Raises ServiceError."""
        model = self.operation(name)
        if errors := validation_errors(model.input_shape, parameters):
            raise ServiceError("ValidationException", f"{len(errors)} validation error: {'; '.join(errors)}")
        output: Parameters = self._methods(name)[0](parameters) or {}
        if errors := validation_errors(model.output_shape, output):
            raise AssertionError(f"{name} returned what {self.name} cannot: {errors}")
        return output

    def _methods(self, name: str) -> list[Callable[[Parameters], Parameters | None]]:
        method = xform_name(name)
        return [getattr(backend, method) for backend in self.backends if hasattr(backend, method)]


def validation_errors(shape: Shape | None, value: Parameters) -> list[str]:
    """Return what botocore reports, then what it does not check: enums, maxima and patterns."""
    if shape is None:
        return [f"unexpected {value}"] if value else []
    report = ParamValidator().validate(value, shape)
    return [report.generate_report()] if report.has_errors() else list(_broken_constraints(shape, value, ""))


def _broken_constraints(shape: Shape, value: Any, path: str) -> Iterator[str]:
    if isinstance(shape, StructureShape):
        for name, inner in value.items():
            yield from _broken_constraints(shape.members[name], inner, f"{path}.{name}")
    elif isinstance(shape, ListShape):
        for index, inner in enumerate(value):
            yield from _broken_constraints(shape.member, inner, f"{path}.{index + 1}")
    elif isinstance(shape, MapShape):
        for key, inner in value.items():
            yield from _broken_constraints(shape.key, key, path)
            yield from _broken_constraints(shape.value, inner, f"{path}.{key}")
    elif constraint := _broken_constraint(shape.metadata, value):
        shown = "" if shape.metadata.get("sensitive") else f" '{value}'"
        yield f"Value{shown} at '{path[1:]}' failed to satisfy constraint: {constraint}"


def _broken_constraint(limits: Mapping[str, Any], value: Any) -> str:
    if "enum" in limits and value not in limits["enum"]:
        return f"Member must satisfy enum value set: {limits['enum']}"
    size = len(value) if isinstance(value, str | bytes) else value
    if "max" in limits and size > limits["max"]:
        return f"Member must have value or length less than or equal to {limits['max']}"
    if "pattern" in limits and isinstance(value, str) and not re.fullmatch(_python(limits["pattern"]), value):
        return f"Member must satisfy regular expression pattern: {limits['pattern']}"
    return ""


JAVA_TO_PYTHON = {
    r"\p{ASCII}": r"[\x00-\x7f]", r"[\p{Print}]": r"[\x20-\x7e]", r"\p{Print}": r"[\x20-\x7e]", r"\z": r"\Z",
    "(?i)": "", r"\p{L}\p{Z}\p{N}": r"\w\s", r"\uD800\uDC00-\uDBFF\uDFFF": "\\U00010000-\\U0010FFFF",
}  # fmt: skip
"""Parts of regular expressions that Python writes in another way."""


def _python(pattern: str) -> str:
    for java, python in JAVA_TO_PYTHON.items():
        pattern = pattern.replace(java, python)
    return pattern
