"""What a name that has commands below it does by itself."""

import typer


def show_help(context: typer.Context) -> None:
    """The help page, when nothing else was asked for."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def make_group(help_line: str) -> typer.Typer:
    group = typer.Typer(help=help_line, invoke_without_command=True, add_completion=False, rich_markup_mode=None)
    group.callback()(show_help)
    return group
