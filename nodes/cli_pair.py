"""``aerolink pair``."""
import click
@click.command()
def pair() -> int:
    """Pair."""
    return 0
