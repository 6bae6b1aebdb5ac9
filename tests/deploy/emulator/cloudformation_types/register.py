"""Registration of the CloudFormation types that MiniStack 1.5.33 lacks, as handlers of its own engine."""

from collections.abc import Callable, Mapping
from typing import Any

from ministack.services import tagging
from ministack.services.cloudformation import provisioners, stacks

from ..aws_api.service import Service
from ..sagemaker.control_plane import SageMaker
from ..sagemaker.notebooks import Notebooks
from ..services import cognito, kms, sqs_events
from .buckets import Buckets
from .execution_role import keep_boundary
from .handler import Handler, replacing, updating_in_place
from .others import Budgets, OpenIdProviders, SecurityGroupIngress, WebAclAssociations
from .sagemaker import Endpoints, NotebookInstances, Scaling, named


def register(
    services: Mapping[str, Service], control: SageMaker, notebooks: Notebooks, client: Callable[[str], Any]
) -> None:
    """Add the types to MiniStack. `client` returns a client of the emulated account's root user."""
    handlers = _handlers(services, control, notebooks, client)
    known = provisioners._RESOURCE_HANDLERS
    for name, handler in handlers.items():
        assert name not in known, f"MiniStack now has {name}: remove it from the emulator"
        known[name] = {**vars(handler), "update_with_logical_id": True}
    buckets = Buckets(dict(known["AWS::S3::Bucket"]), client)
    known["AWS::S3::Bucket"].update(create=buckets.create, update=buckets.update, delete=buckets.delete)
    wrappers: dict[str, Callable[[Any], Any]] = {
        "AWS::Logs::LogGroup": kms.check_log_group, "AWS::SNS::Topic": kms.keep_topic_key,
        "AWS::Lambda::EventSourceMapping": sqs_events.check_queue,
    }  # fmt: skip
    for name, wrap in wrappers.items():
        known[name]["create"] = wrap(known[name]["create"])
    for name, new in {"create": 1, "update": 2}.items():
        known["AWS::IAM::Role"][name] = keep_boundary(known["AWS::IAM::Role"][name], new)
    tables = (control.models, control.configs, control.endpoint_records, notebooks.instances)
    tagging._COLLECTORS["sagemaker"] = lambda: (tags for table in tables for tags in table.tags_by_arn())
    _run_on_worker_threads({*handlers, "AWS::S3::Bucket"})


def _handlers(
    services: Mapping[str, Service], control: SageMaker, notebooks: Notebooks, client: Callable[[str], Any]
) -> dict[str, Handler]:
    sagemaker, budgets = services["sagemaker"], Budgets(services["budgets"])
    endpoints, scaling = Endpoints(sagemaker, control), Scaling(services["application-autoscaling"])
    ingress, associations = SecurityGroupIngress(client), WebAclAssociations(client)
    providers, brandings = OpenIdProviders(client), cognito.Brandings(client)
    instances = NotebookInstances(sagemaker, notebooks.instances)
    return {
        "AWS::SageMaker::Model": named(sagemaker, control.models),
        "AWS::SageMaker::EndpointConfig": named(sagemaker, control.configs),
        "AWS::SageMaker::Endpoint": Handler(endpoints.create, endpoints.update, endpoints.delete),
        "AWS::SageMaker::NotebookInstance": Handler(instances.create, instances.update, instances.delete),
        "AWS::SageMaker::NotebookInstanceLifecycleConfig": named(sagemaker, notebooks.configs),
        "AWS::ApplicationAutoScaling::ScalableTarget": updating_in_place(scaling.put_target, scaling.delete_target),
        "AWS::ApplicationAutoScaling::ScalingPolicy": updating_in_place(scaling.put_policy, scaling.delete_policy),
        "AWS::Budgets::Budget": replacing(budgets.create, budgets.delete),
        "AWS::Cognito::ManagedLoginBranding": replacing(brandings.create, brandings.delete),
        "AWS::EC2::SecurityGroupIngress": replacing(ingress.create, ingress.delete),
        "AWS::IAM::OIDCProvider": replacing(providers.create, providers.delete),
        "AWS::WAFv2::WebACLAssociation": replacing(associations.create, associations.delete),
    }


def _run_on_worker_threads(types: set[str]) -> None:
    """Run the handlers of `types` outside MiniStack's event loop: they call MiniStack themselves."""
    default = stacks._runs_on_worker_thread
    stacks._runs_on_worker_thread = lambda name: name in types or default(name)
