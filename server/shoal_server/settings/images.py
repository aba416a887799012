"""The model, and what images are taken."""

from __future__ import annotations

import os
from enum import Enum
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode

from shoal_server.domain.collection import Precision
from shoal_server.domain.image import OnNearDuplicate
from shoal_server.settings.words import none_if_said

MEBIBYTE = 1024 * 1024


class Runtime(Enum):
    """What runs a model."""

    AUTO = "auto"
    TORCH = "torch"
    ONNX = "onnx"


class Images(BaseSettings):
    """The model, and what images are taken."""

    model: Annotated[
        str,
        Field(
            description="Embedding model: `MODEL/PRETRAINED` of open_clip, `MODEL/PATH` of a local checkpoint, "
            "`local-dir:FOLDER`; `timm/NAME` or `timm/NAME/PATH`, an image model of timm, which reads no text; "
            "`transformers:FOLDER`, a CLIP, SigLIP or SigLIP 2 model of transformers; `starter`, or `debug`."
        ),
    ] = "ViT-B-32/datacomp_xl_s13b_b90k"
    precision: Annotated[
        Precision,
        Field(
            description="Numbers that the model computes with: `fp32`; on a GPU also `fp16` and `bf16`; on a CPU also "
            "`bf16` (where it has instructions for it: AMX or AVX512-BF16) and `int8` (dynamic quantisation, by ONNX "
            "Runtime). Collections remember it."
        ),
    ] = Precision.FP32
    runtime: Annotated[
        Runtime,
        Field(
            description="What runs the model: `torch`; `onnx` (ONNX Runtime; the model is exported once and kept); "
            "`auto`: PyTorch, but for `int8`, which ONNX Runtime alone has."
        ),
    ] = Runtime.AUTO
    mix_precisions: Annotated[
        bool,
        Field(description="Use collections whose vectors were computed with another precision all the same."),
    ] = False
    model_stall_s: Annotated[
        float, Field(ge=1, description="Seconds after which a pass of the model counts as one that never ends.")
    ] = 120.0
    model_give_up_s: Annotated[
        float | None,
        Field(
            gt=0,
            description="Seconds that the model may be broken until the server ends, for its supervisor to start it "
            "again; `none`: it goes on without.",
        ),
    ] = 300.0
    max_batch: Annotated[int, Field(ge=1, le=1024, description="Most images in one forward pass.")] = 32
    max_queue: Annotated[
        int, Field(ge=1, description="Most images and texts waiting for the model; more are refused.")
    ] = 1024
    max_file_bytes: Annotated[
        int, Field(ge=1, description="Largest image file; one over the message limit comes in several messages.")
    ] = 512 * MEBIBYTE
    max_ingest_bytes: Annotated[
        int, Field(ge=1, description="Most bytes of image files worked on at once; senders wait for their turn.")
    ] = 64 * MEBIBYTE
    max_image_pixels: Annotated[
        int, Field(ge=1, description="Images with more pixels are refused before they are decoded.")
    ] = 150_000_000
    decode_threads: Annotated[int, Field(ge=1, le=64, description="Threads that decode images.")] = 2
    max_in_flight: Annotated[
        int, Field(ge=1, description="Most images between decoding and embedding; bounds the memory for pixels.")
    ] = 64
    near_duplicates: Annotated[
        OnNearDuplicate,
        Field(
            description="What to do with new images that look like stored ones, where the client does not say: `keep`, "
            "`tag` (with `near-duplicate`) or `skip`."
        ),
    ] = OnNearDuplicate.KEEP
    keep_originals: Annotated[bool, Field(description="Keep the files of new images as they were sent.")] = False
    ingest_roots: Annotated[
        tuple[Path, ...],
        NoDecode,
        Field(
            description="Folders, separated by `:`, below which the server itself reads files that clients name by "
            "URI; none: it reads none."
        ),
    ] = ()
    ingest_http: Annotated[
        bool, Field(description="Let the server itself read images from public http and https addresses.")
    ] = False

    @field_validator("model_give_up_s", mode="before")
    @classmethod
    def _none_is_for_ever(cls, value: object) -> object:
        return none_if_said(value)

    @field_validator("ingest_roots", mode="before")
    @classmethod
    def _are_separated(cls, value: object) -> object:
        return [part for part in value.split(os.pathsep) if part] if isinstance(value, str) else value

    @field_validator("ingest_roots")
    @classmethod
    def _are_folders(cls, value: tuple[Path, ...]) -> tuple[Path, ...]:
        for folder in value:
            if not folder.is_dir():
                raise ValueError(f"{folder} is no folder")
        return value
