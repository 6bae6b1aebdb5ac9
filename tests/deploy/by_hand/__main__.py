"""Start an emulated AWS account, and write a file with which a terminal works in it: `make emulator`."""

import contextlib
import shlex
import signal
import sys
import tempfile
from pathlib import Path

import certifi

from tests.deploy.by_hand.proxy import proxy
from tests.deploy.emulator.aws_api.service import ACCOUNT, REGION
from tests.deploy.harness.account import Account
from tests.deploy.harness.environment import ROOT, set_up

PROFILE = "you"
"""The profile of docs/tutorials/first-deploy.md, so that its commands can be typed as they are."""
QUIET_SECONDS = 60
"""Time without requests after which an asynchronous endpoint scales to zero: a twentieth of AWS's."""
GUIDE = """\
Ready: account {account} in {region}. Waiting takes a twentieth of the time.

In each terminal that is to work in it, in Easel's folder:

  . {file}

To open a page of it, with its address in place of URL:

  chromium --proxy-server={proxy} --ignore-certificate-errors --user-data-dir={folder}/browser URL

Press Ctrl-C to remove the account."""


def main() -> None:
    """Run until Ctrl-C or SIGTERM."""
    for end in (signal.SIGINT, signal.SIGTERM):
        signal.signal(end, signal.default_int_handler)
    print("Starting an emulated AWS account (the first start installs it, about a minute) …", flush=True)
    set_up()
    with (
        tempfile.TemporaryDirectory(prefix="easel-account-", ignore_cleanup_errors=True) as folder,
        Account(Path(folder)) as account,
        proxy(account.port) as proxy_url,
    ):
        (account.folder / "hold" / "Scaling").write_text(str(QUIET_SECONDS))
        file = write_variables(account, proxy_url)
        print(GUIDE.format(account=ACCOUNT, region=REGION, file=file, proxy=proxy_url, folder=folder), flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()
        print("\nRemoving the account …", flush=True)


def write_variables(account: Account, proxy_url: str) -> Path:
    """Write the file that a shell reads: the account's variables, and `easel` with AWS's hosts on this machine."""
    folder = account.folder
    credentials, certificates, file = folder / "credentials", folder / "certificates.pem", folder / "env.sh"
    keys = f"aws_access_key_id = {account.variables['AWS_ACCESS_KEY_ID']}\n"
    keys += f"aws_secret_access_key = {account.variables['AWS_SECRET_ACCESS_KEY']}\n"
    credentials.write_text(f"[default]\n{keys}[{PROFILE}]\n{keys}")
    certificates.write_bytes(account.certificate.read_bytes() + Path(certifi.where()).read_bytes())
    trust = dict.fromkeys(("AWS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE"), str(certificates))
    own = {name: value for name, value in account.easel_variables.items() if account.variables.get(name) != value}
    aws = {name: value for name, value in account.variables.items() if name.startswith(("AWS_", "NODE_"))}
    variables = aws | own | trust | {
        "AWS_SHARED_CREDENTIALS_FILE": str(credentials), "HTTPS_PROXY": proxy_url, "https_proxy": proxy_url,
        "NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost",
    }  # fmt: skip
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):  # the profile has them, and a variable would hide it
        del variables[name]
    lines = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    command = shlex.join((sys.executable, "-m", "tests.deploy.harness.easel", str(account.port)))
    lines.append(f'easel() {{ PYTHONPATH={shlex.quote(str(ROOT))}:$PYTHONPATH {command} "$@"; }}')
    file.write_text("\n".join(("unset AWS_PROFILE", *lines, "")))
    return file


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
