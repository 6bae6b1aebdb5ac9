"""Run the `easel` command, also by `python -m easel`."""

from easel.console.interrupts import ended_by_signals


def main() -> None:
    with ended_by_signals():
        from easel.cli import app  # most of the start's time

        app()


if __name__ == "__main__":
    main()
