"""Shell completion, written from the parser itself, so that it names what there is.

`eval "$(python main.py completion bash)"` defines `quantor`, which runs this checkout from anywhere, with completion.
"""

from __future__ import annotations

import argparse
from typing import Any

from core.config import ROOT

SHELLS = ("bash", "zsh")


def words_of(parser: argparse.ArgumentParser) -> dict[str, list[str]]:
    """By command ('' at the top, 'data import' below): its subcommands, its options, and the choices of its places."""
    found: dict[str, list[str]] = {}

    def walk(name: str, one: argparse.ArgumentParser) -> None:
        words: list[str] = []
        for action in one._actions:
            if isinstance(action, argparse._SubParsersAction):
                words += action.choices
                for word, below in action.choices.items():
                    walk(f"{name} {word}".strip(), below)
            elif action.option_strings:
                words.append(action.option_strings[-1])
            elif action.choices:
                words += [str(choice) for choice in action.choices]
        found[name] = sorted(words)

    walk("", parser)
    return found


def completion(parser: argparse.ArgumentParser, shell: str) -> str:
    """The text to evaluate in a shell. zsh takes it through its own bashcompinit."""
    table: dict[str, Any] = words_of(parser)
    cases = "\n".join(f'    "{name}") words="{" ".join(words)}" ;;' for name, words in table.items())
    head = "autoload -U +X bashcompinit && bashcompinit\n" if shell == "zsh" else ""
    return f"""{head}quantor() {{ bash "{ROOT}/scripts/run" "$@"; }}
_quantor() {{
  local current="${{COMP_WORDS[COMP_CWORD]}}" command="${{COMP_WORDS[1]}}" words=""
  [ "$COMP_CWORD" -le 1 ] && command=""
  case "$command ${{COMP_WORDS[2]}}" in "data "*) [ "$COMP_CWORD" -gt 2 ] && command="data ${{COMP_WORDS[2]}}" ;; esac
  case "$command" in
{cases}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  [ ${{#COMPREPLY[@]}} -eq 0 ] && COMPREPLY=($(compgen -f -- "$current"))
}}
complete -F _quantor quantor
"""
