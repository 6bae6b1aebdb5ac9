"""The endpoints of a service: one for each of its models."""

from __future__ import annotations

from collections.abc import Mapping

from contract import EaselError
from jobs.ports import Endpoint, EndpointState, Progress, Submission, Ticket


class Endpoints:
    """Endpoints by model id; the first is the default."""

    def __init__(self, by_model: Mapping[str, Endpoint]) -> None:
        self._by_model = dict(by_model)
        self.default_model = next(iter(self._by_model))

    @property
    def default(self) -> Endpoint:
        """The first endpoint, whose abilities all have."""
        return self._by_model[self.default_model]

    def has(self, model: str) -> bool:
        """Return whether the model is deployed. Jobs that older versions recorded have no model: the default runs
        them."""
        return not model or model in self._by_model

    def of(self, model: str) -> Endpoint:
        """Return the endpoint of a job's model, also of one that is no longer deployed."""
        return self._by_model.get(model or self.default_model) or _RemovedEndpoint(model)


class _RemovedEndpoint:
    """Implements `jobs.ports.Endpoint` for a model that is no longer deployed."""

    reports_start = True  # it may have had a start
    has_previews = stops_jobs = False

    def __init__(self, model: str) -> None:
        self._model = model

    def submit(self, ticket: Ticket) -> Submission:
        raise removed(self._model)

    def progress(self, ticket: Ticket) -> Progress | None:
        return None

    def stop(self, ticket: Ticket) -> None:
        """Do nothing: nothing runs."""

    def state(self) -> EndpointState:
        return EndpointState("broken", f"The model {self._model} is no longer deployed.")


def removed(model: str) -> EaselError:
    """Return why a job of this model cannot run."""
    message = f"the model {model[:80]} is no longer deployed"
    return EaselError("endpoint_missing", message, hint="GET /models lists those that are; send the request again.")
