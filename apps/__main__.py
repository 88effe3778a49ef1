"""`python -m apps [NAME] [--port N]`: the hub, or one room of it, on this machine alone."""

from __future__ import annotations

import argparse
import difflib
import sys

HOST = "127.0.0.1"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m apps", description="The lab in the browser, for this machine only."
    )
    parser.add_argument("name", nargs="?", help="one room, for example attention; without it, the hub")
    parser.add_argument("--port", type=int, default=7860)
    asked = parser.parse_args(arguments)

    from apps.hub import ROOMS, create_app

    if asked.name is not None and asked.name not in ROOMS:
        near = difflib.get_close_matches(asked.name, ROOMS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there is: {', '.join(ROOMS)}."
        print(f"there is no app {asked.name!r}; {hint}", file=sys.stderr)
        return 2

    import torch
    import uvicorn

    torch.set_num_threads(1)  # two visitors at once are served side by side, not in each other's way

    uvicorn.run(create_app(asked.name), host=HOST, port=asked.port, log_level="warning")
    return 0


if __name__ == "__main__":
    sys.exit(main())
