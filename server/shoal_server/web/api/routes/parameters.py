"""Parameters that many routes have."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Path, Query

from shoal_server.web.api.models.base import MAX_ID

CollectionId = Annotated[str, Path(description="The collection's id.", max_length=200)]
ImageId = Annotated[UUID, Path(description="The image's id.")]
ClusterId = Annotated[int, Path(description="The cluster's id.", ge=0, le=MAX_ID)]
RunId = Annotated[str, Path(description="The run's id.", max_length=200)]
PageSize = Annotated[int, Query(ge=0, description="At most so many, up to 1000; 0 for the usual number.")]
PageToken = Annotated[str, Query(description="The next_page_token of the page before; nothing else may change.")]
WhereText = Annotated[str, Query(description="Which images: the JSON of a Filter.")]
