"""Every kernel once or twice, for a tool that watches memory: prompts, tokens one by one, several at once, choices, a
trace.

compute-sanitizer --tool memcheck python tests/gpu/exercise.py [--device cuda:0] [--case NAME ...] [--folder DIR]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import qwen3moe
from tests.devices import CASES, make, prompt


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--case", action="append", choices=list(CASES), help="only this case; may be repeated")
    parser.add_argument("--folder", type=Path, help="where models are kept; a temporary one by default")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        for case in options.case or CASES:
            path = make(case, options.folder or Path(temporary))
            with qwen3moe.Model.from_gguf(path, options.device) as model:
                with model.session(context=300) as session:
                    session.eval(prompt(262), "none")  # two blocks of keys
                    for token in (1, 2, 3):
                        session.eval([token])
                    for tokens in ([1, 2], [3], [4], [5]):
                        session.choose(tokens)
                model.forward_batch([prompt(1), prompt(2), prompt(33)])
                model.trace(prompt(2))
            print(case, flush=True)


if __name__ == "__main__":
    main()
