"""Handlers of CloudFormation resource types in MiniStack's engine, and how they call an emulated service."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from botocore.model import Shape
from ministack.services.cloudformation import provisioners

from ..aws_api.service import Parameters, Service

Created = tuple[str, Parameters]
"""Physical id, attributes for Fn::GetAtt."""
Create = Callable[[str, Parameters, str], Created]
"""Logical id, properties, stack."""
Delete = Callable[[str, Parameters], None]
"""Physical id, properties."""
Update = Callable[[str, Parameters, Parameters, str, str], Created]
"""Physical id, old and new properties, stack, logical id."""


@dataclass(frozen=True)
class Handler:
    create: Create
    update: Update
    delete: Delete


def replacing(create: Create, delete: Delete) -> Handler:
    """Return the handler of a type that is replaced when anything but its tags changes."""

    def update(physical_id: str, old: Parameters, new: Parameters, stack: str, logical_id: str) -> Created:
        if without_tags(old) == without_tags(new):
            return physical_id, {}
        created: Created = provisioners._seeded_create(create, logical_id, new, stack)
        if created[0] != physical_id:
            provisioners._delete_predecessor(delete, physical_id, old)
        return created

    return Handler(create, update, delete)


def without_tags(properties: Parameters) -> Parameters:
    return {key: value for key, value in properties.items() if key not in ("Tags", "ResourceTags")}


def updating_in_place(put: Create, delete: Delete) -> Handler:
    """Return the handler of a type whose update is another `put`."""

    def update(_: str, __: Parameters, new: Parameters, stack: str, logical_id: str) -> Created:
        return put(logical_id, new, stack)

    return Handler(put, update, delete)


def call(service: Service, operation: str, **parameters: Any) -> Parameters:
    """Call an operation with a template's properties. Raises ServiceError."""
    shape = service.operation(operation).input_shape
    return service.call(operation, convert(shape, parameters))


def convert(shape: Shape, value: Any) -> Any:
    """Convert strings to the types of the API: CloudFormation may send numbers and booleans as strings."""
    match shape.type_name:
        case "structure":
            return {name: convert(shape.members[name], inner) if name in shape.members else inner
                    for name, inner in value.items()}  # fmt: skip
        case "list":
            return [convert(shape.member, inner) for inner in value]
        case "map":
            text = shape.value.type_name == "string"
            return {key: str(inner) if text else convert(shape.value, inner) for key, inner in value.items()}
        case "integer" | "long":
            return int(value)
        case "float" | "double":
            return float(value)
        case "boolean":
            return str(value).lower() == "true"
    return value
