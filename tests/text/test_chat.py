"""Conversations: templates as transformers renders them, hostile ones, and the answer."""

import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from transformers.utils.chat_template_utils import render_jinja_template

import qwen3moe
from qwen3moe import chat_worker
from qwen3moe.chat import CHATML, render_chat
from tests.text.models import rewrite

MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "  Hi <b>&'\"</b> é😀\n"},
    {"role": "assistant", "content": "Hello", "tool_calls": [{"name": "f", "arguments": {"x": [1, 2.5, None, True]}}]},
    {"role": "user", "content": "More"},
]
TOOLS = [{"type": "function", "function": {"name": "f", "description": "Größe", "parameters": {"x": {"type": "int"}}}}]

TEMPLATES = {
    "ChatML": CHATML,
    "blocks": """
        {%- if tools %}
            {{- "# Tools\\n" }}
            {%- for tool in tools %}
                {{- tool | tojson }}{{ "\\n" }}
            {%- endfor %}
        {%- endif %}
        {%- set ns = namespace(last=-1) %}
    {% for m in messages[::-1] %}
        {# a comment #}
        {% if m.role == 'user' and ns.last < 0 %}
            {% set ns.last = loop.index0 %}
        {% endif %}
        {{ loop.index }} {{ m['role'] | upper }}: {{ m.content.strip() | trim }} {{ ns.last }}
    {% endfor %}
    """,
    "json": "{{ messages | tojson }} {{ tools | tojson(indent=2) }} {{ messages[0] | tojson(separators=(',', ':')) }}",
    "controls": "{% for m in messages %}{% if loop.first %}{% continue %}{% endif %}{{ m }}{% break %}{% endfor %}",
    "generation": "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}.",
    "macro": "{% macro f(x) %}[{{ x }}]{% endmacro %}{% for m in messages %}{{ f(m.role) }}{% endfor %}",
    "undefined": "{{ nothing }}{{ messages[0].x }}{% if nothing is defined %}x{% endif %}{{ add_generation_prompt }}",
    "variables": "{{ enable_thinking }} {{ '%05.1f' | format(2.25) }} {{ 'a,b'.split(',') }} {{ bos_token }}",
    "dates": "{{ strftime_now('%Y') | length }}",
}


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("prompt", [True, False])
def test_templates_as_transformers_renders_them(name, prompt):
    known = dict(enable_thinking=False, bos_token="<s>")
    expected, _ = render_jinja_template(
        [MESSAGES], tools=TOOLS, chat_template=TEMPLATES[name], add_generation_prompt=prompt, **known
    )
    found = render_chat(
        TEMPLATES[name], MESSAGES, tools=TOOLS, add_generation_prompt=prompt, variables={"tools": 3, **known}
    )
    assert found == expected[0]


DOUBLING = """
{% set n = namespace(x='abc') %}
{% for i in range(99) %}
    {% set n.x = n.x ~ n.x %}
{% endfor %}
"""
HOSTILE = {
    "attributes": ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "SecurityError"),
    "attributes by filter": ("{{ ('' | attr('__class__')).__mro__ }}", "Error"),
    "attributes by format": ("{{ '{0.__class__.__mro__}'.format(messages) }}", "SecurityError"),
    "globals of a function": ("{{ raise_exception.__globals__.sys }}", "SecurityError"),
    "globals of a lambda": ("{{ strftime_now.__code__.co_code }}", "SecurityError"),
    "the environment": ("{{ self._TemplateReference__context.environment }}", "SecurityError"),
    "changes": ("{{ messages.append(1) }}", "SecurityError"),
    "imports": ("{% import 'os' as os %}", "no loader"),
    "an endless loop": ("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "too long"),
    "endless recursion": ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "RecursionError"),
    "a huge range": ("{{ range(10 ** 9) | list }}", "Range too big"),
    "a huge text": ("{{ 'a' * 10 ** 10 }}", "memory"),
    "a text that doubles": (DOUBLING, "memory"),
    "a huge number": ("{{ 10 ** (10 ** 9) }}", "too long"),
    "a wide format": ("{{ '%9999999999d' % 1 }}", ""),
    "a wide field": ("{{ 'a'.center(10 ** 10) }}", "memory"),
    "too much output": ("{{ 'abcdefgh' * 3000000 }}", "at most"),
    "its own refusal": ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
    "a syntax error": ("{% if %}", "TemplateSyntaxError"),
    "an unknown name": ("{{ nothing.at_all }}", "UndefinedError"),
    "a division": ("{{ 1 / 0 }}", "ZeroDivisionError"),
    "deep nesting": ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_templates(name):
    template, words = HOSTILE[name]
    started = time.monotonic()
    with pytest.raises(qwen3moe.TemplateError) as refusal:
        render_chat(template, MESSAGES)
    assert words in str(refusal.value) and len(str(refusal.value)) < 2200
    assert time.monotonic() - started < 60


def test_no_file_can_be_written(tmp_path):
    """Even by what gets out of the sandbox: its files have no room."""
    script = (
        "import resource, runpy, sys\n"
        "worker = runpy.run_path(sys.argv[1])\n"
        "try: worker['render']('{{ x.y }}', {})\n"
        "except Exception: pass\n"
        "file = open(sys.argv[2], 'w'); file.write('x'); file.flush()\n"
    )
    command = [sys.executable, "-c", script, chat_worker.__file__, str(tmp_path / "f")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode != 0 and (tmp_path / "f").stat().st_size == 0


def test_ctrl_c_while_a_template_runs(monkeypatch):
    started = []

    class Recorded(subprocess.Popen):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            started.append(self)

    monkeypatch.setattr(subprocess, "Popen", Recorded)
    timer = threading.Timer(1, lambda: signal.pthread_kill(threading.main_thread().ident, signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        render_chat(HOSTILE["an endless loop"][0], MESSAGES)
    timer.join()
    assert [process.poll() for process in started] == [-signal.SIGKILL]


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([], "messages is []"),
        ("Hi", "messages is 'Hi'"),
        ({"role": "user"}, "messages is"),
        (["Hi"], "messages[0] is 'Hi'"),
        ([{"role": "user", "content": "a"}, {"content": "b"}], "messages[1]"),
        ([{"role": "user", "content": np.zeros(2)}], "plain values"),
    ],
)
def test_messages_that_are_none(model, messages, words):
    with pytest.raises(qwen3moe.ArgumentError) as refusal:
        model.chat(messages)
    assert words in str(refusal.value)


# ---- models


def test_the_template_of_the_file(small_model_path, tmp_path, model):
    assert model.render_chat(MESSAGES[3:]) == "<|im_start|>user\nMore<|im_end|>\n<|im_start|>assistant\n"
    path = rewrite(
        small_model_path,
        tmp_path / "m.gguf",
        lambda k, v: "{{ messages[0].content }}|{{ eos_token }}|{{ pad_token }}|{{ x }}" if "template" in k else v,
    )
    with qwen3moe.Model.from_gguf(path) as other:
        assert other.render_chat(MESSAGES[3:], variables={"x": 5}) == "More|<|im_end|>|<|endoftext|>|5"


def test_a_file_without_a_template(small_model_path, tmp_path, model):
    path = rewrite(small_model_path, tmp_path / "m.gguf", lambda k, v: None if "template" in k else v)
    with qwen3moe.Model.from_gguf(path) as other:
        assert other.render_chat(MESSAGES) == model.render_chat(MESSAGES)


def test_a_chat_is_the_generation_of_its_text(model):
    text = model.render_chat(MESSAGES)
    options = dict(max_tokens=8, temperature=1.2, seed=3)
    expected = model.generate(text, **options).finish()
    assert model.chat(MESSAGES, **options).finish() == expected
    assert model.tokenize("<|im_start|>")[0] in model.tokenize(text)


def test_a_chat_with_a_session_evaluates_only_what_is_new(model):
    options = dict(max_tokens=6)
    with model.session(300) as session:
        for count in (2, 4):
            seen = []
            report = lambda done, total, seen=seen: seen.append(total)  # noqa: E731
            chat = model.chat(MESSAGES[:count], session=session, progress=report, **options)
            assert chat.finish() == model.chat(MESSAGES[:count], **options).finish()
            length = len(model.tokenize(model.render_chat(MESSAGES[:count])))
            assert (seen[0] == length) == (count == 2) and seen[0] <= length
        session.truncate(session.position - 3)
        assert model.chat(MESSAGES, session=session, **options).finish() == model.chat(MESSAGES, **options).finish()
        assert model.chat(MESSAGES[1:], session=session).completions is not None


def test_unknown_options_are_errors(model):
    with pytest.raises(TypeError, match="temprature"):
        model.chat(MESSAGES, temprature=1)
