"""Begin a run or go on with the unfinished run of a folder."""

from __future__ import annotations

import fcntl
import secrets
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from string import ascii_lowercase

import typer

from easel import ROOT
from easel.cloud.account import Account, aws_errors, open_account
from easel.cloud.doctor.plan import Plan, read_plan
from easel.cloud.doctor.quotas import find_quota
from easel.cloud.prove import state as states
from easel.cloud.prove.cost import LIMITS_USD, price_of
from easel.cloud.prove.releases import OWN_SETTINGS
from easel.cloud.prove.run import Run
from easel.cloud.prove.runner import Runner
from easel.cloud.prove.state import State
from easel.cloud.prove.steps import STEPS
from easel.console.errors import ENVIRONMENT, USAGE, CommandError
from easel.console.interrupts import interruptible
from easel.console.terminal import Terminal
from stacks.config.names import Names

EMBEDDED_MODEL = "emoji"
NEEDED_INSTANCES = 2
"""The quota that an update needs: the new release starts beside the running one."""
DEFAULT_USD = 5.0


def prove(context: Sequence[str], region: str | None, usd: float | None, folder: Path, clean_up: bool) -> int:
    """Run what is left to do and return the exit code. Raises CommandError."""
    with _lock(folder) as lock, interruptible(""):
        state = states.load(folder)
        if state is None:
            if clean_up:
                print(f"Nothing to clean up: {folder} has no unfinished run.")
                return 0
            account, state = _begin(context, region, usd)
        else:
            account = _reopen(state, context, region)
            state.limit_usd = usd or state.limit_usd
            done = sum(state.done(step.code) for step in STEPS)
            print(f"Going on with {state.name} in {state.region}: {done} of {len(STEPS)} steps are done.", flush=True)
        run = Run(state, folder, account, lock=lock)
        run.save()
        runner = Runner(run)
        if clean_up:
            runner.clean_up()
            return 0
        return runner.prove()


def _begin(context: Sequence[str], region: str | None, usd: float | None) -> tuple[Account, State]:
    """Return the account and the state of a new run, after the user has agreed to its cost."""
    _check_settings(context)
    suffix = "".join(secrets.choice(ascii_lowercase) for _ in range(4))
    account = open_account(region, Names(f"easel-prove-{suffix}"))
    number = _number(account)
    chosen = _choose_model(account, context)
    plan = read_plan([*chosen, f"name={account.names.name}"], ROOT)
    ids = _ids(plan)
    price = sum(max(map(price_of, each.settings.pool)) for each in plan.each)
    limit = _agree(account, number, plan, price, usd)
    return account, State(
        name=account.names.name, region=account.region, account=_digest(number), context=chosen, limit_usd=limit,
        usd_per_hour=price, model=",".join(ids), instance_type=_types(plan),
    )  # fmt: skip


def _ids(plan: Plan) -> list[str]:
    """Return the ids of the models. Raises CommandError: one cannot be deployed."""
    for each in plan.each:
        if each.model is None:
            fix = "easel models lists the models"
            raise CommandError(
                "The model cannot be deployed", where="-c model", why=each.model_error, fix=fix, code=USAGE
            )
    return [each.model.id for each in plan.each if each.model]


def _types(plan: Plan) -> str:
    return ", ".join(dict.fromkeys(each.instance_type for each in plan.each))


def _check_settings(context: Sequence[str]) -> None:
    if own := sorted({pair.partition("=")[0] for pair in context} & OWN_SETTINGS):
        why = f"the run sets {', '.join(sorted(OWN_SETTINGS))} itself"
        fix = "Leave it out; other settings are allowed."
        raise CommandError(f"{own[0]} cannot be set", where=f"-c {own[0]}", why=why, fix=fix, code=USAGE)


def _choose_model(account: Account, context: Sequence[str]) -> list[str]:
    """Return the settings with the embedded model, if none is set and the default's instances have no quota."""
    if any(pair.startswith("model=") for pair in context):
        return list(context)
    instance_type = read_plan(context, ROOT).instance_type
    quota = find_quota(account, "sagemaker", f"{instance_type} for endpoint usage")
    if quota and quota.value >= NEEDED_INSTANCES:
        return list(context)
    Terminal().print(
        f"The quota for {instance_type} is less than {NEEDED_INSTANCES}, so the embedded model runs on a CPU instance. "
        "To request more: easel doctor --request -c update=blue_green"
    )
    return [*context, f"model={EMBEDDED_MODEL}"]


def _agree(account: Account, number: str, plan: Plan, price: float, usd: float | None) -> float:
    """Return the limit, asked for on a terminal unless it is set. Raises CommandError: too low, or nobody to ask."""
    minutes = sum(step.minutes for step in STEPS)
    estimate = sum(step.minutes * step.instances for step in STEPS) / 60 * price
    print(
        f"easel prove deploys {plan.settings.model} as {account.names.name} into account {number[:4]}…{number[-4:]}, "
        f"{account.region}, on {_types(plan)} at {price:.4g} USD an hour. It usually takes "
        f"{minutes / 60:.1f} hours and costs about {estimate:.2f} USD. At the end, at a failure, at the limit and at "
        "Ctrl-C it removes everything.",
        flush=True,
    )
    if usd is None:
        if not sys.stdin.isatty():
            fix = f"easel prove --usd {max(DEFAULT_USD, 2 * estimate):.0f}"
            why = "no limit is set, and there is no terminal to ask on"
            raise CommandError("The cost is not agreed to", where="--usd", why=why, fix=fix, code=USAGE)
        usd = typer.prompt("Limit in USD (Ctrl-C: deploy nothing)", default=DEFAULT_USD, type=float)
    if not max(LIMITS_USD[0], estimate) <= usd <= LIMITS_USD[1]:
        why = f"the run costs about {estimate:.2f} USD, and the limit may be at most {LIMITS_USD[1]:.0f}"
        fix = f"easel prove --usd {max(DEFAULT_USD, 2 * estimate):.0f}, or -c model={EMBEDDED_MODEL}, which is cheaper"
        raise CommandError("The limit cannot be used", where=f"--usd {usd:g}", why=why, fix=fix, code=USAGE)
    return usd


def _reopen(state: State, context: Sequence[str], region: str | None) -> Account:
    """Open the account of an unfinished run. Raises CommandError: another account or other settings."""
    same = state.context in ([*context], [*context, f"model={EMBEDDED_MODEL}"])
    if (context and not same) or region not in (None, state.region):
        why = f"the run {state.name} in {state.region} is unfinished and goes on with its own settings"
        fix = "easel prove without -c and --region, or with the same, goes on; easel prove --clean-up ends it"
        raise CommandError("Another run is unfinished", where="-c, --region", why=why, fix=fix, code=USAGE)
    account = open_account(state.region, Names(state.name))
    if _digest(_number(account)) != state.account:
        why, fix = f"{state.name} was begun in another account", "export AWS_PROFILE=… with the profile of that account"
        raise CommandError("This is another account", where="AWS_PROFILE", why=why, fix=fix, code=ENVIRONMENT)
    return account


def _number(account: Account) -> str:
    with aws_errors():
        return str(account.client("sts").get_caller_identity()["Account"])


def _digest(number: str) -> str:
    return sha256(number.encode()).hexdigest()[:16]


@contextmanager
def _lock(folder: Path) -> Iterator[int]:
    """Refuse a second run in the folder at the same time. Raises CommandError."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = (folder / "lock").open("w")
    except OSError as error:
        why, fix = error.strerror or str(error), "Use another folder with --out."
        raise CommandError("The folder cannot be used", where=str(folder), why=why, fix=fix, code=USAGE) from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            fix = "Wait until it has ended, or use another folder with --out."
            why = "another easel prove, or the CDK that it started, works in this folder"
            raise CommandError("A run is under way", where=str(folder), why=why, fix=fix, code=USAGE) from None
        yield file.fileno()
