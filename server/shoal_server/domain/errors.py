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
    │   │   └── PrecisionMismatch
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
    │   ├── MissingExtra
    │   ├── NotAttachable
    │   ├── AttachedCollection
    │   ├── NotAttached
    │   ├── NoModel
    │   ├── ReadsNoText
    │   ├── ChangesExpired
    │   ├── StoreFull
    │   ├── NotEmbedded
    │   └── OtherVersion
    ├── Conflict
    │   ├── RunInProgress
    │   ├── ClustersChanged
    │   ├── RecordChanged
    │   └── LeaseLost
    ├── Unauthenticated
    │   └── WrongCredentials
    ├── Forbidden
    │   └── NotPermitted
    ├── Overloaded
    ├── Unavailable
    │   ├── StoreUnavailable
    │   │   ├── FilesUnavailable
    │   │   └── StoreRefused
    │   ├── WriteBackHalted
    │   ├── ModelBroken
    │   ├── FetchUnavailable
    │   ├── UploadStalled
    │   └── ShuttingDown
    └── Failed
        ├── ModelFailed
        ├── ClusteringFailed
        └── WorkerFailed

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
        super().__init__(f"{name[:200]!r} does not have the form of {form}", name=name[:200])


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
    """A collection was made, or is to be made, with another model than the server runs."""

    reason = "MODEL_MISMATCH"

    def __init__(self, collection: str, recorded: str, running: str, *, is_there: bool = True) -> None:
        problem = (
            f"was made with model {recorded}, but this server runs {running}; vectors of different models cannot be "
            "compared: start the server with the collection's model, or use another collection"
            if is_there
            else f"cannot be made for model {recorded}: this server runs {running}; leave the model out, or start a "
            "server with the other one"
        )
        super().__init__(
            f"collection {collection!r} {problem}",
            collection=collection,
            recorded=recorded,
            running=running,
        )


class PrecisionMismatch(ModelMismatch):
    """A collection was made with the server's model in another precision."""

    reason = "PRECISION_MISMATCH"

    def __init__(self, collection: str, recorded: str, running: str) -> None:
        Precondition.__init__(
            self,
            f"collection {collection!r} was made with {recorded} vectors, and this server computes {running}: they "
            f"differ a little, so that images would lie nearer to others of their own precision; start the server with "
            f"SHOAL_PRECISION={recorded}, or say SHOAL_MIX_PRECISIONS=true if that does not matter",
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

    def __init__(self, folder: str, problem: str, *, what: str = "the data folder", setting: str = "--data") -> None:
        super().__init__(
            f"{what} {folder} cannot be written to: {problem}; choose another with {setting}", folder=folder
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


class NotAttachable(Precondition):
    """A collection of Qdrant that Shoal cannot cluster for somebody else."""

    reason = "NOT_ATTACHABLE"

    def __init__(self, source: str, problem: str) -> None:
        super().__init__(f"the Qdrant collection {source[:200]!r} cannot be attached: {problem}", source=source[:200])


class AttachedCollection(Precondition):
    """Somebody else owns the points of this collection."""

    reason = "ATTACHED_COLLECTION"

    def __init__(self, collection: str, what: str, instead: str = "do it where the points come from") -> None:
        super().__init__(
            f"collection {collection!r} is attached to points that somebody else owns: {what}; {instead}",
            collection=collection,
        )


class NotAttached(Precondition):
    """Something that only an attached collection can have done to it."""

    reason = "NOT_ATTACHED"

    def __init__(self, collection: str) -> None:
        super().__init__(
            f"collection {collection!r} is not attached: Shoal made it, and its points are Shoal's; `shoal collections "
            "delete` removes it",
            collection=collection,
        )


class NoModel(Precondition):
    """A text or a picture cannot be compared with vectors of a model that nobody named."""

    reason = "NO_MODEL"

    def __init__(self, collection: str, what: str) -> None:
        super().__init__(
            f"collection {collection!r} was attached without a model, so {what} cannot be compared with its vectors; "
            "ask with a vector or a stored point, or attach it again with the model its vectors come from",
            collection=collection,
        )


class ReadsNoText(Precondition):
    """A text cannot be compared with the vectors of a model that looks at images only."""

    reason = "READS_NO_TEXT"

    def __init__(self, model: str) -> None:
        super().__init__(
            f"model {model!r} looks at images and reads no text; ask with an image, a stored image or a vector, or "
            "make a collection with a model that reads text, such as CLIP",
            model=model,
        )


class ChangesExpired(Precondition):
    """The changes since a token are not kept any more."""

    reason = "CHANGES_EXPIRED"

    def __init__(self, collection: str) -> None:
        super().__init__(
            f"the changes of collection {collection!r} since that token are not kept any more; begin again without a "
            "token, which gives every assignment once",
            collection=collection,
        )


class StoreFull(Precondition):
    """There is no room left where Shoal stores."""

    reason = "STORE_FULL"

    def __init__(self, where: str, *, to_start: int | None = None) -> None:
        """Args:
        where: what has no room.
        to_start: bytes that must be free for a server to start; None: something was to be stored.
        """
        super().__init__(
            f"there is no space left for {where}: nothing of this was stored; make room and send it again"
            if to_start is None
            else f"there is too little space left for {where}: {to_start:,} bytes must be free for a start, an eighth "
            "of SHOAL_MIN_FREE_BYTES; make room",
            where=where,
        )


class NotEmbedded(Precondition):
    """Something that only a server with its store in the data folder can do."""

    reason = "NOT_EMBEDDED"

    def __init__(self, what: str, instead: str) -> None:
        super().__init__(f"{what} is for a store in the data folder, and this server stores in Qdrant; {instead}")


class OtherVersion(Precondition):
    """A machine that is to help has another version of Shoal."""

    reason = "OTHER_VERSION"

    def __init__(self, here: str, there: str) -> None:
        super().__init__(
            f"a machine of the cluster has Shoal {there}, and this one {here}; install the same on all of them",
            here=here,
            there=there,
        )


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
    """Another run became active between two pages, or while a table was put together."""

    reason = "CLUSTERS_CHANGED"

    def __init__(self, collection: str, again: str = "start again from the first page") -> None:
        super().__init__(f"the clusters of collection {collection!r} changed meanwhile; {again}", collection=collection)


class RecordChanged(Conflict):
    """Another server has written a collection's record since it was read."""

    reason = "RECORD_CHANGED"

    def __init__(self, collection: str) -> None:
        super().__init__(
            f"the record of collection {collection!r} was changed by another server at the same time; try again",
            collection=collection,
        )


class LeaseLost(Conflict):
    """This server may no longer decide about a collection: another one has taken over."""

    reason = "LEASE_LOST"

    def __init__(self, collection: str) -> None:
        super().__init__(
            f"another server has taken over collection {collection!r}, because this one did not answer for a while; "
            "try again",
            collection=collection,
        )


class Unauthenticated(ShoalError):
    """Nobody that the server knows."""


class WrongCredentials(Unauthenticated):
    """A call without a key, or with one that is not valid."""

    reason = "WRONG_CREDENTIALS"

    def __init__(self, problem: str) -> None:
        super().__init__(f"{problem}; give a valid API key (SHOAL_API_KEY or --api-key-file; api_key=... in Python)")


class Forbidden(ShoalError):
    """Somebody who is known and may not do this."""


class NotPermitted(Forbidden):
    """The key's role or its collections do not allow the call."""

    reason = "NOT_PERMITTED"

    def __init__(self, caller: str, what: str, needed: str) -> None:
        super().__init__(f"{caller} may not {what}: that needs {needed}; ask whoever runs the server", caller=caller)


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
    #: Callers are asked to wait so long: a server that is started again is back by then.
    retry_after_s = 5.0

    def __init__(self, store: str, problem: str) -> None:
        super().__init__(f"the vector store {store} does not answer: {problem}", store=store)


class StoreRefused(StoreUnavailable):
    """The vector store answers, and refuses the API key: waiting does not help."""

    reason = "STORE_REFUSED"


class WriteBackHalted(Unavailable):
    """Some ids of a run are written, some are not, and the store takes no more just now."""

    reason = "WRITE_BACK_HALTED"

    def __init__(self, collection: str, problem: str) -> None:
        super().__init__(
            f"the clusters of collection {collection!r} cannot be told: their ids are being written, which has to wait "
            f"({problem}); it goes on by itself",
            collection=collection,
        )


class ModelBroken(Unavailable):
    """The model fails whatever it is given."""

    reason = "MODEL_BROKEN"

    def __init__(self, model: str, problem: str) -> None:
        super().__init__(
            f"model {model!r} does not work at the moment: {problem}; it is tried again every few seconds, and the "
            "server's log says more",
            model=model,
        )


class FilesUnavailable(StoreUnavailable):
    """The object storage with the files of runs and images does not answer, or refuses."""

    reason = "FILES_UNAVAILABLE"

    def __init__(self, where: str, problem: str) -> None:
        # Not the words of the vector store, which is another place and may be well.
        Unavailable.__init__(self, f"the files in {where} cannot be reached: {problem}", store=where)


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


class WorkerFailed(Failed):
    """A process of a bulk ingest did not do what it was to do."""

    reason = "WORKER_FAILED"

    def __init__(self, problem: str) -> None:
        super().__init__(f"a worker failed: {problem}; run it again: what is stored is kept")
