"""``shoal attach`` and ``shoal detach``."""

from __future__ import annotations

from typing import Annotated

import typer

from shoal_client.cli.options import JsonOption, ServerOption, command_line, connection
from shoal_client.cli.output import console, print_json, printable
from shoal_client.cli.records import collection_record
from shoal_client.transport import DEFAULT_TARGET


def attach(
    source: Annotated[
        str, typer.Option("--collection", metavar="NAME", help="The Qdrant collection, on the server's Qdrant.")
    ],
    collection: Annotated[
        str | None, typer.Option("--as", metavar="ID", help="What it is called in Shoal; its own name if left out.")
    ] = None,
    vector: Annotated[
        str, typer.Option("--vector", metavar="NAME", help="The vector to cluster; the unnamed one if left out.")
    ] = "",
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="MODEL",
            help="The model that the vectors come from, which must be the server's; without it nothing can be found by "
            "text or picture.",
        ),
    ] = None,
    payload_key: Annotated[
        str, typer.Option("--payload-key", metavar="KEY", help="The field that the cluster's id is written to.")
    ] = "cluster_id",
    where: Annotated[
        str, typer.Option("--filter", metavar="JSON", help="A filter of Qdrant: only these points; all if left out.")
    ] = "",
    server: ServerOption = DEFAULT_TARGET,
    as_json: JsonOption = False,
) -> None:
    """Clusters a Qdrant collection that somebody else fills; of its points only the cluster's id is written."""
    with connection(server) as client:
        made = client.attach(
            source,
            collection_id=collection,
            vector=vector,
            model=model,
            payload_key=payload_key,
            where=where or None,
        )
    if as_json:
        print_json(collection_record(made))
        return
    to = console()
    # As the server has it: what was left empty here is not.
    key = payload_key if made.attachment is None else made.attachment.payload_key
    by = "text, picture, vector and point"
    if not made.model.name:
        by = "vector and point, but not by text or picture"
    elif made.model.image_only:
        by = "picture, vector and point, but not by text"
    lines = [
        f"attached to {source} as {made.id}: {made.image_count} points of {made.model.dimension} dimensions",
        f"the cluster's id will be the field {key} of their payload; nothing else of it is changed",
        f"clusters can be looked up by {by}",
        f"cluster it now: {command_line('cluster', collection=made.id, server=server)}",
    ]
    for line in lines:
        to.print(printable(line), markup=False, soft_wrap=True)


def detach(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The collection, as it is called in Shoal.")],
    clean: Annotated[
        bool,
        typer.Option("--clean", help="Take the clusters' ids and Shoal's index from the points as well."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    server: ServerOption = DEFAULT_TARGET,
    as_json: JsonOption = False,
) -> None:
    """Ends what `shoal attach` began, and forgets the clusters; the points stay, with --clean as they were before."""
    with connection(server) as client:
        if not yes:
            attached = client.get_collection(name)
            kept = (
                "" if attached.attachment is None or clean else f"; the points keep {attached.attachment.payload_key}"
            )
            typer.confirm(
                f"Forget the {attached.cluster_count} clusters of {name}, with their names and runs{kept}? There is no "
                "undo",
                abort=True,
                err=True,
            )
        cleaned = client.detach(name, clean=clean)
    if as_json:
        print_json({"name": name, "detached": True, "cleaned": cleaned})
        return
    taken = f"; took the cluster's id from {cleaned} points" if clean else ""
    console().print(printable(f"detached {name}{taken}"), markup=False, soft_wrap=True)
