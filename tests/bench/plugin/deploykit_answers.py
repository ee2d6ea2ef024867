"""A child for tests of the channel: answers a question, such as `["large", 3]`, in the way that it names."""

from __future__ import annotations

import atexit
import math
import sys
import time

from deploykit.bench.channel import serve


def answer(question: tuple[str, str]) -> object:
    what, text = question
    if what == "leaving":
        atexit.register(time.sleep, 1)  # as a runtime's clean-up takes its time
        sys.exit(3)
    return {
        "echo": text,
        "large": "x" * 2**21,
        "infinite": math.inf,
        "object": object(),
    }[what]


if __name__ == "__main__":
    serve(tuple[str, str], answer)
