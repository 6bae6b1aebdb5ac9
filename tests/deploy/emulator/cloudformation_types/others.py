"""CloudFormation types of EC2, WAF, IAM and Budgets that MiniStack 1.5.33 lacks."""

from collections.abc import Callable
from typing import Any

from ..aws_api.service import ACCOUNT, Parameters, Service
from .handler import Created, call


class SecurityGroupIngress:
    """AWS::EC2::SecurityGroupIngress from one IPv4 range, the only kind in Easel's stacks."""

    def __init__(self, client: Callable[[str], Any]) -> None:
        self.client = client

    def create(self, _: str, properties: Parameters, __: str) -> Created:
        source = {"CidrIp": properties["CidrIp"], "Description": properties.get("Description", "")}
        ports = {name: int(properties[name]) for name in ("FromPort", "ToPort")}
        permission = {"IpProtocol": properties["IpProtocol"], "IpRanges": [source], **ports}
        response = self.client("ec2").authorize_security_group_ingress(
            GroupId=properties["GroupId"], IpPermissions=[permission]
        )
        rule = response["SecurityGroupRules"][0]["SecurityGroupRuleId"]
        return rule, {"Id": rule}

    def delete(self, rule: str, properties: Parameters) -> None:
        self.client("ec2").revoke_security_group_ingress(GroupId=properties["GroupId"], SecurityGroupRuleIds=[rule])


class WebAclAssociations:
    """AWS::WAFv2::WebACLAssociation: a web ACL for a stage of the API."""

    def __init__(self, client: Callable[[str], Any]) -> None:
        self.client = client

    def create(self, _: str, properties: Parameters, __: str) -> Created:
        arn, acl = properties["ResourceArn"], properties["WebACLArn"]
        self.client("wafv2").associate_web_acl(ResourceArn=arn, WebACLArn=acl)
        return f"{arn}|{acl}", {}

    def delete(self, _: str, properties: Parameters) -> None:
        self.client("wafv2").disassociate_web_acl(ResourceArn=properties["ResourceArn"])


class OpenIdProviders:
    """AWS::IAM::OIDCProvider."""

    def __init__(self, client: Callable[[str], Any]) -> None:
        self.client = client

    def create(self, _: str, properties: Parameters, __: str) -> Created:
        request = {"Url": properties["Url"], "ClientIDList": properties["ClientIdList"]}
        arn = self.client("iam").create_open_id_connect_provider(**request)["OpenIDConnectProviderArn"]
        return arn, {"Arn": arn}

    def delete(self, arn: str, _: Parameters) -> None:
        self.client("iam").delete_open_id_connect_provider(OpenIDConnectProviderArn=arn)


class Budgets:
    """AWS::Budgets::Budget."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def create(self, _: str, properties: Parameters, stack: str) -> Created:
        name = properties["Budget"]["BudgetName"]
        limit = {key: str(value) for key, value in properties["Budget"]["BudgetLimit"].items()}
        budget = {**properties["Budget"], "BudgetName": name, "BudgetLimit": limit}
        notifications = {"NotificationsWithSubscribers": properties.get("NotificationsWithSubscribers", [])}
        call(self.service, "CreateBudget", AccountId=ACCOUNT, Budget=budget, **notifications)
        return name, {"Id": name}

    def delete(self, name: str, _: Parameters) -> None:
        call(self.service, "DeleteBudget", AccountId=ACCOUNT, BudgetName=name)
