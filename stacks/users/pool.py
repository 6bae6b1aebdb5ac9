"""The user pool: who may sign in, and how."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_cognito as cognito
from constructs import Construct

from stacks.common.nag_suppressions import suppress
from stacks.config.settings import Settings

PASSWORD_CHARACTERS = 12
INVITATION_DAYS = 7
"""Days for which the first password in the invitation works."""

_REASONS = {
    "AwsSolutions-COG2": "sign_in_mfa=on requires a second factor of everybody; it is off by default, since what can "
    "be lost is a quota of images a day",
    "AwsSolutions-COG3": "Threat protection needs the plan Plus, which costs more for each user and month",
    "AwsSolutions-COG8": "Threat protection needs the plan Plus, which costs more for each user and month",
}


class Pool(cognito.UserPool):
    """Only an operator can add people. They sign in by their name or e-mail address and a password."""

    def __init__(self, scope: Construct, id: str, *, settings: Settings) -> None:
        mfa = settings.sign_in_mfa == "on"
        super().__init__(
            scope,
            id,
            user_pool_name=f"{cdk.Stack.of(scope).stack_name}-pool",  # `easel leftovers` finds it by this
            feature_plan=cognito.FeaturePlan.ESSENTIALS,
            self_sign_up_enabled=False,
            sign_in_aliases=cognito.SignInAliases(username=True, email=True),
            sign_in_case_sensitive=False,
            auto_verify=cognito.AutoVerifiedAttrs(email=True),
            account_recovery=cognito.AccountRecovery.EMAIL_ONLY,
            mfa=cognito.Mfa.REQUIRED if mfa else cognito.Mfa.OFF,
            mfa_second_factor=cognito.MfaSecondFactor(otp=True, sms=False) if mfa else None,
            password_policy=cognito.PasswordPolicy(
                min_length=PASSWORD_CHARACTERS,
                require_lowercase=True,
                require_uppercase=True,
                require_digits=True,
                require_symbols=True,
                temp_password_validity=cdk.Duration.days(INVITATION_DAYS),
            ),
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        satisfied = {"AwsSolutions-COG2": mfa}
        suppress(self, {rule: reason for rule, reason in _REASONS.items() if not satisfied.get(rule)})
