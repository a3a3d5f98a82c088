"""The `cscbench` command. It imports a command only when it is named, so that `--help` stays quick."""

import importlib
import io
import logging
import sys
from typing import Any

import click
from click.exceptions import NoArgsIsHelpError

from cscbench import __version__
from cscbench.values import UserError

_COMMANDS = {
    "calibrate": ("cscbench.cli.calibrate:calibrate", "Decide whether an instrument is fit: `calibrate judge`."),
    "compare": ("cscbench.cli.compare:compare", "Test runs against a baseline, or compare the texts of two runs."),
    "export": ("cscbench.cli.export:export", "Write runs for lm-eval, the Hub, CSV, Parquet or LaTeX."),
    "gate": ("cscbench.cli.gate:gate", "Check a run against rules in CI: passed, regressed, unclear."),
    "leaderboard": ("cscbench.cli.leaderboard:leaderboard", "Publish runs: boards and their pages."),
    "models": ("cscbench.cli.lists:models", "List the model cards."),
    "report": ("cscbench.cli.report:report", "Write a report on runs in words, tables and examples."),
    "run": ("cscbench.cli.run:run", "Run a model on a task and score it."),
    "score": ("cscbench.cli.score:score", "Score a finished run again, without its model."),
    "show": ("cscbench.cli.score:show", "Show finished runs side by side."),
    "tasks": ("cscbench.cli.lists:tasks", "List the tasks."),
    "train": ("cscbench.cli.train:train", "Fine-tune a model with LoRA, for `run --lora`."),
}
_RENAMED = {
    "agree": "`cscbench agree A B` is now `cscbench compare --texts A B`",
    "judge": "`cscbench judge calibrate` is now `cscbench calibrate judge`",
}


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] in _RENAMED:
            raise UserError(_RENAMED[args[0]])
        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            from cscbench.content.yaml_file import did_you_mean

            raise UserError(f"no command {args[0]!r}{did_you_mean(args[0], list(_COMMANDS))}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except UserError as error:
            click.echo(f"cscbench: {error}", err=True)
            ctx.exit(2)
        except click.UsageError as error:
            if isinstance(error, NoArgsIsHelpError):
                raise
            path = error.ctx.command_path if error.ctx else ctx.command_path
            click.echo(f"cscbench: {error.format_message()} See `{path} --help`.", err=True)
            ctx.exit(2)
        except KeyboardInterrupt:
            # After a second Ctrl-C, asyncio would print a traceback for a task that nobody awaits.
            logging.getLogger("asyncio").setLevel(logging.CRITICAL)
            click.echo("\ncscbench: stopped; finished work is saved: repeat the command to continue", err=True)
            ctx.exit(130)


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="cscbench")
@click.option("-q", "--quiet", is_flag=True, help="Show errors and warnings only.")
def cli(quiet: bool) -> None:
    """Evaluate customer-support conversation models: strategies, replies, intervals.

    Exit codes: 0 success; 2 invalid input (the message says how to fix it); 3 finished, but some replies failed (repeat
    the command to ask for them again); 4 stopped at --max-cost (repeat the command with a higher limit to continue).
    `gate`, `calibrate` and `leaderboard check` have codes of their own: see their --help.
    """
    logging.basicConfig(stream=sys.stderr, format="cscbench: %(message)s", level=logging.WARNING)
    logging.getLogger("cscbench").setLevel(logging.WARNING if quiet else logging.INFO)


def main() -> None:
    """Entry point of the console script."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(
                errors="backslashreplace"
            )  # a terminal without Chinese characters still shows the numbers
    cli(prog_name="cscbench")
