"""One AWS service of ours: botocore's own model of it decides what a request and an answer may be."""

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
    """An error that crosses the wire: its code, its message, and the further members of its shape."""

    def __init__(self, code: str, message: str, **members: Any) -> None:
        super().__init__(message)
        self.code, self.message, self.members = code, message, members


@functools.cache
def _model(name: str) -> ServiceModel:
    model: ServiceModel = botocore.session.get_session().get_service_model(name)
    return model


class Service:
    """The operations that one of `backends` has a method for; every other one is an error, never a quiet 200."""

    def __init__(self, name: str, *backends: object) -> None:
        self.model, self.name, self.backends = _model(name), name, backends

    def operation(self, name: str) -> OperationModel:
        if name not in self.model.operation_names or not self._doing(name):
            raise ServiceError("UnknownOperationException", f"{self.name}:{name} is not in the stand-in")
        return self.model.operation_model(name)

    def call(self, name: str, parameters: Parameters) -> Parameters:
        model = self.operation(name)
        if problems := faults(model.input_shape, parameters):
            raise ServiceError("ValidationException", f"{len(problems)} validation error: {'; '.join(problems)}")
        answer: Parameters = self._doing(name)[0](parameters) or {}
        if problems := faults(model.output_shape, answer):
            raise AssertionError(f"{name} answered what {self.name} cannot: {problems}")
        return answer

    def _doing(self, name: str) -> list[Callable[[Parameters], Parameters | None]]:
        method = xform_name(name)
        return [getattr(one, method) for one in self.backends if hasattr(one, method)]


def faults(shape: Shape | None, value: Parameters) -> list[str]:
    """What botocore checks itself, then what it knows and does not check: enums, maxima, patterns."""
    if shape is None:
        return [f"unexpected {value}"] if value else []
    report = ParamValidator().validate(value, shape)
    return [report.generate_report()] if report.has_errors() else list(_unmet(shape, value, ""))


def _unmet(shape: Shape, value: Any, at: str) -> Iterator[str]:
    if isinstance(shape, StructureShape):
        for name, inner in value.items():
            yield from _unmet(shape.members[name], inner, f"{at}.{name}")
    elif isinstance(shape, ListShape):
        for index, inner in enumerate(value):
            yield from _unmet(shape.member, inner, f"{at}.{index + 1}")
    elif isinstance(shape, MapShape):
        for key, inner in value.items():
            yield from _unmet(shape.key, key, at)
            yield from _unmet(shape.value, inner, f"{at}.{key}")
    elif constraint := _broken_constraint(shape.metadata, value):
        shown = "" if shape.metadata.get("sensitive") else f" '{value}'"
        yield f"Value{shown} at '{at[1:]}' failed to satisfy constraint: {constraint}"


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


def _python(pattern: str) -> str:
    for java, python in JAVA_TO_PYTHON.items():
        pattern = pattern.replace(java, python)
    return pattern
