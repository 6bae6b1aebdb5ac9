"""The user's own domain: at the site, or at the gateway where there is no site."""

from __future__ import annotations

import json

from tests.stacks.assembly import Assembly

RECORD, DOMAIN = "AWS::Route53::RecordSet", "AWS::ApiGateway::DomainName"


def test_the_site_uses_it_with_tls_1_2_and_the_gateway_does_not(own: Assembly) -> None:
    config = own.only("AWS::CloudFront::Distribution")["DistributionConfig"]
    assert config["Aliases"] == ["draw.example.com"]
    assert config["ViewerCertificate"]["MinimumProtocolVersion"] == "TLSv1.2_2021"
    assert config["ViewerCertificate"]["SslSupportMethod"] == "sni-only"
    assert own.outputs("EaselSite")["SiteUrl"] == "https://draw.example.com/"
    assert own.resources(DOMAIN) == {}


def test_the_hosted_zone_gets_records_for_ipv4_and_ipv6(own: Assembly) -> None:
    records = [record["Properties"] for record in own.resources(RECORD, "EaselSite").values()]
    (distribution,) = own.resources("AWS::CloudFront::Distribution")
    assert {record["Type"] for record in records} == {"A", "AAAA"}
    for record in records:
        assert record["AliasTarget"] == {
            "DNSName": {"Fn::GetAtt": [distribution, "DomainName"]},
            "HostedZoneId": "Z2FDTNDATAQYW2",
        }


def test_without_a_site_the_gateway_uses_it_without_a_stage_in_the_path(gov: Assembly) -> None:
    (id,) = gov.resources(DOMAIN)
    domain = gov.only(DOMAIN)
    assert (domain["DomainName"], domain["SecurityPolicy"]) == ("draw.example.com", "TLS_1_2")
    assert domain["EndpointConfiguration"] == {"Types": ["REGIONAL"]}
    mapping, (stage,) = gov.only("AWS::ApiGateway::BasePathMapping"), gov.resources("AWS::ApiGateway::Stage")
    assert (mapping["DomainName"], mapping["Stage"]) == ({"Ref": id}, {"Ref": stage})
    assert "BasePath" not in mapping
    outputs = gov.outputs("EaselApi")
    assert outputs["DomainUrl"] == "https://draw.example.com/"
    text, target = outputs["DomainRecord"]["Fn::Join"][1]
    assert text.endswith(" draw.example.com CNAME ")
    assert target == {"Fn::GetAtt": [id, "RegionalDomainName"]}
    assert gov.resources(RECORD) == {}


def test_the_hosted_zone_gets_a_record_for_the_gateway(china: Assembly) -> None:
    (id,) = china.resources(DOMAIN)
    record = china.only(RECORD, "EaselApi")
    assert (record["Type"], record["Name"]) == ("A", "draw.example.cn")
    assert record["AliasTarget"] == {
        "DNSName": {"Fn::GetAtt": [id, "RegionalDomainName"]},
        "HostedZoneId": {"Fn::GetAtt": [id, "RegionalHostedZoneId"]},
    }
    assert "CNAME" not in json.dumps(china.outputs("EaselApi"))


def test_there_is_none_by_default(default: Assembly) -> None:
    assert default.resources(RECORD) == default.resources(DOMAIN) == {}
    assert "Aliases" not in default.only("AWS::CloudFront::Distribution")["DistributionConfig"]
    assert not {"DomainUrl", "DomainRecord"} & {*default.outputs("EaselApi"), *default.outputs("EaselSite")}
