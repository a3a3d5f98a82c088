"""`cscbench models` and `cscbench tasks`."""

import click


@click.command()
def models() -> None:
    """List the model cards: the working directory's, then the shipped ones."""
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
    """List the tasks: the working directory's, the shipped ones, and those of installed packages."""
    from cscbench.cli.show import results as show
    from cscbench.content.tasks import find_task, task_names
    from cscbench.values import UserError

    found, broken = [], []
    for name in task_names():
        try:
            found.append(find_task(name))
        except UserError as error:
            broken.append(str(error))
    show.show_tasks(found, broken)
