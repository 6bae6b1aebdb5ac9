"""The outputs of the stacks: name and meaning, which CloudFormation, `easel outputs` and the docs show."""

from __future__ import annotations

from aws_cdk import CfnOutput, Stack
from constructs import Construct

OUTPUTS = {
    "SiteUrl": "The page, and the API under the same root",
    "ApiUrl": "Base URL of the API, without the page",
    "ApiKeyCommand": "Command of AWS's command line that prints the API key; `easel outputs --export` prints it too",
    "Model": "Id of the model that runs; of several the first is the default",
    "EndpointName": "Name of the SageMaker endpoint of the first model",
    "Endpoints": "With several models: id of each and name of its endpoint",
    "PriceWarm": "USD per hour while the minimum of instances, or one, runs",
    "PriceIdle": "USD per hour when nobody has called for a while",
    "BucketName": "Bucket of jobs, images and releases",
    "DashboardName": "CloudWatch dashboard",
    "NextUpdate": "Quota that the next change of model or code needs",
    "Budget": "With a budget: what a month may cost before an alert is sent",
    "BudgetStopDoes": "With budget_action=stop: when the endpoint is stopped because the budget is used up",
    "AlertsGoTo": "Who receives alerts, or the command that adds an address",
    "IdleGuardDoes": "Mode realtime: when the endpoint is deleted because nobody calls it",
    "ShellCommand": "With shell=on: command that opens a shell in the container",
    "FirewallCosts": "With waf=on: what the firewall costs a month",
    "DomainUrl": "With domain_name and no site: base URL of the API",
    "DomainRecord": "With domain_name and no hosted_zone_id: the DNS record to create",
    "InviteCommand": "With sign_in=cognito: command that invites a person, who gets the first password by e-mail",
    "SignInRedirect": "With sign_in_issuer: redirect URI to register at the provider",
    "NotebookName": "With notebook=on: name of the notebook instance",
    "NotebookUrlCommand": "With notebook=on: command that prints a link into the notebook",
    "NotebookPrice": "With notebook=on: USD per hour while it runs",
    "NotebookPriceStopped": "With notebook=on: USD per month while it is stopped",
    "NotebookIdleStop": "With notebook=on: when it stops by itself",
}


def output(scope: Construct, name: str, value: str) -> None:
    """Add the output `name` to the stack of `scope`. Raises KeyError: the output is not in `OUTPUTS`."""
    CfnOutput(Stack.of(scope), name, value=value, description=OUTPUTS[name])
