"""Everything that can go wrong in a way a caller can understand.

    ShoalError
    ├── NotFound
    │   ├── CollectionNotFound
    │   ├── ImageNotFound
    │   ├── ClusterNotFound
    │   ├── RunNotFound
    │   ├── CorrectionNotFound
    │   ├── ThemeNotFound
    │   ├── PlaceNotFound
    │   ├── MomentNotFound
    │   └── FileNotKept
    ├── AlreadyExists
    │   └── CollectionExists
    ├── Invalid
    │   ├── InvalidField
    │   ├── InvalidName
    │   ├── InvalidPageToken
    │   ├── EmptyText
    │   ├── WrongDimension
    │   ├── FileTooLarge
    │   ├── FetchFailed
    │   └── UnreadableImage
    │       ├── EmptyImage
    │       ├── UnsupportedFormat
    │       ├── BrokenImage
    │       └── ImageTooLarge
    ├── Precondition
    │   ├── ModelMismatch
    │   ├── ModelUnavailable
    │   ├── NotClustered
    │   ├── TooFewImages
    │   ├── RunNotActivatable
    │   ├── CannotCorrect
    │   ├── CannotUndo
    │   ├── FolderInUse
    │   ├── FolderNotWritable
    │   ├── StoreIncompatible
    │   ├── FetchNotAllowed
    │   └── MissingExtra
    ├── Conflict
    │   ├── RunInProgress
    │   └── ClustersChanged
    ├── Overloaded
    ├── Unavailable
    │   ├── StoreUnavailable
    │   ├── FetchUnavailable
    │   ├── UploadStalled
    │   └── ShuttingDown
    └── Failed
        ├── ModelFailed
        └── ClusteringFailed

The second level says what kind of failure it is; a transport needs to know only that level. Every message says what
happened, to which input, and what to do next. ``reason`` is the machine's name for it and never changes.
"""

from __future__ import annotations

from typing import ClassVar


class ShoalError(Exception):
    """Root of all errors that Shoal raises on purpose.

    Attributes:
        reason: UPPER_SNAKE_CASE name of the failure for programs.
        metadata: the failing input, for programs: short strings only.
    """

    reason: ClassVar[str] = "UNKNOWN"

    def __init__(self, message: str, **metadata: str) -> None:
        super().__init__(message)
        self.message = message
        self.metadata = metadata


class NotFound(ShoalError):
    """Something that was named does not exist."""


class CollectionNotFound(NotFound):
    """No collection of that name."""

    reason = "COLLECTION_NOT_FOUND"

    def __init__(self, collection: str) -> None:
        super().__init__(
            f"there is no collection {collection!r}; list the collections, or create it first", collection=collection
        )


class ImageNotFound(NotFound):
    """No image of that id."""

    reason = "IMAGE_NOT_FOUND"

    def __init__(self, collection: str, image: str) -> None:
        super().__init__(
            f"there is no image {image!r} in collection {collection!r}; it may have been deleted",
            collection=collection,
            image=image,
        )


class ClusterNotFound(NotFound):
    """No cluster of that id in the active run."""

    reason = "CLUSTER_NOT_FOUND"

    def __init__(self, collection: str, cluster: int) -> None:
        super().__init__(
            f"there is no cluster {cluster} in collection {collection!r}; list the clusters to see which there are",
            collection=collection,
            cluster=str(cluster),
        )


class RunNotFound(NotFound):
    """No clustering run of that id."""

    reason = "RUN_NOT_FOUND"

    def __init__(self, collection: str, run: str) -> None:
        super().__init__(
            f"there is no clustering run {run!r} in collection {collection!r}; of old runs only the last are kept, as "
            "many as SHOAL_KEEP_RUNS says",
            collection=collection,
            run=run,
        )


class CorrectionNotFound(NotFound):
    """No correction of that id."""

    reason = "CORRECTION_NOT_FOUND"

    def __init__(self, collection: str, correction: str) -> None:
        super().__init__(
            f"there is no correction {correction!r} in collection {collection!r}; list the corrections",
            collection=collection,
            correction=correction,
        )


class ThemeNotFound(NotFound):
    """No theme of that id."""

    reason = "THEME_NOT_FOUND"

    def __init__(self, collection: str, theme: int) -> None:
        super().__init__(
            f"there is no theme {theme} in collection {collection!r}; list the themes",
            collection=collection,
            theme=str(theme),
        )


class PlaceNotFound(NotFound):
    """No place of that id."""

    reason = "PLACE_NOT_FOUND"

    def __init__(self, collection: str, place: int) -> None:
        super().__init__(
            f"there is no place {place} in collection {collection!r}; list the places",
            collection=collection,
            place=str(place),
        )


class MomentNotFound(NotFound):
    """No moment of that id."""

    reason = "MOMENT_NOT_FOUND"

    def __init__(self, collection: str, moment: int) -> None:
        super().__init__(
            f"there is no moment {moment} in collection {collection!r}; list the moments",
            collection=collection,
            moment=str(moment),
        )


class FileNotKept(NotFound):
    """An image whose thumbnail or original is not here."""

    reason = "FILE_NOT_KEPT"

    def __init__(self, image: str, what: str, hint: str) -> None:
        super().__init__(f"there is no {what} of image {image!r}: {hint}", image=image, what=what)


class AlreadyExists(ShoalError):
    """Something of that name exists already."""


class CollectionExists(AlreadyExists):
    """A collection of that name exists already."""

    reason = "COLLECTION_EXISTS"

    def __init__(self, collection: str) -> None:
        super().__init__(
            f"collection {collection!r} exists already; use it, or choose another name", collection=collection
        )


class Invalid(ShoalError):
    """The request can never succeed as it is."""


class InvalidField(Invalid):
    """A field of a request is missing or out of its range."""

    reason = "INVALID_FIELD"

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}", field=field)


class InvalidName(Invalid):
    """A resource name does not have its form."""

    reason = "INVALID_NAME"

    def __init__(self, name: str, form: str) -> None:
        super().__init__(f"{name[:200]!r} is not of the form {form}", name=name[:200])


class InvalidPageToken(Invalid):
    """A page token is not from this server or belongs to another request."""

    reason = "INVALID_PAGE_TOKEN"

    def __init__(self) -> None:
        super().__init__(
            "the page token is not one this request was given; send the next_page_token of the page before with all "
            "other fields unchanged, or start again without one"
        )


class EmptyText(Invalid):
    """A text query has no words."""

    reason = "EMPTY_TEXT"

    def __init__(self) -> None:
        super().__init__("the text is empty; say in words what to look for, for instance 'a cat'")


class WrongDimension(Invalid):
    """A query vector is not of the collection's model."""

    reason = "WRONG_DIMENSION"

    def __init__(self, got: int, want: int, model: str) -> None:
        super().__init__(
            f"the vector has {got} dimensions, but the collection's model {model} makes vectors of {want}",
            got=str(got),
            want=str(want),
        )


class FileTooLarge(Invalid):
    """More bytes than the server takes for one image."""

    reason = "FILE_TOO_LARGE"

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"the file has more than {limit:,} bytes; scale it down, or raise SHOAL_MAX_FILE_BYTES on the server",
            limit=str(limit),
        )


class FetchFailed(Invalid):
    """A file that may be read by URI, but cannot be had, now or later."""

    reason = "FETCH_FAILED"

    def __init__(self, uri: str, problem: str) -> None:
        super().__init__(f"{uri[:200]!r} cannot be read: {problem}", uri=uri[:200])


class UnreadableImage(Invalid):
    """Bytes that are not an image Shoal can read."""


class EmptyImage(UnreadableImage):
    """No bytes at all."""

    reason = "EMPTY_IMAGE"

    def __init__(self) -> None:
        super().__init__("the file is empty (0 bytes); check that it was copied completely")


class UnsupportedFormat(UnreadableImage):
    """Not a format on the allow-list."""

    reason = "UNSUPPORTED_FORMAT"

    def __init__(self, allowed: str, hint: str = "") -> None:
        super().__init__(f"the bytes are no image in a format that is read here ({allowed}){hint}", allowed=allowed)


class BrokenImage(UnreadableImage):
    """An image of a known format that cannot be decoded to its end."""

    reason = "BROKEN_IMAGE"

    def __init__(self, image_format: str, problem: str) -> None:
        super().__init__(
            f"the {image_format} file is damaged or cut off and was not stored: {problem}", format=image_format
        )


class ImageTooLarge(UnreadableImage):
    """More pixels than the server decodes."""

    reason = "IMAGE_TOO_LARGE"

    def __init__(self, width: int, height: int, limit: int) -> None:
        super().__init__(
            f"the image is {width} x {height} = {width * height:,} pixels, over the limit of {limit:,}; scale it down, "
            "or raise SHOAL_MAX_IMAGE_PIXELS on the server",
            width=str(width),
            height=str(height),
            limit=str(limit),
        )


class Precondition(ShoalError):
    """The request is fine but the system is not in the state for it."""


class ModelMismatch(Precondition):
    """A collection was made with another model than the server runs."""

    reason = "MODEL_MISMATCH"

    def __init__(self, collection: str, recorded: str, running: str) -> None:
        super().__init__(
            f"collection {collection!r} was made with model {recorded}, but this server runs {running}; vectors of "
            "different models cannot be compared: start the server with the collection's model, or use another "
            "collection",
            collection=collection,
            recorded=recorded,
            running=running,
        )


class ModelUnavailable(Precondition):
    """A model cannot be loaded."""

    reason = "MODEL_UNAVAILABLE"

    def __init__(self, model: str, problem: str) -> None:
        super().__init__(f"model {model!r} cannot be loaded: {problem}", model=model)


class NotClustered(Precondition):
    """A collection has no clusters yet."""

    reason = "NOT_CLUSTERED"

    def __init__(self, collection: str) -> None:
        super().__init__(
            f"collection {collection!r} has no clusters yet; run a clustering first (`shoal cluster`), or one with a "
            "smaller min_cluster_size if the last found none",
            collection=collection,
        )


class TooFewImages(Precondition):
    """There are too few images to cluster."""

    reason = "TOO_FEW_IMAGES"

    def __init__(self, collection: str, count: int, minimum: int) -> None:
        super().__init__(
            f"collection {collection!r} has {count} images; clustering needs at least {minimum}: ingest more first",
            collection=collection,
            count=str(count),
        )


class RunNotActivatable(Precondition):
    """A run has no result that could be put in force."""

    reason = "RUN_NOT_ACTIVATABLE"

    def __init__(self, collection: str, run: str, problem: str) -> None:
        super().__init__(
            f"run {run!r} of collection {collection!r} cannot be put in force: {problem}",
            collection=collection,
            run=run,
        )


class CannotCorrect(Precondition):
    """A correction would not change anything, or not make sense."""

    reason = "CANNOT_CORRECT"

    def __init__(self, collection: str, problem: str) -> None:
        super().__init__(f"nothing was corrected in collection {collection!r}: {problem}", collection=collection)


class CannotUndo(Precondition):
    """A correction cannot be taken back."""

    reason = "CANNOT_UNDO"

    def __init__(self, collection: str, correction: str, problem: str) -> None:
        super().__init__(
            f"correction {correction!r} of collection {collection!r} cannot be undone: {problem}",
            collection=collection,
            correction=correction,
        )


class FolderInUse(Precondition):
    """Another process has the data folder open."""

    reason = "FOLDER_IN_USE"

    def __init__(self, folder: str, holder: str) -> None:
        super().__init__(
            f"the data folder {folder} is in use by another Shoal server{holder}; stop that one, or choose another "
            "folder with --data",
            folder=folder,
        )


class FolderNotWritable(Precondition):
    """A folder that the server needs cannot be written to."""

    reason = "FOLDER_NOT_WRITABLE"

    def __init__(self, folder: str, problem: str) -> None:
        super().__init__(
            f"the data folder {folder} cannot be written to: {problem}; choose another with --data", folder=folder
        )


class StoreIncompatible(Precondition):
    """What is in the store is not what this version of Shoal writes."""

    reason = "STORE_INCOMPATIBLE"


class FetchNotAllowed(Precondition):
    """A URI that this server does not read from."""

    reason = "FETCH_NOT_ALLOWED"

    def __init__(self, uri: str, problem: str) -> None:
        super().__init__(f"the server does not read {uri[:200]!r}: {problem}", uri=uri[:200])


class MissingExtra(Precondition):
    """A package that is optional is needed."""

    reason = "MISSING_EXTRA"

    def __init__(self, need: str, extra: str) -> None:
        super().__init__(f"{need} needs the extra {extra!r}: pip install 'shoal[{extra}]'", extra=extra)


class Conflict(ShoalError):
    """Somebody else's change came between; trying again makes sense."""


class RunInProgress(Conflict):
    """A clustering run of the collection is under way."""

    reason = "RUN_IN_PROGRESS"

    def __init__(self, collection: str, run: str) -> None:
        super().__init__(
            f"run {run!r} is clustering collection {collection!r} at the moment; wait for it or cancel it",
            collection=collection,
            run=run,
        )


class ClustersChanged(Conflict):
    """Another run became active between two pages."""

    reason = "CLUSTERS_CHANGED"

    def __init__(self, collection: str) -> None:
        super().__init__(
            f"the clusters of collection {collection!r} changed between two pages; start again from the first page",
            collection=collection,
        )


class Overloaded(ShoalError):
    """A bounded queue is full."""

    reason = "OVERLOADED"

    def __init__(self, what: str, retry_after_s: float) -> None:
        super().__init__(
            f"{what} is full; try again in {retry_after_s:g} s or send less at once", retry_after_s=f"{retry_after_s:g}"
        )
        self.retry_after_s = retry_after_s


class Unavailable(ShoalError):
    """Something Shoal depends on does not answer just now."""


class StoreUnavailable(Unavailable):
    """The vector store does not answer."""

    reason = "STORE_UNAVAILABLE"

    def __init__(self, store: str, problem: str) -> None:
        super().__init__(f"the vector store {store} does not answer: {problem}", store=store)


class FetchUnavailable(Unavailable):
    """A file that may be read by URI, but cannot be had just now."""

    reason = "FETCH_UNAVAILABLE"

    def __init__(self, uri: str, problem: str) -> None:
        super().__init__(f"{uri[:200]!r} cannot be read at the moment: {problem}", uri=uri[:200])


class UploadStalled(Unavailable):
    """An image that comes in several messages, and the next did not come in time."""

    reason = "UPLOAD_STALLED"

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"the next part of an image did not come within {seconds:g} s; send it again", seconds=f"{seconds:g}"
        )


class ShuttingDown(Unavailable):
    """The server is being stopped."""

    reason = "SHUTTING_DOWN"

    def __init__(self) -> None:
        super().__init__("the server is shutting down and takes no new work; try again when it is back")


class Failed(ShoalError):
    """Something inside went wrong; what, is in the server's log."""


class ModelFailed(Failed):
    """The model raised an error on a batch."""

    reason = "MODEL_FAILED"

    def __init__(self, model: str) -> None:
        super().__init__(f"model {model!r} failed on this input; the server's log says why", model=model)


class ClusteringFailed(Failed):
    """The clustering worker failed."""

    reason = "CLUSTERING_FAILED"

    def __init__(self, problem: str) -> None:
        super().__init__(f"the clustering run failed: {problem}; the clusters before it are still in force")
