"""Print the leftovers that a scan found, with the commands that remove them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

from easel.cloud.leftovers.scan import GLOBAL, Leftover, Scan
from easel.console.printable import printable, to_json
from easel.console.program_name import with_program_name
from stacks.config.names import DEFAULT, Names
from stacks.config.prices import PAGE, PRICES_DATE, REGION

NOTHING_LEFT = "No resources of Easel are left."


def print_scan(scan: Scan, as_json: bool, names: Names = DEFAULT) -> int:
    """Print the scan. Return the exit code: 0 only if everything was scanned and nothing is left."""
    total = sum(leftover.usd_per_month or 0 for leftover in scan.leftovers)
    if as_json:
        output = {
            "leftovers": [asdict(leftover) for leftover in scan.leftovers],
            "errors": scan.errors,
            "usd_per_month": round(total, 2),
            "prices": f"{REGION}, {PRICES_DATE}",
        }
        print(to_json(output))
    else:
        print(*map(printable, _lines(scan, total, names)), sep="\n")
    return 1 if scan.leftovers or scan.errors else 0


def _lines(scan: Scan, total: float, names: Names) -> Iterator[str]:
    if scan.leftovers:
        yield f"{'region':<15}{'type':<38}{'USD/month':>9}  name"
    for leftover in sorted(scan.leftovers, key=lambda leftover: -(leftover.usd_per_month or 0)):
        yield _line(leftover)
    for error in scan.errors:
        yield f"Not scanned: {error}"
    if not scan.leftovers:
        yield "No resources of Easel were found, but the scan is incomplete." if scan.errors else NOTHING_LEFT
        return
    source = f"{REGION}, {PRICES_DATE}; see {PAGE}"
    count = len(scan.leftovers)
    yield f"{count} left, about {total:.2f} USD per month without requests, before free tiers ({source})."
    yield "To remove them:"
    if regions := dict.fromkeys(leftover.region for leftover in scan.leftovers if leftover.code == "stack"):
        for region in regions:
            destroy = names.in_commands("npx cdk destroy --all")
            yield f"  AWS_REGION={region} {destroy}   (with the settings of the deploy)"
    else:
        yield from dict.fromkeys(
            f"  {with_program_name(leftover.remove)}{_region_option(leftover)}" for leftover in scan.leftovers
        )


def _line(leftover: Leftover) -> str:
    usd = "?" if leftover.usd_per_month is None else f"{leftover.usd_per_month:.2f}"
    note = f"  ({leftover.note})" if leftover.note else ""
    return f"{leftover.region:<15}{leftover.type.removeprefix('AWS::'):<38}{usd:>9}  {leftover.name}{note}"


def _region_option(leftover: Leftover) -> str:
    """The option for AWS's command line; cdk and console texts take none."""
    return f" --region {leftover.region}" if leftover.region != GLOBAL and leftover.remove.startswith("aws ") else ""
