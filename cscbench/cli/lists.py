"""`cscbench models` and `cscbench tasks`."""

import click


@click.command()
def models() -> None:
    """List the model cards in the working directory and those that ship with cscbench."""
    from cscbench.cli.show import results as show
    from cscbench.content.cards import card_files, read_card
    from cscbench.values import UserError

    cards, broken = [], []
    for path in card_files().values():
        try:
            cards.append(read_card(path))
        except UserError as error:
            broken.append(str(error))
    show.show_cards(cards, broken)


@click.command()
def tasks() -> None:
    """List the tasks in the working directory, those that ship with cscbench, and those of installed packages."""
    from cscbench.cli.show import results as show
    from cscbench.content.tasks import find_task, task_names
    from cscbench.values import UserError

    readable, broken = [], []
    for name in task_names():
        try:
            readable.append(find_task(name))
        except UserError as error:
            broken.append(str(error))
    show.show_tasks(readable, broken)
