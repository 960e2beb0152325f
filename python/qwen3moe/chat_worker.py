"""Renders one chat template in a process of its own, which may neither work long nor take much memory.

Run by path, not imported: reads JSON from stdin, writes {"text": ...} or {"error": ...} to stdout.
"""

import json
import resource
import sys
from datetime import datetime

CPU_SECONDS = 2
MEMORY = 512 << 20
MOST_TEXT = 16 << 20


def render(template: str, variables: dict) -> str:  # type: ignore[type-arg]
    from jinja2 import TemplateError, nodes
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """{% generation %} marks what an assistant said; here its content is all that counts."""

        tags = {"generation"}  # noqa: RUF012

        def parse(self, parser):  # type: ignore[no-untyped-def]
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.Scope(body, lineno=line)

    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):  # type: ignore[no-untyped-def]
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    limit(resource.RLIMIT_CPU, CPU_SECONDS)
    limit(resource.RLIMIT_AS, MEMORY)
    limit(resource.RLIMIT_FSIZE, 0)
    text = environment.from_string(template).render(**variables)
    if len(text) > MOST_TEXT:
        raise TemplateError(f"it made {len(text)} characters; at most {MOST_TEXT} are taken")
    return text


def limit(what: int, most: int) -> None:
    hard = resource.getrlimit(what)[1]
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(what, (most, most))


def main() -> None:
    request = json.load(sys.stdin)
    sys.path[:] = request["path"]
    try:
        answer = {"text": render(request["template"], request["variables"])}
    except MemoryError:
        answer = {"error": f"it took more than {MEMORY >> 20} MiB of memory"}
    except Exception as error:  # whatever a template does
        answer = {"error": f"{type(error).__name__}: {error}"[:2000]}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
