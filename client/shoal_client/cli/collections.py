"""``shoal collections`` and ``shoal collections delete``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from shoal_client.cli.options import JsonOption, ServerOption, connection, refuse_before_subcommand
from shoal_client.cli.output import print_record, print_records
from shoal_client.cli.records import collection_record
from shoal_client.transport import DEFAULT_TARGET

collections_app = typer.Typer()


@collections_app.callback(invoke_without_command=True)
def collections(context: typer.Context, server: ServerOption = DEFAULT_TARGET, as_json: JsonOption = False) -> None:
    """Lists the collections; or deletes one."""
    if context.invoked_subcommand is not None:
        refuse_before_subcommand(context)
        return
    columns = {"name": "name", "images": "images", "clusters": "clusters", "model": "model"}
    with connection(server) as client:
        records = [collection_record(each) for each in client.collections()]
    if not as_json:
        records = [{**record, "model": _model(record)} for record in records]
    if any("attached_to" in record for record in records):
        columns["attached_to"] = "attached to"
    if any("problem" in record for record in records):
        columns["problem"] = "cannot be used"
    print_records(records, columns, as_json=as_json)


def _model(record: dict[str, Any]) -> str | None:
    """The name, with what sets the model apart from most."""
    precision = "" if record["precision"] == "fp32" else record["precision"]
    notes = ", ".join(filter(None, (precision, "images only" if record["image_only"] else "")))
    return f"{record['model']} ({notes})" if record["model"] and notes else record["model"]


@collections_app.command()
def delete(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The collection.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    server: ServerOption = DEFAULT_TARGET,
    as_json: JsonOption = False,
) -> None:
    """Removes a collection with its images, clusters and runs; the pictures themselves stay where they are."""
    with connection(server) as client:
        found = client.get_collection(name)
        if not yes:
            images = f"all its images ({found.problem})" if found.problem else f"{found.image_count} images"
            typer.confirm(f"Remove {name} with {images}? There is no undo", abort=True, err=True)
        client.delete_collection(name)
    print_record({"name": name, "deleted": True}, as_json=as_json)
