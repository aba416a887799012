"""Compiles ``protos/**/*.proto`` beside themselves whenever Shoal is built or installed in editable mode."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).parent
PROTOS = ROOT / "protos"


def include_paths() -> list[Path]:
    """Where imports of the protos are found: ours, protoc's well-known types, and googleapis."""
    import google.rpc
    import grpc_tools

    well_known = Path(next(iter(grpc_tools.__path__))) / "_proto"
    googleapis = Path(next(iter(google.rpc.__path__))).parent.parent
    return [PROTOS, well_known, googleapis]


def protoc(*outputs: str) -> None:
    """Runs protoc over every proto of Shoal with the given output options.

    Raises:
        SystemExit: protoc refused the protos; it has printed why.
    """
    from grpc_tools import protoc as compiler

    sources = sorted(str(path.relative_to(PROTOS)) for path in PROTOS.rglob("*.proto"))
    status = compiler.main(["protoc", *(f"-I{path}" for path in include_paths()), *outputs, *sources])
    if status != 0:
        raise SystemExit(f"protoc failed with status {status} on {', '.join(sources)}")


def plugin(name: str) -> str:
    """The protoc option that names a plugin beside the running interpreter, or else on the PATH."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise SystemExit(f"{name} is not installed; pip install mypy-protobuf")
    return f"--plugin={name}={found}"


def compile_protos() -> None:
    """Writes ``*_pb2.py``, ``*_pb2_grpc.py`` and their stubs beside the protos."""
    out = str(PROTOS)
    protoc(
        plugin("protoc-gen-mypy"),
        plugin("protoc-gen-mypy_grpc"),
        f"--python_out={out}",
        f"--grpc_python_out={out}",
        f"--mypy_out=quiet:{out}",
        f"--mypy_grpc_out=quiet:{out}",
    )


class CompileProtos(BuildHookInterface[Any]):
    """Hatchling's entry into this file."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compiles before hatchling collects the files."""
        compile_protos()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--descriptor-set"]:
        protoc("--include_imports", "--include_source_info", f"--descriptor_set_out={sys.argv[2]}")
    else:
        compile_protos()
