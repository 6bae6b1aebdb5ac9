"""Named records of one SageMaker resource type."""

import time
from collections.abc import Iterator

from ..aws_api.service import ACCOUNT, REGION, Parameters, ServiceError


class RecordTable:
    """Records by name, with SageMaker's error messages for a missing and a duplicate name.

    `prefix` is the type's name in the API ("EndpointConfig"), `path` its part of an ARN, `noun` its name in messages.
    """

    def __init__(self, prefix: str, path: str, noun: str) -> None:
        self.prefix, self.path, self.noun = prefix, path, noun
        self.records: dict[str, Parameters] = {}

    def arn(self, name: str) -> str:
        return f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:{self.path}/{name.lower()}"

    def name_of(self, arn: str) -> str:
        """Return the name to an ARN. ARNs are in lower case, names are not."""
        return next((name for name in self.records if self.arn(name) == arn), arn.rsplit("/", 1)[-1])

    def create(self, parameters: Parameters) -> Parameters:
        name = parameters[f"{self.prefix}Name"]
        if name in self.records:
            raise ServiceError("ValidationException", f'Cannot create already existing {self.noun} "{self.arn(name)}".')
        arn = {f"{self.prefix}Arn": self.arn(name)}
        self.records[name] = {**parameters, **arn, "CreationTime": time.time()}
        return arn

    def find(self, name: str) -> Parameters:
        if name not in self.records:
            raise ServiceError("ValidationException", f'Could not find {self.noun} "{self.arn(name)}".')
        return self.records[name]

    def describe(self, parameters: Parameters) -> Parameters:
        return {key: value for key, value in self.find(parameters[f"{self.prefix}Name"]).items() if key != "Tags"}

    def delete(self, parameters: Parameters) -> None:
        self.find(parameters[f"{self.prefix}Name"])
        del self.records[parameters[f"{self.prefix}Name"]]

    def tags_by_arn(self) -> Iterator[tuple[str, list[dict[str, str]]]]:
        """Yield ARNs and tags, for the tagging API."""
        return ((record[f"{self.prefix}Arn"], record.get("Tags", [])) for record in list(self.records.values()))

    def matching(self, parameters: Parameters) -> list[Parameters]:
        """Return the records that a list operation asks for. Raises ServiceError: by something else than the name."""
        if unknown := sorted(parameters.keys() - {"NameContains"}):
            raise ServiceError("ValidationException", f"{unknown} is not emulated")
        part = parameters.get("NameContains", "").lower()
        return [record for name, record in list(self.records.items()) if part in name.lower()]

    def summaries(self, parameters: Parameters) -> Parameters:
        keys = (f"{self.prefix}Name", f"{self.prefix}Arn", "CreationTime")
        return {f"{self.prefix}s": [{key: record[key] for key in keys} for record in self.matching(parameters)]}
