"""Conversations as text, by the template of the model's file."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from qwen3moe.errors import ArgumentError, TemplateError

Message: TypeAlias = Mapping[str, Any]

# ChatML, for files that bring no template.
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

_WORKER = Path(__file__).with_name("chat_worker.py")
_SECONDS = 30  # of waiting; the worker's own limit is of computing


def render_chat(
    template: str,
    messages: Sequence[Message],
    *,
    tools: Sequence[Mapping[str, Any]] | None = None,
    add_generation_prompt: bool = True,
    variables: Mapping[str, Any] | None = None,
) -> str:
    """The text of a conversation. A template is foreign code: it runs in a sandbox, and that in a bounded process."""
    given = {
        **(variables or {}),
        "messages": _checked(messages),
        "tools": list(tools) if tools else None,
        "documents": None,
        "add_generation_prompt": bool(add_generation_prompt),
    }
    request = {"template": template, "variables": given, "path": [entry for entry in sys.path if entry]}
    try:
        text = json.dumps(request)
    except (TypeError, ValueError, RecursionError) as error:
        raise ArgumentError(f"messages, tools and variables must be plain values, as JSON has them: {error}") from error
    return _run(text)


def shared_prefix(held: npt.NDArray[np.int32], tokens: Sequence[int]) -> int:
    """How many of the first tokens are held already; one at least is left to evaluate."""
    most = min(len(held), len(tokens) - 1)
    different = np.flatnonzero(held[:most] != np.array(tokens[:most], np.int32))
    return int(different[0]) if different.size else most


def _checked(messages: Sequence[Message]) -> list[Message]:
    if isinstance(messages, (str, Mapping)) or not isinstance(messages, Sequence) or not messages:
        raise ArgumentError(
            f"messages is {messages!r:.60}; expected a list such as [{{'role': 'user', 'content': 'Hi'}}]"
        )
    for i, message in enumerate(messages):
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
            raise ArgumentError(f"messages[{i}] is {message!r:.60}; expected a mapping with a 'role' and its 'content'")
    return [dict(message) for message in messages]


def _run(request: str) -> str:
    command = [sys.executable, "-I", "-S", str(_WORKER)]
    pipe = subprocess.PIPE
    # A session of its own: Ctrl-C is for the caller, who then ends it.
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True) as process:
        try:
            out, err = process.communicate(request.encode(), timeout=_SECONDS)
        except subprocess.TimeoutExpired:
            raise TemplateError(f"the chat template did not end within {_SECONDS} s") from None
        finally:
            process.kill()
            process.wait()
    try:
        answer = json.loads(out)
    except ValueError:
        last = err.decode(errors="replace").strip().splitlines()[-1:] or [f"status {process.returncode}"]
        raise TemplateError(f"the chat template took too long, or too much memory ({last[0]:.200})") from None
    if "error" in answer:
        raise TemplateError(f"the chat template fails: {answer['error']}")
    return str(answer["text"])
